"""The geometry of a CT series, checked on its headers before any pixel is trusted (PS3.3 C.7.6.2.1.1).

A volume with a missing slice, two acquisitions or a tilted gantry looks right and measures wrong. What can be put right
exactly is put right and noted: the order of the slices, copies of a slice, one acquisition of several. A tilted gantry
and uneven distances are put right by placing the slices, pixel by pixel, on a larger regular grid (`Placement`). The
rest is refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset

from groundglass.dicomio.reading.attributes import number, numbers, text
from groundglass.dicomio.reading.defects import Defect
from groundglass.dicomio.reading.frames import Frame
from groundglass.dicomio.reading.pixels import pixel_digest
from groundglass.domain.errors import Refusal
from groundglass.domain.placement import Placement
from groundglass.domain.refusals import RefusalCode

_COSINE_TOLERANCE = 5e-3
"""Of direction cosines, between images and from unit length and a right angle: what rounding in the header explains."""
_SPACING_TOLERANCE = 1e-3
"""Of PixelSpacing between images, relative."""
_SAME_POSITION_MM = 0.05
"""Images closer than this lie at the same place; no CT reconstructs slices so close."""
_UNEVEN_FRACTION, _UNEVEN_MM = 0.10, 0.2
"""Deviation from the usual distance of slices, the larger of the two, that rounding in the header explains."""
_SIDEWAYS_MM = 1.0
"""Drift of the slices across their normal over the whole series."""
_WIDEST_MM = 1500.0
"""Of an image; the widest reconstructions of CT are 700 to 800 mm."""
_FARTHEST = 1e6
"""A kilometre: larger numbers in the geometry are garbage."""
_MAXIMUM_VOXELS = 2**30
"""2 GiB of int16: 4096 slices of 512 x 512."""
_LEAST_STEP, _LARGEST_STEP = 0.55, 1.45
"""Distances of neighbouring slices, in parts of the usual one, that are evened out. A missing slice makes it two."""
LARGEST_TILT_DEGREES = 30.0
"""What gantries are built for."""
_BEYOND = 0.1
"""How far an acquisition may reach beyond another one that covers it, in parts of the other's extent."""


@dataclass(frozen=True)
class Grid:
    """The checked geometry of a series.

    Attributes:
        headers: of the images that make the volume, from the patient's head to the feet.
        shape, spacing_mm, origin_mm, directions: of the images as they are, as CTVolume has them.
        placement: where the images lie on a regular grid, for images that don't make one themselves.
        notes: what was put right.
    """

    headers: tuple[Dataset, ...]
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    origin_mm: np.ndarray
    directions: np.ndarray
    placement: Placement | None
    notes: tuple[Defect, ...]


def order_by_position(instances: Sequence[Dataset]) -> tuple[Dataset, ...]:
    """The images of one series sorted from the patient's head to the feet, along the normal of the slices.

    Raises:
        Refusal: MISSING_GEOMETRY or ORIENTATION.
    """
    return _order(instances, _directions(instances))[0]


def measures(header: Dataset, keyword: str, count: int) -> tuple[float, ...] | None:
    """The `count` numbers of a geometric attribute, in mm or as cosines; None where they can't be meant so."""
    found = numbers(header, keyword, count)
    return None if found is None or max(map(abs, found)) > _FARTHEST else found


def check_geometry(instances: Sequence[Dataset], place: bool) -> Grid:
    """Every check that needs no pixels, the ones that explain most first.

    Args:
        instances: headers of one series, in any order. Pixels are read of those that lie at one position.
        place: whether a tilted gantry and uneven distances are evened out; otherwise they are refused.

    Raises:
        Refusal: see `volume.read_volume`.
    """
    if len(instances) < 2:
        raise Refusal(
            RefusalCode.TOO_FEW_SLICES,
            f"The series has {len(instances)} readable images and a volume needs at least 2. Send the whole series.",
        )
    _check_identity(instances)
    rows, columns = (int(size) for size in _shared_numbers(instances, ("Rows", "Columns"), RefusalCode.MATRIX))
    row_spacing_mm, column_spacing_mm = _pixel_spacing_mm(instances)
    directions = _directions(instances)
    headers, notes = _one_image_a_position(instances, directions)
    headers, positions_mm = _order(headers, directions)
    _check_size((len(headers), rows, columns))
    _check_extent(rows * row_spacing_mm, columns * column_spacing_mm)
    depths_mm = (positions_mm - positions_mm[0]) @ directions[0]
    sideways_mm = (positions_mm - positions_mm[0]) @ directions[1:].T
    is_even, is_upright = _is_even(depths_mm, place), _is_upright(depths_mm, sideways_mm, place)
    _check_pixel_description(headers)
    # The mean over all steps, each near the median, is free of the rounding of single positions.
    steps_mm = np.diff(depths_mm)
    slice_spacing_mm = float(steps_mm.mean() if is_even else np.median(steps_mm))
    spacing_mm = (slice_spacing_mm, row_spacing_mm, column_spacing_mm)
    placement = None
    if not (is_even and is_upright):
        placement, found = _place(
            depths_mm, sideways_mm, (rows, columns), spacing_mm, positions_mm[0], directions, is_even
        )
        notes = (*notes, *found)
        _check_size(placement.shape)
    notes = (*notes, *_absent_numbers(instances, is_even))
    shape = (len(headers), rows, columns)
    return Grid(headers, shape, spacing_mm, positions_mm[0], directions, placement, notes)


