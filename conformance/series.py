"""The series that outputs are made of: the phantom as scanners store it in every orientation, and real ones."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset, dcmread
from scipy import ndimage
from scipy.spatial.transform import Rotation

from groundglass.dicomio.reading.scan import scan_folder
from groundglass.dicomio.reading.volume import read_images
from groundglass.domain.findings import THIRDS, Box, Findings, Region, Side, SliceFinding, Zone
from groundglass.domain.volume import LEFT_LUNG, RIGHT_LUNG, CTVolume, on_grid
from groundglass.phantom.study import write_study
from groundglass.phantom.thorax import make_thorax
from groundglass.presets import SHIPPED
from groundglass.result import describe

SLICES, SIZE = 24, 96
"""Of the phantom: small, so that all orientations are checked within minutes."""
LESIONS, EXPLAINED_SLICES = 2, 3
"""Of the phantom's lesions, the largest, and slices on which they count as salient: few, because DicomSRValidator takes
long over a report with many regions."""

_TOWARDS = {"R": (0, -1), "L": (0, 1), "A": (1, -1), "P": (1, 1), "F": (2, -1), "H": (2, 1)}
"""Axis and sign of the patient's directions, in DICOM's coordinates (PS3.3 C.7.6.2.1.1)."""

_AWKWARD = {
    "SpecificCharacterSet": "ISO_IR 192",
    "PatientName": "Wang^XiaoDong=王^小東=",
    "PatientID": "  0042/ä ",
    "PatientSex": "",
    "StudyID": "",
    "StudyTime": "235959.999999",
    "AccessionNumber": "A" * 16,
    "StudyDescription": "Thorax \u2013 Kontrolle, " + "x" * 40,
    "PatientComments": "",
    "Manufacturer": "",
    "SoftwareVersions": ["VA40", "VA41"],
}
"""Valid, and seldom thought of: three name groups, characters of several bytes, values of full length, empty ones."""


@dataclass(frozen=True)
class Orientation:
    """How a scanner stores the phantom.

    Attributes:
        axes: the patient's directions towards which the index of slice, row and column grow, in the order of the files.
        position: Patient Position (PS3.3 C.7.3.1.1.2).
        rotation_degrees: by which patient and grid are turned about x, y and z.
        every: of the phantom's `(slice, row, col)` that are kept; unequal ones make unequal spacings.
        preset: of the phantom.
        edits: attributes of every file that differ from the phantom's.
    """

    axes: str
    position: str = "HFS"
    rotation_degrees: tuple[float, float, float] = (0.0, 0.0, 0.0)
    every: tuple[int, int, int] = (1, 1, 1)
    preset: str = "covid19"
    edits: tuple[tuple[str, object], ...] = ()


ORIENTATIONS = {
    "axial, head to feet": Orientation("FPL"),
    "axial, feet to head": Orientation("HPL"),
    "feet first": Orientation("FPR", "FFS"),
    "prone": Orientation("FAR", "HFP"),
    "feet first, prone": Orientation("HAL", "FFP"),
    "on the right side": Orientation("FRP", "HFDR"),
    "on the left side": Orientation("HLA", "HFDL"),
    "oblique": Orientation("FPL", rotation_degrees=(9.0, -6.0, 17.0)),
    "non-square pixels": Orientation("HPL", every=(1, 1, 2)),
    "coronal": Orientation("PFL"),
    "sagittal": Orientation("LFP"),
    "other disease, no name": Orientation("FPL", preset="cap", edits=(("PatientName", ""),)),
    "negative study": Orientation("HPL", preset="normal"),
    "awkward headers": Orientation("FPL", edits=tuple(_AWKWARD.items())),
}
"""The selector refuses coronal and sagittal series; the volume and the outputs hold for them all the same."""

FEW = ("feet first, prone", "oblique", "non-square pixels", "negative study", "awkward headers")
"""What continuous integration checks of them: every axis turned, and each kind of content."""


@dataclass(frozen=True)
class Series:
    """One source series as the application reads it, with findings that are known to be right.

    Attributes:
        name: for the table.
        files: the source images on disk.
        sources: their headers in the order of the slices.
        volume: their pixels and geometry, as read back.
        findings: on the grid of `volume`.
        segments: `(slice, row, col)` masks by segment label, and in `segments_affine` where they lie in the patient.
            For the phantom they come from its truth, past everything that reads or writes DICOM.
    """

    name: str
    files: tuple[Path, ...]
    sources: tuple[Dataset, ...]
    volume: CTVolume
    findings: Findings
    segments: dict[str, np.ndarray]
    segments_affine: np.ndarray


def write_phantom(name: str, folder: Path) -> Series:
    """The phantom in one of ORIENTATIONS, written to `folder` and read back by the application's own reader.

    Raises:
        ValueError: if a voxel read back isn't the phantom's at that place in the patient.
    """
    orientation = ORIENTATIONS[name]
    volume, lungs, lesions = _phantom(orientation)
    # The number stands in for the seed, so that each series has UIDs of its own.
    files = write_study(volume, folder, preset=orientation.preset, seed=list(ORIENTATIONS).index(name))
    for file in files:
        image = dcmread(file)
        image.PatientPosition = orientation.position
        for keyword, value in orientation.edits:
            setattr(image, keyword, value)
        image.save_as(file)
    (series,) = scan_folder(folder).series
    images = read_images(series.instances)
    read, sources = images.volume, images.sources
    if not np.array_equal(on_grid(volume.hu, volume.affine, read.affine), read.hu):
        raise ValueError(f"The CT volume that was read from '{name}' is not the phantom at every place of the patient.")
    findings = make_findings(
        read,
        on_grid(lungs, volume.affine, read.affine),
        on_grid(lesions, volume.affine, read.affine),
        {"covid19": "covid19", "cap": "cap", "normal": "np"}[orientation.preset],
    )
    segments = _segments(lungs, lesions)
    return Series(name, tuple(files), sources, read, findings, segments, volume.affine)


def _segments(lungs: np.ndarray, lesions: np.ndarray) -> dict[str, np.ndarray]:
    """Masks by the labels that the Segmentations have to give them."""
    regions = {f"Region {number}": lesions == number for number in range(1, int(lesions.max()) + 1)}
    return {"Right lung": lungs == RIGHT_LUNG, "Left lung": lungs == LEFT_LUNG} | regions


def read_real(folder: Path) -> Iterator[Series]:
    """Real series of a folder; their findings are made up, since what is checked is where they end up."""
    for number, series in enumerate(scan_folder(folder).series, start=1):
        images = read_images(series.instances)
        volume, sources = images.volume, images.sources
        lungs = _air_inside(volume)
        lesions = np.zeros_like(lungs)
        middle = len(lungs) // 2
        for lesion, (index, side) in enumerate(((middle, RIGHT_LUNG), (middle + 2, LEFT_LUNG)), start=1):
            rows, columns = np.nonzero(lungs[index] == side)
            lesions[index : index + 2, np.median(rows).astype(int) :, np.median(columns).astype(int) :] = lesion
        lesions[lungs == 0] = 0
        findings = make_findings(volume, lungs, lesions, "covid19")
        segments = _segments(lungs, lesions)
        files = tuple(Path(str(header.filename)) for header in sources)
        name = f"real: {folder.name}" + (f" ({number})" if number > 1 else "")
        yield Series(name, files, sources, volume, findings, segments, volume.affine)


def make_findings(volume: CTVolume, lungs: np.ndarray, lesions: np.ndarray, label: str) -> Findings:
    """What the application would find if it found `lungs` and `lesions`, `(slice, row, col)`, lesions by number."""
    probabilities = {"np": (0.9, 0.06, 0.04), "cap": (0.1, 0.7, 0.2), "covid19": (0.07, 0.13, 0.8)}[label]
    right_ml, left_ml = (
        float(np.count_nonzero(lungs == side)) * volume.voxel_volume_ml for side in (RIGHT_LUNG, LEFT_LUNG)
    )
    boxes, regions = _boxes_and_regions(volume, lungs, lesions, label, max(probabilities))
    explained = sorted({box.slice_index for box in boxes})
    slices = tuple(
        SliceFinding(index, area * volume.pixel_area_mm2, probabilities, index in explained)
        for index, area in enumerate(np.count_nonzero(lungs, axis=(1, 2)))
        if area
    )
    fraction = float((lesions > 0).sum() / (lungs > 0).sum())
    return Findings(
        lungs=lungs,
        right_ml=right_ml,
        left_ml=left_ml,
        prediction=SHIPPED.classification.decision.apply(probabilities),
        salient_fraction=fraction,
        slices=slices,
        saliency={index: _saliency(lesions[index] > 0, lungs[index] > 0) for index in explained},
        salient=lesions.astype(np.uint8) if boxes else None,
        boxes=boxes,
        regions=regions,
        zones=tuple(Zone(side, third, fraction) for side in ("right", "left") for third in THIRDS) if boxes else (),
    )


def _boxes_and_regions(
    volume: CTVolume, lungs: np.ndarray, lesions: np.ndarray, label: str, score: float
) -> tuple[tuple[Box, ...], tuple[Region, ...]]:
    boxes, regions = [], []
    for number in np.unique(lesions[lesions > 0]).tolist():
        mask = lesions == number
        own = []
        for index in np.flatnonzero(mask.any(axis=(1, 2))).tolist():
            pieces, count = ndimage.label(mask[index], structure=np.ones((3, 3)))
            for piece, (rows, columns) in enumerate(ndimage.find_objects(pieces), start=1):
                area_mm2 = np.count_nonzero(pieces == piece) * volume.pixel_area_mm2
                corners = columns.start, rows.start, columns.stop - 1, rows.stop - 1
                own.append(Box(index, label, *corners, area_mm2, score, 0.5 / count, number))
        sides: dict[int, Side] = {RIGHT_LUNG: "right", LEFT_LUNG: "left"}
        touched = [name for side, name in sides.items() if (lungs[mask] == side).any()]
        side: Side = touched[0] if len(touched) == 1 else "both"
        slices = tuple(sorted({box.slice_index for box in own}))
        volume_ml = np.count_nonzero(mask) * volume.voxel_volume_ml
        largest = max(own, key=lambda box: box.area_mm2).slice_index
        best = Box.around([box for box in own if box.slice_index == largest])
        regions.append(Region(number, 0.5 / number, slices, side, "middle", volume_ml, best))
        boxes += own
    return tuple(sorted(boxes, key=lambda box: (box.slice_index, -box.area_mm2))), tuple(regions)


def _saliency(salient: np.ndarray, lungs: np.ndarray) -> np.ndarray:
    """Another value in every pixel of the lungs, so that no flip goes unnoticed; float32 `(row, col)`."""
    ramp = np.linspace(0.1, 1.0, salient.size, dtype=np.float32).reshape(salient.shape)
    ramp[~(lungs | salient)] = 0
    return ramp / ramp.max()


@lru_cache(maxsize=3)
def _thorax(preset: str) -> tuple[CTVolume, np.ndarray, np.ndarray]:
    volume, truth = make_thorax(preset, slices=SLICES, size=SIZE)
    return volume, truth.lungs, truth.lesions


def _phantom(orientation: Orientation) -> tuple[CTVolume, np.ndarray, np.ndarray]:
    """Volume, lungs and lesions of the phantom on the grid of the stored images."""
    made, *truth = _thorax(orientation.preset)
    stored = [array[tuple(slice(None, None, n) for n in orientation.every)] for array in (made.hu, *truth)]
    spacing_mm = np.array(made.spacing_mm) * orientation.every
    directions = np.zeros((3, 3))
    for axis, letter in enumerate(orientation.axes):
        directions[axis, _TOWARDS[letter][0]] = _TOWARDS[letter][1]
    turn = directions @ made.directions.T
    axes = np.abs(turn).argmax(axis=1)
    flipped = [axis for axis in range(3) if turn[axis, axes[axis]] < 0]
    first = np.zeros(3)
    first[axes[flipped]] = np.array(stored[0].shape)[axes[flipped]] - 1
    origin_mm = made.origin_mm + (first * spacing_mm) @ made.directions
    hu, lungs, lesions = (np.flip(array.transpose(axes), tuple(flipped)) for array in stored)
    lesions = _a_few(lesions)
    rotation = Rotation.from_euler("xyz", orientation.rotation_degrees, degrees=True).as_matrix()
    volume = CTVolume(hu, tuple(spacing_mm[axes]), rotation @ origin_mm, directions @ rotation.T)
    return volume, lungs, lesions


def _a_few(lesions: np.ndarray) -> np.ndarray:
    """The largest LESIONS on EXPLAINED_SLICES that aren't neighbours, as the application explains slices too.

    Numbered from 1.
    """
    numbers, sizes = np.unique(lesions[lesions > 0], return_counts=True)
    few = np.zeros_like(lesions)
    for rank, number in enumerate(numbers[np.argsort(-sizes)[:LESIONS]], start=1):
        few[lesions == number] = rank
    shown = np.flatnonzero(few.any(axis=(1, 2)))
    kept = shown[np.linspace(0, len(shown) - 1, EXPLAINED_SLICES).astype(int)] if shown.size else shown
    few[np.setdiff1d(np.arange(len(few)), kept)] = 0
    return few


def _air_inside(volume: CTVolume) -> np.ndarray:
    """Roughly the lungs, uint8: air that no slice lets out at its border, right or left by the side of the body."""
    canonical = volume.to_canonical(volume.hu)
    air = canonical < -500
    lungs = np.zeros(canonical.shape, np.uint8)
    for index, plane in enumerate(air):
        regions, _ = ndimage.label(plane)
        border = np.unique(np.concatenate([regions[0], regions[-1], regions[:, 0], regions[:, -1]]))
        inside = ndimage.binary_opening(plane & ~np.isin(regions, border), iterations=2)
        body_columns = np.flatnonzero((canonical[index] > -200).any(axis=0))
        middle = int(body_columns.mean()) if body_columns.size else 0
        lungs[index][inside] = LEFT_LUNG
        lungs[index][:, :middle][inside[:, :middle]] = RIGHT_LUNG
    return np.ascontiguousarray(volume.from_canonical(lungs))


def case_of(series: Series) -> dict[str, Any]:
    """The findings of a series, as result.json would tell them."""
    return describe(series.findings, [{"sop_instance_uid": str(source.SOPInstanceUID)} for source in series.sources])
