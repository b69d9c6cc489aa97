"""Objects that lie in a series without being of its slices: a scout, an image of another plane, contours, a page.

Scanners and workstations put such under the UID of the slices. They are left out and noted, and what remains must stand
every check, as if they had never been there. What could be a slice after all, because its place in the stack is free,
isn't left out: its header may be wrong, and without it the volume would be.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage

from groundglass.dicomio.reading.attributes import number, text
from groundglass.dicomio.reading.defects import Defect
from groundglass.dicomio.reading.derived_images import is_no_slice
from groundglass.dicomio.reading.frames import MULTI_FRAME_CT, Frame
from groundglass.dicomio.reading.measures import measures
from groundglass.dicomio.reading.scan import Series
from groundglass.domain.arrays import Coordinates

_OTHER_PLANE = float(np.cos(np.radians(15)))
"""Product of the normals of two planes below which they are different ones."""
_FEW = 0.25
"""Images of another plane that are left out, at most, in parts of the series: more are a series of their own."""
_FEW_OF_OTHER_SIZE = 2
"""Images of another matrix that are left out, at most: pages, or those that watch the contrast agent arrive."""
_COLOURS = ("RGB", "YBR", "PALETTE")
_SLICES = frozenset({str(CTImageStorage), *MULTI_FRAME_CT})
_ALONG_MM = 3.0
"""How far off the line of a stack one of its slices may lie."""


def without_strays(series: Series) -> Series:
    """The series without the objects that aren't of its slices, which `left_out` then counts.

    As it is where those are not the fewer, or one of them is another patient's, bears the UID of a slice, or could be a
    slice that is missing.
    """
    strays = _find_strays(series.instances)
    if not strays or 2 * len(strays) >= len(series.instances):
        return series
    slices = tuple(image for image in series.instances if id(image) not in strays)
    left_out = [(image, strays[id(image)]) for image in series.instances if id(image) in strays]
    patients = {text(image, "PatientID") for image in slices}
    uids = {_identity(image) for image in slices}
    could_be_slice = _free_places(slices)
    for image, kind in left_out:
        patient = text(image, "PatientID")
        if (patient and patient not in patients) or _identity(image) in uids or could_be_slice(image, kind == "Rows"):
            return series
    counts = Counter(kind for _, kind in left_out)
    return replace(series, instances=slices, left_out=tuple(counts.items()))


def stray_notes(series: Series) -> tuple[Defect, ...]:
    """A note for each kind of objects that were left out."""
    total = len(series.instances) + sum(count for _, count in series.left_out)
    return tuple(
        Defect(keyword, f"tells that {count} of {total} objects of the series {_TOLD[keyword]}: left out")
        for keyword, count in series.left_out
    )


_TOLD = {
    "SOPClassUID": "are no CT images",
    "ImageType": "are localizers, pages of results, projections or maps",
    "PhotometricInterpretation": "are in colour",
    "ImageOrientationPatient": "show another plane",
    "Rows": "have another matrix than the others, and no place among them",
}


def _find_strays(images: Sequence[Dataset]) -> dict[int, str]:
    """The attribute that tells a stray, by the `id` of its header."""
    strays: dict[int, str] = {}
    for image in images:
        if text(image, "SOPClassUID") not in _SLICES:
            strays[id(image)] = "SOPClassUID"
        elif is_no_slice(image):
            strays[id(image)] = "ImageType"
        elif text(image, "PhotometricInterpretation").upper().startswith(_COLOURS):
            strays[id(image)] = "PhotometricInterpretation"
    normals: dict[str, tuple[float, ...] | None] = {}  # by the cosines, which mostly are those of the image before
    cosines = {id(image): text(image, "ImageOrientationPatient") for image in images if id(image) not in strays}
    for image in images:
        own = cosines.get(id(image), "")
        if own and own not in normals:
            normals[own] = _normal(image)
    counts = Counter(normals.get(own) for own in cosines.values())
    del counts[None]
    if len(counts) > 1:
        usual = np.array(counts.most_common(1)[0][0])
        other_planes = {own for own, normal in normals.items() if normal and abs(usual @ normal) < _OTHER_PLANE}
        others = [key for key, own in cosines.items() if own in other_planes]
        if len(others) <= _FEW * len(cosines):
            strays |= dict.fromkeys(others, "ImageOrientationPatient")
    sizes = {id(image): _matrix(image) for image in images if id(image) not in strays}
    if len(set(sizes.values())) > 1:
        usual_size, _ = Counter(sizes.values()).most_common(1)[0]
        others = [key for key, own in sizes.items() if own != usual_size]
        if len(others) <= _FEW_OF_OTHER_SIZE:
            strays |= dict.fromkeys(others, "Rows")
    return strays


def _normal(image: Dataset) -> tuple[float, ...] | None:
    """Of the plane of an image, to two digits, its largest part positive; None where it isn't known."""
    cosines = measures(image, "ImageOrientationPatient", 6)
    normal = np.cross(cosines[:3], cosines[3:]) if cosines else np.zeros(3)
    length = np.linalg.norm(normal)
    if length < 0.5:
        return None
    upwards = normal / length * np.sign(normal[np.abs(normal).argmax()])
    return tuple(float(part) for part in upwards.round(2))


def _identity(image: Dataset) -> tuple[str, int]:
    return text(image, "SOPInstanceUID"), image.number if isinstance(image, Frame) else 0


def _free_places(slices: Sequence[Dataset]) -> Callable[[Dataset, bool], bool]:
    """What tells whether an image would fit into the stack: between two slices, or as the next at one of its ends.

    One of another matrix fits nowhere, unless its matrix is all that tells it from the slices.
    """
    positions_mm = np.array([found for found in (_position_mm(image) for image in slices) if found is not None])
    matrices = Counter(_matrix(image) for image in slices)
    if len(positions_mm) < 2:
        return lambda image, is_of_any_size: False
    spread_mm = positions_mm - positions_mm[0]
    far = positions_mm[np.linalg.norm(spread_mm, axis=1).argmax()]
    start = positions_mm[np.linalg.norm(positions_mm - far, axis=1).argmax()]
    length_mm = float(np.linalg.norm(far - start)) or 1.0
    along = (far - start) / length_mm
    depths_mm = np.sort((positions_mm - start) @ along)
    step_mm = float(np.median(np.diff(depths_mm)))

    def could_be_slice(image: Dataset, is_of_any_size: bool) -> bool:
        position_mm = _position_mm(image)
        if position_mm is None or not (is_of_any_size or matrices[_matrix(image)] * 2 >= len(slices)):
            return False
        depth_mm = float((position_mm - start) @ along)
        off_mm = float(np.linalg.norm(position_mm - start - depth_mm * along))
        is_free = float(np.abs(depths_mm - depth_mm).min()) > 0.5 * step_mm
        return is_free and off_mm < _ALONG_MM and -1.5 * step_mm < depth_mm < length_mm + 1.5 * step_mm

    return could_be_slice


def _position_mm(image: Dataset) -> Coordinates | None:
    found = measures(image, "ImagePositionPatient", 3)
    return None if found is None else np.array(found)


def _matrix(image: Dataset) -> tuple[float | None, float | None]:
    return number(image, "Rows"), number(image, "Columns")