def _check_size(shape: tuple[int, int, int]) -> None:
    if min(shape) < 1 or shape[0] * shape[1] * shape[2] > _MAXIMUM_VOXELS:
        raise Refusal(
            RefusalCode.TOO_LARGE,
            f"The series has {shape[0]} slices of {shape[1]} x {shape[2]} pixels; 1 to {_MAXIMUM_VOXELS} voxels "
            "are read. Send a reconstruction with a smaller matrix.",
        )


def _check_extent(height_mm: float, width_mm: float) -> None:
    if max(height_mm, width_mm) > _WIDEST_MM:
        raise Refusal(
            RefusalCode.TOO_LARGE,
            f"By their PixelSpacing the images are {height_mm:.0f} x {width_mm:.0f} mm, wider than any scanner's "
            f"{_WIDEST_MM:.0f} mm. Correct PixelSpacing at the source.",
        )


def _check_identity(instances: Sequence[Dataset]) -> None:
    if len({text(header, "PatientID") for header in instances}) > 1:
        raise Refusal(
            RefusalCode.MIXED_PATIENTS,
            "The images of the series do not all have the same Patient ID. Correct the series at its source.",
        )
    own = {(text(header, "SOPInstanceUID"), header.number if isinstance(header, Frame) else 0) for header in instances}
    shared = len(instances) - len(own)
    if shared:
        raise Refusal(
            RefusalCode.SHARED_SOP_INSTANCE_UID,
            f"{shared} of {len(instances)} images bear the SOP Instance UID of another image of the series, so results "
            "cannot refer to them. Export the series again from its source, with a UID of its own for each image.",
        )
    frames = {text(header, "FrameOfReferenceUID") for header in instances} - {""}
    if len(frames) > 1:
        raise Refusal(
            RefusalCode.FRAME_OF_REFERENCE,
            f"The images of the series lie in {len(frames)} frames of reference, so their positions cannot be "
            "compared. Send each acquisition as a series of its own.",
        )


def _absent_numbers(instances: Sequence[Dataset], is_even: bool) -> tuple[Defect, ...]:
    """A note on images between the others that were never sent, though no gap shows where they would be.

    No reason to refuse: nobody has to number images without a gap (PS3.3 C.7.6.1).
    """
    own = {number(header, "InstanceNumber") for header in instances}
    known = [int(item) for item in own if item is not None]
    if len(known) < len(instances):
        return ()
    absent = max(known) - min(known) + 1 - len(known)
    though = "the others are equally far apart" if is_even else "no distance between the others is that of a gap"
    problem = f"leaves out {absent} numbers: images may be missing, though {though}"
    return (Defect("InstanceNumber", problem),) if absent > 0 else ()


def _shared_numbers(instances: Sequence[Dataset], keywords: tuple[str, ...], code: RefusalCode) -> tuple[float, ...]:
    """The values that all images have in common."""
    found = [tuple(number(header, keyword) for keyword in keywords) for header in instances]
    missing = sum(None in values for values in found)
    if missing:
        raise _missing(" or ".join(keywords), missing, len(instances))
    if len(set(found)) > 1:
        raise Refusal(
            code,
            f"The images of the series have {len(set(found))} different values of {' and '.join(keywords)}. "
            "Send each reconstruction as a series of its own.",
        )
    return tuple(item for item in found[0] if item is not None)


def _missing(attribute: str, missing: int, total: int) -> Refusal:
    return Refusal(
        RefusalCode.MISSING_GEOMETRY,
        f"{missing} of {total} images have no readable {attribute}, so the volume cannot be measured. "
        "Export the series again from its source with the complete headers.",
    )


