"""A CT series as a volume in Hounsfield units, or the reason why it must not become one.

The geometry is checked on the headers before any pixel is decoded. It is never repaired: a volume with a missing slice,
two acquisitions or a tilted gantry looks right and measures wrong. Geometry: PS3.3 C.7.6.2.1.1; pixels: C.11.1.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import UID

from dicomio.errors import SeriesRefused
from dicomio.header import number, numbers, quiet_pydicom, text
from dicomio.pixels import read_slice_hu, transfer_syntax
from dicomio.scan import Series
from method.types import CTVolume

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
_FARTHEST = 1e6
"""A kilometre: larger numbers in the geometry are garbage."""
_MAXIMUM_VOXELS = 2**30
"""2 GiB of int16: 4096 slices of 512 x 512."""
_AIR_HU, _AIR_FRACTION = -800, 0.01
_SOFT_TISSUE_HU, _SOFT_TISSUE_FRACTION = (-100, 150), 0.05
"""What every chest CT in Hounsfield units contains, as a fraction of its voxels."""


@dataclass(frozen=True)
class _Grid:
    """The checked geometry of a series: its headers from head to feet, and what CTVolume says of the rest."""

    headers: tuple[Dataset, ...]
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    origin_mm: np.ndarray
    directions: np.ndarray


@quiet_pydicom()
def order_slices(instances: Sequence[Dataset]) -> tuple[Dataset, ...]:
    """The images of one series sorted from the patient's head to the feet, along the normal of the slices.

    Raises:
        SeriesRefused: MISSING_GEOMETRY or ORIENTATION.
    """
    return _order(instances, _directions(instances))[0]


@quiet_pydicom()
def check_series(series: Series) -> None:
    """Refuse a series that is known to be incomplete, or whose headers do not describe one regular volume.

    Reads no pixels.

    Raises:
        SeriesRefused: DAMAGED_FILES, MISSING_FILES, or any code of `read_volume` that concerns headers.
    """
    if series.damaged:
        raise SeriesRefused(
            "DAMAGED_FILES",
            f"{series.damaged} of the {len(series.instances) + series.damaged} files of the series are cut, so slices "
            "are missing. Send the series again, and check the disk space and the network of the sender.",
        )
    if series.absent:
        raise SeriesRefused(
            "MISSING_FILES",
            f"The DICOMDIR lists {len(series.instances) + series.absent} images of the series, and {series.absent} of "
            "them are not in the folder. Copy the whole file set, or leave the DICOMDIR out if they are left out on "
            "purpose.",
        )
    _grid(series.instances)


@quiet_pydicom()
def read_volume(
    instances: Sequence[Dataset], threads: int = 2, on_slice: Callable[[], None] | None = None
) -> tuple[CTVolume, tuple[Dataset, ...]]:
    """Decode a CT series into one int16 array in Hounsfield units.

    The headers stay as small as they were: pixels are decoded from the files, one image in memory a thread.

    Args:
        instances: the headers of one series, in any order.
        threads: images decoded at the same time.
        on_slice: called in the calling thread after each slice, to show progress.

    Returns:
        The volume, and the headers in the order of its slices, from the patient's head to the feet.

    Raises:
        SeriesRefused: TOO_FEW_SLICES, MIXED_PATIENTS, SHARED_SOP_INSTANCE_UID, FRAME_OF_REFERENCE, MATRIX,
            MISSING_GEOMETRY, PIXEL_SPACING, ORIENTATION, DUPLICATE_POSITION, GAP, TILT, PHOTOMETRIC, NO_RESCALE,
            TOO_LARGE, PIXELS or NOT_HU.
    """
    grid = _grid(instances)
    volume_hu = np.empty(grid.shape, np.int16)

    def read(index: int) -> np.ndarray | None:
        try:
            read_slice_hu(grid.headers[index], volume_hu[index])
        except Exception:  # Decoders raise whatever they like; the count of failures is reported.
            return None
        return _tissue_counts(volume_hu[index])

    failed, counts = 0, np.zeros(3, np.int64)
    with ThreadPoolExecutor(max(1, threads)) as pool:
        for found in pool.map(read, range(len(grid.headers))):
            if found is None:
                failed += 1
            else:
                counts += found
            if on_slice is not None:
                on_slice()
    if failed:
        raise SeriesRefused("PIXELS", _undecoded(grid.headers, failed))
    _check_plausible(*counts)
    return CTVolume(volume_hu, grid.spacing_mm, grid.origin_mm, grid.directions), grid.headers


def _grid(instances: Sequence[Dataset]) -> _Grid:
    """Every check that needs no pixels, the ones that explain most first."""
    if len(instances) < 2:
        raise SeriesRefused(
            "TOO_FEW_SLICES",
            f"The series has {len(instances)} readable images and a volume needs at least 2. Send the whole series.",
        )
    _check_identity(instances)
    rows, columns = _shared_numbers(instances, ("Rows", "Columns"), "MATRIX")
    row_spacing_mm, column_spacing_mm = _pixel_spacing_mm(instances)
    directions = _directions(instances)
    headers, positions_mm = _order(instances, directions)
    slice_spacing_mm = _slice_spacing_mm(positions_mm @ directions[0])
    _check_sideways(positions_mm, directions)
    _check_pixel_description(headers)
    shape = (len(headers), int(rows), int(columns))
    if not 0 < shape[0] * shape[1] * shape[2] <= _MAXIMUM_VOXELS:
        raise SeriesRefused(
            "TOO_LARGE",
            f"The series has {shape[0]} slices of {shape[1]} x {shape[2]} pixels; 1 to {_MAXIMUM_VOXELS} voxels "
            "are read. Send a reconstruction with a smaller matrix.",
        )
    return _Grid(headers, shape, (slice_spacing_mm, row_spacing_mm, column_spacing_mm), positions_mm[0], directions)


def _check_identity(instances: Sequence[Dataset]) -> None:
    shared = len(instances) - len({text(header, "SOPInstanceUID") for header in instances})
    if shared:
        raise SeriesRefused(
            "SHARED_SOP_INSTANCE_UID",
            f"{shared} of {len(instances)} images bear the SOP Instance UID of another image of the series, so results "
            "cannot refer to them. Export the series again from its source, with a UID of its own for each image.",
        )
    if len({text(header, "PatientID") for header in instances}) > 1:
        raise SeriesRefused(
            "MIXED_PATIENTS",
            "The images of the series do not all have the same Patient ID. Correct the series at its source.",
        )
    frames = {text(header, "FrameOfReferenceUID") for header in instances} - {""}
    if len(frames) > 1:
        raise SeriesRefused(
            "FRAME_OF_REFERENCE",
            f"The images of the series lie in {len(frames)} frames of reference, so their positions cannot be "
            "compared. Send each acquisition as a series of its own.",
        )


def _shared_numbers(instances: Sequence[Dataset], keywords: tuple[str, ...], code: str) -> tuple[float, ...]:
    """The values that all images have in common."""
    found = [tuple(number(header, keyword) for keyword in keywords) for header in instances]
    missing = sum(None in values for values in found)
    if missing:
        raise _missing(" or ".join(keywords), missing, len(instances))
    if len(set(found)) > 1:
        raise SeriesRefused(
            code,
            f"The images of the series have {len(set(found))} different values of {' and '.join(keywords)}. "
            "Send each reconstruction as a series of its own.",
        )
    return tuple(item for item in found[0] if item is not None)


def _missing(attribute: str, missing: int, total: int) -> SeriesRefused:
    return SeriesRefused(
        "MISSING_GEOMETRY",
        f"{missing} of {total} images have no readable {attribute}, so the volume cannot be measured. "
        "Export the series again from its source with the complete headers.",
    )


def _stack(instances: Sequence[Dataset], keyword: str, count: int) -> np.ndarray:
    """A numeric attribute of all images, float64 `(image, count)`."""
    found = [numbers(header, keyword, count) for header in instances]
    missing = sum(values is None or max(map(abs, values)) > _FARTHEST for values in found)
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
        raise SeriesRefused(
            "PIXEL_SPACING",
            f"{differing} of {len(instances)} images have another PixelSpacing than the first. "
            "Send each reconstruction as a series of its own.",
        )
    return float(spacings[0, 0]), float(spacings[0, 1])


def _directions(instances: Sequence[Dataset]) -> np.ndarray:
    """Unit vectors along which the slice, row and column index grow, `(3, 3)`; slices run from head to feet."""
    cosines = _stack(instances, "ImageOrientationPatient", 6)
    differing = int((np.abs(cosines - cosines[0]) > _COSINE_TOLERANCE).any(axis=1).sum())
    if differing:
        raise SeriesRefused(
            "ORIENTATION",
            f"{differing} of {len(instances)} images have another orientation than the first. "
            "Send each plane as a series of its own.",
        )
    # The row cosine is the direction of a row, so along it the column index grows.
    along_columns, along_rows = cosines[0, :3], cosines[0, 3:]
    lengths = np.linalg.norm([along_columns, along_rows], axis=1)
    if (np.abs(lengths - 1) > _COSINE_TOLERANCE).any() or abs(along_columns @ along_rows) > _COSINE_TOLERANCE:
        raise SeriesRefused(
            "ORIENTATION",
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


def _slice_spacing_mm(depths_mm: np.ndarray) -> float:
    """Distance between neighbouring slices, from their sorted depths along the normal; SliceThickness is not it."""
    steps_mm = np.diff(depths_mm)
    doubled = int((steps_mm < _SAME_POSITION_MM).sum())
    if doubled:
        raise SeriesRefused(
            "DUPLICATE_POSITION",
            f"{doubled} of {len(depths_mm)} images lie at the position of another image, as when two acquisitions or "
            "reconstructions share a series. Send each of them as a series of its own.",
        )
    usual_mm = float(np.median(steps_mm))
    # Half the usual distance is the limit for very thin slices, so that a missing one is always seen.
    tolerance_mm = min(max(_UNEVEN_FRACTION * usual_mm, _UNEVEN_MM), 0.5 * usual_mm)
    uneven_mm = steps_mm[np.abs(steps_mm - usual_mm) > tolerance_mm]
    if uneven_mm.size:
        raise SeriesRefused(
            "GAP",
            f"Neighbouring slices are {usual_mm:.2f} mm apart, but {uneven_mm.min():.2f} to {uneven_mm.max():.2f} mm "
            f"at {uneven_mm.size} of {steps_mm.size} places: slices are missing, or the series mixes reconstructions. "
            "Send the whole series again.",
        )
    # The mean over all steps, each now known to be near the median, is free of the rounding of single positions.
    return float(steps_mm.mean())


def _check_sideways(positions_mm: np.ndarray, directions: np.ndarray) -> None:
    drift_mm = np.abs((positions_mm - positions_mm[0]) @ directions[1:].T).max()
    if drift_mm > _SIDEWAYS_MM:
        raise SeriesRefused(
            "TILT",
            f"The slices move up to {drift_mm:.1f} mm sideways along the series, as with a tilted gantry. "
            "Send a series reconstructed without tilt.",
        )


def _check_pixel_description(headers: Sequence[Dataset]) -> None:
    total = len(headers)
    coloured = sum(text(header, "PhotometricInterpretation") != "MONOCHROME2" for header in headers)
    if coloured:
        raise SeriesRefused(
            "PHOTOMETRIC",
            f"{coloured} of {total} images are not MONOCHROME2, as CT images in Hounsfield units are. "
            "Send the original images of the scanner.",
        )
    unscaled = sum(not _has_rescale(header) for header in headers)
    if unscaled:
        raise SeriesRefused(
            "NO_RESCALE",
            f"{unscaled} of {total} images have no readable RescaleSlope and RescaleIntercept to Hounsfield units. "
            "Send the original images of the scanner.",
        )


def _has_rescale(header: Dataset) -> bool:
    slope, intercept = number(header, "RescaleSlope"), number(header, "RescaleIntercept")
    return text(header, "RescaleType") in ("", "HU", "US") and slope not in (None, 0.0) and intercept is not None


def _undecoded(headers: Sequence[Dataset], failed: int) -> str:
    syntaxes = {UID(transfer_syntax(header)) for header in headers} - {UID("")}
    names = ", ".join(sorted(uid.name if uid.is_transfer_syntax else "an unknown one" for uid in syntaxes)) or "none"
    return (
        f"The pixels of {failed} of {len(headers)} images cannot be decoded (transfer syntax: {names}). "
        "Send the series again, uncompressed if the error stays."
    )


def _tissue_counts(slice_hu: np.ndarray) -> np.ndarray:
    """How many of a sample of the pixels are air, how many soft tissue, and how many there are."""
    sample_hu = np.ascontiguousarray(slice_hu[::4, ::4])
    lowest, highest = _SOFT_TISSUE_HU
    soft_tissue = np.count_nonzero((sample_hu >= lowest) & (sample_hu <= highest))
    return np.array([np.count_nonzero(sample_hu < _AIR_HU), soft_tissue, sample_hu.size])


def _check_plausible(air_count: int, soft_tissue_count: int, total: int) -> None:
    air, soft_tissue = air_count / total, soft_tissue_count / total
    if air < _AIR_FRACTION or soft_tissue < _SOFT_TISSUE_FRACTION:
        raise SeriesRefused(
            "NOT_HU",
            f"{air:.1%} of the voxels are air (below {_AIR_HU} HU) and {soft_tissue:.1%} soft tissue "
            f"({_SOFT_TISSUE_HU[0]} to {_SOFT_TISSUE_HU[1]} HU); a chest CT has at least {_AIR_FRACTION:.0%} and "
            f"{_SOFT_TISSUE_FRACTION:.0%}. The pixel values are not Hounsfield units, or the images do not show a "
            "chest. Send the original images.",
        )
