"""Whether what became of a folder is right: an explained refusal, or the volume that another reader finds too."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydicom import DataElement, dcmread
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.pixels.utils import pixel_array

from groundglass.dicomio.reading.attributes import quiet_pydicom
from groundglass.dicomio.reading.frames import Frame
from groundglass.dicomio.reading.scan import Scan, Series, scan_folder
from groundglass.dicomio.reading.select import choose_series
from groundglass.dicomio.reading.volume import ReadSeries, read_grid
from groundglass.domain.errors import Refusal
from groundglass.domain.refusals import REFUSALS
from groundglass.presets import SHIPPED

RULES = replace(SHIPPED.selection, minimum_slices=4, minimum_extent_mm=15)
PLANTED = re.compile("planted|19010203|20010203|112233|1\\.2\\.826\\.0\\.1\\.3680043", re.IGNORECASE)
_ALONG_MM, _SIDEWAYS_MM = 0.2, 1.0
"""What a slice may be off its place in the volume; along the series a tenth of the spacing where that is more."""


@dataclass(frozen=True)
class Outcome:
    """What became of a folder.

    Attributes:
        read: the series that became volumes.
        codes: of those that were refused.
        said: every reason that was given, for files, series and cases.
    """

    read: tuple[ReadSeries, ...]
    codes: tuple[str, ...]
    said: tuple[str, ...]


def judge(folder: Path, files: int, pixels_are_sound: bool = True) -> Outcome:
    """Follow the input from the scan to the volumes, as the application does.

    Args:
        folder: the input.
        files: how many there are.
        pixels_are_sound: whether compressed pixels can be compared; decoders differ in what they make of garbage.

    Raises:
        AssertionError: something is wrong, or not told.
        Exception: whatever the product raises, since it should raise nothing but refusals.
    """
    scan = scan_folder(folder)
    counted = sum(len(series.instances) for series in scan.series) + len(scan.ignored)
    assert counted == files, f"{counted} of {files} files are accounted for"
    outcome = _follow(scan, pixels_are_sound)
    assert set(outcome.codes) <= set(REFUSALS)
    for reason in outcome.said:
        assert len(reason) > 9, f"'{reason}' explains nothing"
        assert not PLANTED.search(reason), "a reason tells of the patient"
    return outcome


def _follow(scan: Scan, pixels_are_sound: bool) -> Outcome:
    studies: dict[str, list[Series]] = {}
    for series in scan.series:
        studies.setdefault(series.study_instance_uid, []).append(series)
    read, codes, said = [], [], [item.reason for item in scan.ignored]
    for study in studies.values():
        selection = choose_series(study, RULES)
        told = [*selection.rejected, *([selection.chosen] if selection.chosen else [])]
        assert len(told) == len(study), "a series is neither chosen nor rejected"
        for rejection in selection.rejected:
            assert rejection.reasons, "a series is rejected without a reason"
            said += rejection.reasons
        if selection.chosen is None:
            continue
        try:
            found = read_grid(selection.chosen.grid)
        except Refusal as refusal:
            codes.append(refusal.code)
            said.append(refusal.reason)
            continue
        read.append(found)
        said += [note.problem for note in found.notes]
        left_out = len(selection.chosen.series.instances) - len(found.sources)
        assert left_out == 0 or any("left out" in note.problem for note in found.notes), (
            "images are left out in silence"
        )
        _check_volume(found, pixels_are_sound)
    return Outcome(tuple(read), tuple(codes), tuple(said))


def _check_volume(read: ReadSeries, pixels_are_sound: bool) -> None:
    """Every slice is where, and what, another reader of its file says."""
    volume, placement = read.volume, read.placement
    assert volume.hu.dtype == np.int16
    assert (volume.hu.shape[0] == len(read.sources)) or placement is not None
    assert np.isfinite(volume.affine).all()
    depths_mm = []
    for index, source in enumerate(read.sources):
        position_mm, hu = _read_plainly(source, pixels_are_sound)
        if placement is None:
            own_hu, place_mm = volume.hu[index], volume.origin_mm + index * volume.spacing_mm[0] * volume.directions[0]
        else:
            home, offset = int(placement.homes[index]), placement.offsets[index]
            own_hu = volume.hu[home][placement.window(index)]
            place_mm = volume.origin_mm + np.array([home, *offset]) * volume.spacing_mm @ volume.directions
        if hu is not None:
            np.testing.assert_array_equal(own_hu, hu)
        off_mm = np.abs(volume.directions @ (place_mm - position_mm))
        half_mm = np.zeros(3) if placement is None else np.array(volume.spacing_mm) / 2
        allowed_mm = np.maximum([max(_ALONG_MM, volume.spacing_mm[0] / 10), _SIDEWAYS_MM, _SIDEWAYS_MM], half_mm)
        assert (off_mm <= allowed_mm + 1e-3).all(), f"slice {index} is {off_mm} mm off its place"
        depths_mm.append(float(volume.directions[0] @ position_mm))
    steps_mm = np.diff(depths_mm)
    assert (steps_mm > 0).all(), "slices are not in the order of their places"
    assert steps_mm.max() < 1.5 * np.median(steps_mm), "a slice is missing"


@quiet_pydicom()
def _read_plainly(source: Dataset, pixels_are_sound: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """Position and Hounsfield units of an image as pydicom reads its file (PS3.3 C.11.1, C.7.5.1)."""
    image = dcmread(str((source.whole if isinstance(source, Frame) else source).filename), force=True)
    if not image.file_meta.get("TransferSyntaxUID"):
        image.file_meta.TransferSyntaxUID = source.file_meta.TransferSyntaxUID
    if not image:  # pydicom finds nothing behind a file meta group whose length is spoilt: there is no second opinion
        return np.array(source.ImagePositionPatient, dtype=float), None
    frame, frames, holders = 0, 1, [image]
    if isinstance(source, Frame):
        groups = image.PerFrameFunctionalGroupsSequence
        frame, frames = source.number - 1, len(groups)
        holders = [item for element in groups[frame] if element.VR == "SQ" for item in element.value]

    def numbers(keyword: str) -> list[float]:
        (value,) = [holder[keyword].value for holder in holders if keyword in holder]
        return [float(item) for item in (value if isinstance(value, MultiValue) else [value])]

    position_mm = np.array(numbers("ImagePositionPatient"))
    if image.file_meta.TransferSyntaxUID.is_compressed and not pixels_are_sound:
        return position_mm, None
    # A grey image has one sample a pixel, and a CT image one frame, whatever these attributes hold.
    image[0x00280002], image[0x00280008] = DataElement(0x00280002, "US", 1), DataElement(0x00280008, "IS", frames)
    stored = pixel_array(image, raw=True).astype(np.int64).reshape(-1, image.Rows, image.Columns)[frame]
    bits = image.BitsStored
    stored &= 2**bits - 1
    if image.PixelRepresentation == 1:
        stored -= (stored >> (bits - 1)) << bits
    # Nothing is thinner than air.
    hu = np.rint(stored * numbers("RescaleSlope")[0] + numbers("RescaleIntercept")[0]).clip(-1024, 2**15 - 1)
    hu[_is_padding(image, stored)] = -1024
    return position_mm, hu.astype(np.int16)


def _is_padding(image: Dataset, stored: np.ndarray) -> np.ndarray:
    ends = []
    for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit"):
        try:
            ends.append(float(image[keyword].value))
        except Exception:  # there is none, or nothing that pydicom could make a number of
            break
    return (stored >= min(ends)) & (stored <= max(ends)) if ends else np.zeros(stored.shape, bool)