def _stack(instances: Sequence[Dataset], keyword: str, count: int) -> np.ndarray:
    """A numeric attribute of all images, float64 `(image, count)`."""
    found = [measures(header, keyword, count) for header in instances]
    missing = sum(values is None for values in found)
    if missing:
        raise _missing(keyword, missing, len(instances))
    return np.array(found, dtype=np.float64)


def _pixel_spacing_mm(instances: Sequence[Dataset]) -> tuple[float, float]:
    """Distances between the rows and between the columns (PS3.3 10.7.1.3)."""
    spacings = _stack(instances, "PixelSpacing", 2)
    if (spacings <= 0).any():
        raise _missing("PixelSpacing above zero", int((spacings <= 0).any(axis=1).sum()), len(instances))
    differing = int((np.abs(spacings / spacings[0] - 1) > _SPACING_TOLERANCE).any(axis=1).sum())
    if differing:
        raise Refusal(
            RefusalCode.PIXEL_SPACING,
            f"{differing} of {len(instances)} images have another PixelSpacing than the first. "
            "Send each reconstruction as a series of its own.",
        )
    return float(spacings[0, 0]), float(spacings[0, 1])


def _directions(instances: Sequence[Dataset]) -> np.ndarray:
    """Unit vectors along which the slice, row and column index grow, `(3, 3)`; slices run from head to feet."""
    cosines = _stack(instances, "ImageOrientationPatient", 6)
    differing = int((np.abs(cosines - cosines[0]) > _COSINE_TOLERANCE).any(axis=1).sum())
    if differing:
        raise Refusal(
            RefusalCode.ORIENTATION,
            f"{differing} of {len(instances)} images have another orientation than the first. "
            "Send each plane as a series of its own.",
        )
    # The row cosine is the direction of a row, so along it the column index grows.
    along_columns, along_rows = cosines[0, :3], cosines[0, 3:]
    lengths = np.linalg.norm([along_columns, along_rows], axis=1)
    if (np.abs(lengths - 1) > _COSINE_TOLERANCE).any() or abs(along_columns @ along_rows) > _COSINE_TOLERANCE:
        raise Refusal(
            RefusalCode.ORIENTATION,
            f"The direction cosines of the images have the lengths {lengths[0]:.3f} and {lengths[1]:.3f} and the "
            f"product {along_columns @ along_rows:.3f}, where 1, 1 and 0 are valid. Correct the series at its source.",
        )
    along_columns = along_columns / lengths[0]
    along_rows = along_rows - (along_rows @ along_columns) * along_columns
    along_rows = along_rows / np.linalg.norm(along_rows)
    normal = np.cross(along_columns, along_rows)
    head_to_feet = -normal if normal[2] > 0 else normal
    return np.array([head_to_feet, along_rows, along_columns]) + 0.0  # turns -0 into 0


def _order(instances: Sequence[Dataset], directions: np.ndarray) -> tuple[tuple[Dataset, ...], np.ndarray]:
    """The images in the order of the slices, and their positions in mm, `(slice, 3)`."""
    positions_mm = _stack(instances, "ImagePositionPatient", 3)
    order = np.argsort(positions_mm @ directions[0], kind="stable")
    return tuple(instances[index] for index in order), positions_mm[order]


def _one_image_a_position(
    instances: Sequence[Dataset], directions: np.ndarray
) -> tuple[tuple[Dataset, ...], tuple[Defect, ...]]:
    """The images without copies, and of several acquisitions at the same positions the one that covers the others."""
    kept, copies = _without_copies(instances, directions)
    notes = []
    if copies:
        problem = f"differs between identical images, of which one each is analysed ({copies} images left out)"
        notes.append(Defect("SOPInstanceUID", problem))
    shared = _count_shared(kept, directions)
    if not shared:
        return kept, tuple(notes)
    for keyword in ("AcquisitionNumber", "AcquisitionTime"):
        chosen = _covering_group(kept, keyword, directions)
        if chosen is not None:
            left_out = len(kept) - len(chosen)
            problem = (
                f"tells acquisitions at the same positions apart, of which the one with {len(chosen)} images is "
                f"analysed ({left_out} images left out)"
            )
            return chosen, (*notes, Defect(keyword, problem))
    raise Refusal(
        RefusalCode.DUPLICATE_POSITION,
        f"{shared} of {len(kept)} images lie at the position of another image, and no acquisition number or time "
        "tells which belong together. Send each acquisition or reconstruction as a series of its own.",
    )


