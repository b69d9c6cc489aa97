"""What commands ask of the folder that takes their results."""

import os
from pathlib import Path


def lies_in(folder: Path, outer: Path) -> bool:
    """Whether a folder, which need not be there yet, is another one or lies in it, links resolved.

    Raises:
        OSError: the system can't tell.
    """
    place = Path(os.path.realpath(folder))
    return any(above.exists() and above.samefile(outer) for above in (place, *place.parents))


def why_unwritable(error: OSError, folder: Path) -> str:
    """Why a folder can't be made or written: of a file the system says no more than that it exists."""
    is_file = isinstance(error, FileExistsError) and folder.is_file()
    return "it is a file" if is_file else error.strerror or type(error).__name__
