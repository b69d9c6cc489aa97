"""What `highdicom` asks the standard's tables, asked once.

For every image that an object refers to, it searches all modules of the image's IOD for the same attributes: half a
second of a report on 300 slices.
"""

from collections.abc import Callable, Sequence
from functools import cache

from highdicom import _standard_utils as standard

Ask = Callable[..., bool]


def remember_answers() -> None:
    """From now on each question is answered from memory when it is asked again. Doing it twice does nothing."""
    ask: Ask = standard.is_attribute_in_iod
    if not hasattr(ask, "remembers"):
        standard.is_attribute_in_iod = _remembering(ask)


def _remembering(ask: Ask) -> Ask:
    remembered = cache(ask)

    def answer(attribute: str, sop_class_uid: str, exclude_path_elements: Sequence[str] | None = None) -> bool:
        excluded = None if exclude_path_elements is None else tuple(exclude_path_elements)
        return remembered(attribute, str(sop_class_uid), excluded)

    answer.remembers = True  # type: ignore[attr-defined]
    return answer