def _count_shared(instances: Sequence[Dataset], directions: np.ndarray) -> int:
    """How many images lie where another does."""
    _, positions_mm = _order(instances, directions)
    return int((np.diff(positions_mm @ directions[0]) < _SAME_POSITION_MM).sum())


def _without_copies(instances: Sequence[Dataset], directions: np.ndarray) -> tuple[tuple[Dataset, ...], int]:
    """The images without those that show, at the place of another, the same pixels with the same rescale."""
    headers, positions_mm = _order(instances, directions)
    depths_mm = positions_mm @ directions[0]
    is_shared = np.diff(depths_mm) < _SAME_POSITION_MM
    if not is_shared.any() or is_shared.all():
        return tuple(instances), 0
    copies: set[int] = set()
    seen: dict[tuple[bytes, ...], int] = {}
    for index, header in enumerate(headers):
        near = is_shared[max(0, index - 1) : index + 1]
        digest = pixel_digest(header) if near.any() else None
        if digest is None:
            continue
        likeness = (digest, *(text(header, name).encode() for name in ("RescaleSlope", "RescaleIntercept")))
        other = seen.setdefault(likeness, index)
        if other != index and np.abs(positions_mm[index] - positions_mm[other]).max() < _SAME_POSITION_MM:
            copies.add(id(header))
    return tuple(header for header in instances if id(header) not in copies), len(copies)


def _covering_group(instances: Sequence[Dataset], keyword: str, directions: np.ndarray) -> tuple[Dataset, ...] | None:
    """The largest group of images with one value of `keyword`, if it reaches as far as all the others.

    None where the groups don't lie over one another, as the parts of a step-and-shoot series don't: nothing of a scan
    may be lost.
    """
    groups: dict[str, list[Dataset]] = {}
    for header in instances:
        groups.setdefault(text(header, keyword), []).append(header)
    if len(groups) < 2 or "" in groups:
        return None
    largest = max(groups.values(), key=len)  # of equally large ones the first, in the order of the files
    first_of_all = sorted((key for key, group in groups.items() if len(group) == len(largest)), key=_as_number)[0]
    chosen = groups[first_of_all]
    if len(chosen) < 2 or _count_shared(chosen, directions):
        return None
    own_mm = _order(chosen, directions)[1] @ directions[0]
    all_mm = _order(instances, directions)[1] @ directions[0]
    beyond_mm = _BEYOND * (own_mm[-1] - own_mm[0])
    is_covered = all_mm[0] >= own_mm[0] - beyond_mm and all_mm[-1] <= own_mm[-1] + beyond_mm
    return tuple(chosen) if is_covered else None


def _as_number(value: str) -> tuple[float, str]:
    try:
        return float(value), value
    except ValueError:
        return np.inf, value


def _is_even(depths_mm: np.ndarray, place: bool) -> bool:
    """Whether neighbouring slices, sorted, are equally far apart, or else can be evened out. SliceThickness is no help.

    Raises:
        Refusal: GAP.
    """
    steps_mm = np.diff(depths_mm)
    usual_mm = float(np.median(steps_mm))
    # Half the usual distance is the limit for very thin slices, so that a missing one is always seen.
    tolerance_mm = min(max(_UNEVEN_FRACTION * usual_mm, _UNEVEN_MM), 0.5 * usual_mm)
    uneven = np.abs(steps_mm - usual_mm) > tolerance_mm
    refused = uneven & ~(place & (steps_mm > _LEAST_STEP * usual_mm) & (steps_mm < _LARGEST_STEP * usual_mm))
    if refused.any():
        wrong_mm = steps_mm[refused]
        raise Refusal(
            RefusalCode.GAP,
            f"Neighbouring slices are {usual_mm:.2f} mm apart, but {wrong_mm.min():.2f} to {wrong_mm.max():.2f} mm "
            f"at {wrong_mm.size} of {steps_mm.size} places: slices are missing, or the series mixes reconstructions. "
            "Send the whole series again.",
        )
    # Small deviations of the same sign add up to large ones.
    regular_mm = np.linspace(depths_mm[0], depths_mm[-1], len(depths_mm))
    off_mm = float(np.abs(depths_mm - regular_mm).max())
    is_drifting = off_mm > tolerance_mm
    if is_drifting and not place:
        raise Refusal(
            RefusalCode.GAP,
            f"Neighbouring slices are {steps_mm.min():.2f} to {steps_mm.max():.2f} mm apart, so slices lie up to "
            f"{off_mm:.1f} mm off the places of equally distant ones. Send a series of equally distant slices.",
        )
    return not (uneven.any() or is_drifting)


