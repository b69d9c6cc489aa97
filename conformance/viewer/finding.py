"""What a viewer was looked at for, and what was found: a line of the table."""

from typing import NamedTuple

import numpy as np


class Finding(NamedTuple):
    """One thing that was looked at; it is as it should be where there is no `problem`."""

    viewer: str
    case: str
    what: str
    problem: str = ""


def compare_masks(held: np.ndarray, shown: np.ndarray) -> str:
    """The problem of a mask that a viewer shows, if there is one."""
    differing = int(np.count_nonzero(held != shown))
    return f"{differing} of {np.count_nonzero(held)} differ." if differing else ""
