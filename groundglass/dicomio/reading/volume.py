"""A CT series as a volume in Hounsfield units, or the reason why it must not become one (PS3.3 C.11.1)."""

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import UID

from groundglass.dicomio.reading.attributes import number, quiet_pydicom
from groundglass.dicomio.reading.defects import Defect
from groundglass.dicomio.reading.geometry import Grid, check_geometry
from groundglass.dicomio.reading.pixels import PADDING_HU, read_slice_hu, transfer_syntax
from groundglass.domain.arrays import HounsfieldUnits, Indices
from groundglass.domain.errors import Refusal
from groundglass.domain.placement import Placement
from groundglass.domain.refusals import RefusalCode
from groundglass.domain.volume import CTVolume

_AIR_HU, _AIR_FRACTION = -800, 0.01
_SOFT_TISSUE_HU, _SOFT_TISSUE_FRACTION = (-100, 150), 0.05
"""What every chest CT in Hounsfield units contains, as a fraction of its voxels."""
_STORED_AS = ("RescaleSlope", "RescaleIntercept", "BitsStored", "PixelRepresentation")
"""What makes Hounsfield units of stored bits."""


@dataclass(frozen=True)
class ReadSeries:
    """A series that was read.

    Attributes:
        volume: in which the method finds things.
        sources: the headers of the images in it, from the patient's head to the feet.
        placement: where the images lie in the volume; None where the volume's slices are the images.
        notes: what was put right.
        goes_on_below: whether another acquisition of the series, which was left out, reaches further to the feet.
    """

    volume: CTVolume
    sources: tuple[Dataset, ...]
    placement: Placement | None
    notes: tuple[Defect, ...]
    goes_on_below: bool = False


@quiet_pydicom()
def read_images(
    instances: Sequence[Dataset], threads: int = 2, on_slice: Callable[[], None] | None = None
) -> ReadSeries:
    """A series that is known to be complete and was not checked before: its geometry, then `read_grid`.

    Args:
        instances: the headers of one series, in any order.
        threads, on_slice: as `read_grid` has them.

    Raises:
        Refusal: TOO_FEW_SLICES, MIXED_PATIENTS, SHARED_SOP_INSTANCE_UID, FRAME_OF_REFERENCE, MATRIX,
            MISSING_GEOMETRY, PIXEL_SPACING, ORIENTATION, DUPLICATE_POSITION, GAP, TILT, PHOTOMETRIC, NO_RESCALE,
            TOO_LARGE, PIXELS or NOT_HU.
    """
    return read_grid(check_geometry(instances), threads, on_slice)


@quiet_pydicom()
def read_grid(grid: Grid, threads: int = 2, on_slice: Callable[[], None] | None = None) -> ReadSeries:
    """Decode the images of a series whose geometry was found to be sound into one int16 array in Hounsfield units.

    One slice is one image, but where the gantry was tilted or the distances are uneven: those are placed on a regular
    grid. The headers stay as small as they were: pixels are decoded from the files, one image in memory a thread.

    Args:
        grid: of `check_series` or `check_geometry`.
        threads: images decoded at the same time.
        on_slice: called in the calling thread after each image, to show progress.

    Raises:
        Refusal: PIXELS or NOT_HU.
    """
    volume, store = _volume_of(grid)

    def read(index: int) -> Indices | None:
        try:
            return _tissue_counts(store(index))
        except Exception:  # Decoders raise whatever they like; the count of failures is reported.
            return None

    counts = []
    with ThreadPoolExecutor(max(1, threads)) as pool:
        for found in pool.map(read, range(len(grid.headers))):
            counts.append(found)
            if on_slice is not None:
                on_slice()
    tissues = np.array([found for found in counts if found is not None])
    if len(tissues) < len(counts):
        raise Refusal(RefusalCode.PIXELS, _undecoded(grid.headers, len(counts) - len(tissues)))
    _check_plausible(tissues, "the voxels")
    stored_as = [tuple(number(header, name) for name in _STORED_AS) for header in grid.headers]
    usual, _ = Counter(stored_as).most_common(1)[0]
    # Every image may be stored in a way of its own, but a wrong one in a few images is lost among all the others.
    others = np.array([way != usual for way in stored_as])
    if others.any():
        _check_plausible(tissues[others], f"the voxels in {others.sum()} images with another rescale or other bits")
    return ReadSeries(volume, grid.headers, grid.placement, grid.notes, grid.goes_on_below)


def _volume_of(grid: Grid) -> tuple[CTVolume, Callable[[int], HounsfieldUnits]]:
    """A volume without content, and what puts one image into it and returns the image's own pixels."""
    placement = grid.placement
    if placement is None:
        volume_hu = np.empty(grid.shape, np.int16)

        def store(index: int) -> HounsfieldUnits:
            slice_hu: HounsfieldUnits = volume_hu[index]
            read_slice_hu(grid.headers[index], slice_hu)
            return slice_hu

        return CTVolume(volume_hu, grid.spacing_mm, grid.origin_mm, grid.directions), store
    placed_hu = np.full(placement.shape, PADDING_HU, np.int16)

    def place(index: int) -> HounsfieldUnits:
        slice_hu = np.empty(grid.shape[1:], np.int16)
        read_slice_hu(grid.headers[index], slice_hu)
        placed_hu[np.flatnonzero(placement.slices == index), *placement.window(index)] = slice_hu
        return slice_hu

    return CTVolume(placed_hu, placement.spacing_mm, placement.origin_mm, grid.directions), place


def _undecoded(headers: Sequence[Dataset], failed: int) -> str:
    syntaxes = {UID(transfer_syntax(header)) for header in headers} - {UID("")}
    names = ", ".join(sorted(uid.name if uid.is_transfer_syntax else "an unknown one" for uid in syntaxes)) or "none"
    return (
        f"The pixels of {failed} of {len(headers)} images cannot be decoded (transfer syntax: {names}). "
        "Send the series again, uncompressed if the error stays."
    )


def _tissue_counts(slice_hu: HounsfieldUnits) -> Indices:
    """How many of a sample of the pixels are air, how many soft tissue, and how many there are."""
    sample_hu = np.ascontiguousarray(slice_hu[::4, ::4])
    lowest, highest = _SOFT_TISSUE_HU
    soft_tissue = np.count_nonzero((sample_hu >= lowest) & (sample_hu <= highest))
    return np.array([np.count_nonzero(sample_hu < _AIR_HU), soft_tissue, sample_hu.size])


def _check_plausible(tissues: Indices, which: str) -> None:
    """Refuse what is no chest in Hounsfield units; `tissues` are the counts of images, `(image, 3)`."""
    air_count, soft_tissue_count, total = tissues.sum(axis=0)
    air, soft_tissue = air_count / total, soft_tissue_count / total
    if air < _AIR_FRACTION or soft_tissue < _SOFT_TISSUE_FRACTION:
        raise Refusal(
            RefusalCode.NOT_HU,
            f"{air:.1%} of {which} are air (below {_AIR_HU} HU) and {soft_tissue:.1%} soft tissue "
            f"({_SOFT_TISSUE_HU[0]} to {_SOFT_TISSUE_HU[1]} HU); a chest CT has at least {_AIR_FRACTION:.0%} and "
            f"{_SOFT_TISSUE_FRACTION:.0%}. The pixel values are not Hounsfield units, or the images do not show a "
            "chest. Send the original images.",
        )