def _is_upright(depths_mm: np.ndarray, sideways_mm: np.ndarray, place: bool) -> bool:
    """Whether the slices lie one behind the other, or else move sideways evenly, as with a tilted gantry.

    Raises:
        Refusal: TILT.
    """
    drift_mm = float(np.abs(sideways_mm).max())
    if drift_mm <= _SIDEWAYS_MM:
        return True
    slopes = depths_mm @ sideways_mm / (depths_mm @ depths_mm)
    rest_mm = float(np.abs(sideways_mm - depths_mm[:, None] * slopes).max())
    tilt_degrees = float(np.degrees(np.arctan(np.linalg.norm(slopes))))
    if not place or rest_mm > _SIDEWAYS_MM or tilt_degrees > LARGEST_TILT_DEGREES:
        raise Refusal(
            RefusalCode.TILT,
            f"The slices move up to {drift_mm:.1f} mm sideways along the series, as with a gantry tilted by "
            f"{tilt_degrees:.0f} degrees, and lie up to {rest_mm:.1f} mm off a straight line. "
            "Send a series reconstructed without tilt.",
        )
    return False


def _place(
    depths_mm: np.ndarray,
    sideways_mm: np.ndarray,
    size: tuple[int, int],
    spacing_mm: tuple[float, float, float],
    first_mm: np.ndarray,
    directions: np.ndarray,
    is_even: bool,
) -> tuple[Placement, list[Defect]]:
    """Slices of uneven distance or a tilted gantry on a regular grid, and what there is to note."""
    notes, steps_mm, pixel_mm = [], np.diff(depths_mm), np.array(spacing_mm[1:])
    offsets = np.rint(sideways_mm / pixel_mm).astype(int)
    offsets -= offsets.min(axis=0)
    if np.abs(sideways_mm).max() > _SIDEWAYS_MM:
        degrees = np.degrees(np.arctan2(np.linalg.norm(sideways_mm[-1]), depths_mm[-1]))
        problem = f"tells of a gantry tilted by {degrees:.1f} degrees: the slices were set upright for the analysis"
        notes.append(Defect("ImagePositionPatient", problem))
    step_mm, slices = spacing_mm[0], np.arange(len(depths_mm))
    homes = slices
    if not is_even:
        step_mm = float(steps_mm.min())  # so that every slice is the nearest one of a slice of the grid
        grid_mm = np.arange(round(depths_mm[-1] / step_mm) + 1) * step_mm
        distances_mm = np.abs(grid_mm[:, None] - depths_mm)
        slices, homes = distances_mm.argmin(axis=1), distances_mm.argmin(axis=0)
        slices[homes] = np.arange(len(homes))
        problem = (
            f"tells of slices {steps_mm.min():.2f} to {steps_mm.max():.2f} mm apart: they were analysed on a grid of "
            f"{step_mm:.2f} mm"
        )
        notes.append(Defect("ImagePositionPatient", problem))
    rows, columns = (int(length) for length in np.array(size) + offsets.max(axis=0))
    placement = Placement(
        shape=(len(slices), rows, columns),
        spacing_mm=(step_mm, *spacing_mm[1:]),
        origin_mm=first_mm - (offsets[0] * pixel_mm) @ directions[1:],
        slices=slices,
        homes=homes,
        offsets=offsets,
        source_shape=(len(depths_mm), *size),
        source_spacing_mm=spacing_mm,
        source_origin_mm=first_mm,
    )
    return placement, notes


def _check_pixel_description(headers: Sequence[Dataset]) -> None:
    total = len(headers)
    photometric = {text(header, "PhotometricInterpretation") for header in headers}
    if len(photometric) != 1 or not photometric <= {"MONOCHROME1", "MONOCHROME2"}:
        # Either is for display alone: the rescale to Hounsfield units is the same for both (PS3.3 C.11.1.1).
        raise Refusal(
            RefusalCode.PHOTOMETRIC,
            f"The {total} images are not all MONOCHROME2, or all MONOCHROME1, as CT images in Hounsfield units are. "
            "Send the original images of the scanner.",
        )
    unscaled = sum(not _has_rescale(header) for header in headers)
    if unscaled:
        raise Refusal(
            RefusalCode.NO_RESCALE,
            f"{unscaled} of {total} images have no readable RescaleSlope and RescaleIntercept to Hounsfield units. "
            "Send the original images of the scanner.",
        )


def _has_rescale(header: Dataset) -> bool:
    slope, intercept = number(header, "RescaleSlope"), number(header, "RescaleIntercept")
    return text(header, "RescaleType") in ("", "HU", "US") and slope not in (None, 0.0) and intercept is not None
