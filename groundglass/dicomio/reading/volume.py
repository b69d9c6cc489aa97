"""A CT series as a volume in Hounsfield units, or the reason why it must not become one (PS3.3 C.11.1)."""

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import UID, JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless

from groundglass.dicomio.reading.attributes import quiet_pydicom, text
from groundglass.dicomio.reading.defects import Defect
from groundglass.dicomio.reading.geometry import Grid, check_geometry
from groundglass.dicomio.reading.pixels import (
    PADDING_HU,
    SEND_AGAIN,
    UnreadablePixels,
    high_bit_contradicts,
    read_slice_hu,
    transfer_syntax,
)
from groundglass.dicomio.reading.plausibility import check_plausible, check_stored_alike, tissue_counts
from groundglass.domain.arrays import HounsfieldUnits, Indices
from groundglass.domain.errors import Refusal
from groundglass.domain.placement import Placement
from groundglass.domain.refusals import RefusalCode
from groundglass.domain.volume import CTVolume

_LOSSY = frozenset({JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless})
"""Transfer syntaxes that always lose something."""


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
    is_blank = np.zeros(len(grid.headers), bool)

    def read(index: int) -> Indices | UnreadablePixels:
        try:
            slice_hu = store(index)
            is_blank[index] = slice_hu.min() == slice_hu.max()
            return tissue_counts(slice_hu)
        except UnreadablePixels as reason:
            return reason.with_traceback(None)
        except Exception:  # Decoders raise whatever they like.
            return _not_decoded(grid.headers[index])

    counts, unreadable = [], []
    with ThreadPoolExecutor(max(1, threads)) as pool:
        for found in pool.map(read, range(len(grid.headers))):
            if isinstance(found, UnreadablePixels):
                unreadable.append(found)
            else:
                counts.append(found)
            if on_slice is not None:
                on_slice()
    if unreadable:
        raise Refusal(RefusalCode.PIXELS, _tell_unreadable(unreadable, len(grid.headers)))
    tissues = np.array(counts)
    check_plausible(tissues, "the voxels")
    check_stored_alike(grid.headers, tissues)
    notes = (*grid.notes, *_loss_of(grid.headers), *_high_bits_of(grid.headers), *_blanks_of(is_blank))
    return ReadSeries(volume, grid.headers, grid.placement, notes, grid.goes_on_below)


def _loss_of(headers: Sequence[Dataset]) -> tuple[Defect, ...]:
    """A note where the values are no longer those that the scanner has measured."""
    lossy = sum(
        text(header, "LossyImageCompression") == "01" or transfer_syntax(header) in _LOSSY for header in headers
    )
    problem = f"tells of a lossy compression of {lossy} of {len(headers)} images: their values are not exact"
    return (Defect("LossyImageCompression", problem),) if lossy else ()


def _high_bits_of(headers: Sequence[Dataset]) -> tuple[Defect, ...]:
    """A note on a HighBit that contradicts BitsStored, without a doubt about the values (`read_slice_hu`)."""
    wrong = sum(map(high_bit_contradicts, headers))
    problem = f"is not BitsStored minus one in {wrong} of {len(headers)} images: their values are the same either way"
    return (Defect("HighBit", problem),) if wrong else ()


def _blanks_of(is_blank: NDArray[np.bool_]) -> tuple[Defect, ...]:
    """A note on images that show nothing: within the lungs, what they should show is missing."""
    blank = int(np.count_nonzero(is_blank))
    problem = f"is one value throughout in {blank} of {is_blank.size} images, which show nothing"
    return (Defect("PixelData", problem),) if blank else ()


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


def _not_decoded(header: Dataset) -> UnreadablePixels:
    """Why a decoder has failed, as far as the header of the image tells."""
    syntax = UID(transfer_syntax(header))
    name = syntax.name if syntax.is_transfer_syntax else "an unknown one"
    if syntax.is_transfer_syntax and not syntax.is_encapsulated:
        problem = f"the pixel data aren't what the headers say, though they are uncompressed ({name})"
        return UnreadablePixels(problem, "Send the original images of the scanner.")
    return UnreadablePixels(f"they can't be decoded (transfer syntax: {name})", SEND_AGAIN)


def _tell_unreadable(reasons: Sequence[UnreadablePixels], total: int) -> str:
    """The sentences of a refusal, with the most frequent reason first."""
    counts = Counter((reason.problem, reason.remedy) for reason in reasons)
    (_, remedy), _ = counts.most_common(1)[0]
    if len(counts) == 1:
        problems = reasons[0].problem
    else:
        problems = "; ".join(f"of {count} {problem}" for (problem, _), count in counts.most_common())
    return f"The pixels of {len(reasons)} of {total} images cannot be read: {problems}. {remedy}"
