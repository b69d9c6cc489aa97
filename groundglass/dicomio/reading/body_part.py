"""What tags say of the part of the body in a series. They hint: scanners fill them from a protocol's name.

A scan of chest, abdomen and pelvis is often called ABDOMEN, so a neighbour of the chest excludes nothing: whether there
are lungs is seen in the images.
"""

import re
from collections.abc import Sequence

from pydicom.dataset import Dataset

from groundglass.dicomio.reading.attributes import quiet_pydicom, text

_CHEST_WORDS = (
    "CHEST", "THORA", "LUNG", "TORA", "TORSO", "TRUNK", "BODY", "POUMON", "POLMON", "PULM", "BRUST",
)  # fmt: skip
_NEIGHBOURS = (
    "NECK", "HALS", "SHOULDER", "SPINE", "LUMBAR", "SACRUM", "ABDO", "LIVER", "KIDNEY", "PANCREAS", "COLON", "BLADDER",
    "PELVI", "BECKEN",
)  # fmt: skip
_NEIGHBOUR_EXACT = "ABD"
_ELSEWHERE = (
    "HEAD", "BRAIN", "SKULL", "CRANI", "FACE", "SINUS", "ELBOW", "WRIST", "FINGER", "KNEE", "ANKLE", "FEMUR", "THIGH",
    "TIBIA", "EXTREMITY", "KOPF", "SCHAEDEL", "KNIE",
)  # fmt: skip
_ELSEWHERE_EXACT = ("ARM", "CALF", "EAR", "EYE", "FOOT", "HAND", "HIP", "IAC", "JAW", "LEG", "ORBIT", "TOE")
"""Too short to be looked for inside other words: HEART has an EAR."""
_OTHER_WORD = re.compile("(?<![A-Z])(" + "|".join((*_NEIGHBOURS, *_ELSEWHERE, _NEIGHBOUR_EXACT)) + ")")
"""At the beginning of a word: a SURFACE has a FACE."""
_FAR_WORD = re.compile(rf"(?<![A-Z])({'|'.join(_ELSEWHERE)}|({'|'.join(_ELSEWHERE_EXACT)})(?![A-Z]))")


def parts_elsewhere(images: Sequence[Dataset]) -> set[str]:
    """The body parts examined of a series, where all of them lie far from the chest and no description names it.

    The names of the study and the protocol may be those of other series: they must name the chest, and nothing far off.
    """
    parts = {text(image, "BodyPartExamined").upper() for image in images} - {""}
    is_elsewhere = bool(parts) and all(_is_elsewhere(part) for part in parts)
    if not is_elsewhere or _names_chest(text(images[0], "SeriesDescription")):
        return set()
    broader = [text(images[0], keyword).upper() for keyword in ("ProtocolName", "StudyDescription")]
    return set() if any(_names_chest(name) and not _FAR_WORD.search(name) for name in broader) else parts


@quiet_pydicom()
def hints_at_another_part(image: Dataset) -> bool:
    """Whether the tag that tells most of a series, its description or else its body part, names another part alone."""
    for keyword in ("SeriesDescription", "BodyPartExamined"):
        found = text(image, keyword).upper()
        if _names_chest(found):
            return False
        if _OTHER_WORD.search(found):
            return True
    return _is_other(text(image, "BodyPartExamined").upper())


@quiet_pydicom()
def is_named_as_another_part(image: Dataset) -> bool:
    """Whether the body part examined is another one than the chest, and no tag names the chest."""
    keywords = ("BodyPartExamined", "SeriesDescription", "ProtocolName", "StudyDescription")
    is_other = _is_other(text(image, "BodyPartExamined").upper())
    return is_other and not any(_names_chest(text(image, keyword)) for keyword in keywords)


def _names_chest(value: str) -> bool:
    """Compound names that hold the chest do."""
    return any(word in value.upper() for word in _CHEST_WORDS)


def _is_elsewhere(part: str) -> bool:
    """Unknown names are not, nor those that name the chest or a neighbour of it too."""
    if _names_chest(part) or any(word in part for word in _NEIGHBOURS):
        return False
    return any(word in part for word in _ELSEWHERE) or part in _ELSEWHERE_EXACT


def _is_other(part: str) -> bool:
    if _names_chest(part):
        return False
    return any(word in part for word in _NEIGHBOURS) or part == _NEIGHBOUR_EXACT or _is_elsewhere(part)
