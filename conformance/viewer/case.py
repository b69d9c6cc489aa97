"""A case as viewers get it: the images, what the application made of them, and what each of those files holds."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import highdicom as hd
import numpy as np
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import (
    UID,
    BasicTextSRStorage,
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EnhancedSRStorage,
    SegmentationStorage,
)

from groundglass.dicomio.writing.segmentation import LABEL_MAP_STORAGE

SEGMENTATIONS = frozenset({SegmentationStorage, LABEL_MAP_STORAGE})
REPORTS = frozenset({BasicTextSRStorage, EnhancedSRStorage, ComprehensiveSRStorage, Comprehensive3DSRStorage})

_MEASUREMENT_REPORT = "126000"
_IMAGING_MEASUREMENTS = "126010"
_MEASUREMENT_GROUP = "125007"
_TRACKING_UID = "112040"


@dataclass(frozen=True)
class Region:
    """One planar measurement group of a report (PS3.16 TID 1410).

    Attributes:
        uid: its Tracking Unique Identifier.
        sop_instance_uid: the image that it lies on.
        outline: `(column, row)` in pixels, from the top left corner of the image.
    """

    uid: str
    sop_instance_uid: str
    outline: np.ndarray


@dataclass(frozen=True)
class Report:
    """What a structured report holds.

    Attributes:
        measures: whether it is an Imaging Measurement Report by its title: viewers show the regions of such a one on
            the images, and any other as text.
        regions: in the order of the report.
        texts: every text in it.
    """

    measures: bool
    regions: tuple[Region, ...]
    texts: tuple[str, ...]

    @classmethod
    def read(cls, dataset: Dataset) -> "Report":
        """The report that a file holds."""
        containers = [item for item in dataset.ContentSequence if _concept(item) == _IMAGING_MEASUREMENTS]
        groups = [group for held in containers for group in _below(held) if _concept(group) == _MEASUREMENT_GROUP]
        regions = [_region(group) for group in groups]
        texts = tuple(str(item.TextValue) for item in _all_below(dataset) if item.ValueType == "TEXT")
        measures = _concept(dataset) == _MEASUREMENT_REPORT
        return cls(measures, tuple(region for region in regions if region is not None), texts)


@dataclass(frozen=True)
class Case:
    """Source images and results.

    Attributes:
        name: for the table.
        sources: headers of the source images, in slice order.
        outputs: paths of the DICOM objects.
    """

    name: str
    sources: tuple[Dataset, ...]
    outputs: tuple[Path, ...]

    @classmethod
    def read_all(cls, name: str, study: Path, results: Path) -> Iterator["Case"]:
        """Each case of a folder of results, with the images of `study` that it was made of.

        Raises:
            FileNotFoundError: a file that result.json lists is not there.
            ValueError: `study` has no image of a case.
        """
        cases = json.loads((results / "result.json").read_text(encoding="utf-8"))["cases"]
        images = list(_images(study))
        for found in cases:
            sources = [image for image in images if image.SeriesInstanceUID == found["series_instance_uid"]]
            outputs = tuple(results / file for file in found["outputs"] if file.endswith(".dcm"))
            for path in outputs:
                path.stat()
            if not sources:
                raise ValueError(f"{study} has no image of the series that {found['case']} is about.")
            full_name = name if len(cases) == 1 else f"{name}, {found['case']}"
            yield cls(full_name, tuple(sorted(sources, key=_depth)), outputs)

    @property
    def study_instance_uid(self) -> str:
        """Of the source and of all outputs."""
        return str(self.sources[0].StudyInstanceUID)

    @property
    def source_paths(self) -> tuple[Path, ...]:
        """The files of the source images."""
        return tuple(Path(str(source.filename)) for source in self.sources)

    @cached_property
    def headers(self) -> dict[Path, Dataset]:
        """Every output without its pixels."""
        return {path: dcmread(path, stop_before_pixels=True) for path in self.outputs}

    def kind(self, path: Path) -> str:
        """An output's name among those of its case, `seg` for instance."""
        return path.name.removesuffix(".dcm").partition(".")[2]

    def of_class(self, classes: frozenset[UID]) -> list[Path]:
        """The outputs of some SOP classes."""
        return [path for path, header in self.headers.items() if header.SOPClassUID in classes]

    @cached_property
    def masks(self) -> dict[Path, dict[int, tuple[str, np.ndarray]]]:
        """Of each Segmentation the segments by number: label, and `(slice, row, col)` mask on the source images."""
        return {path: self._masks_of(path) for path in self.of_class(SEGMENTATIONS)}

    def _masks_of(self, path: Path) -> dict[int, tuple[str, np.ndarray]]:
        segmentation = hd.seg.segread(path)
        known = {uid for _, _, uid in segmentation.get_source_image_uids()}
        places = [index for index, source in enumerate(self.sources) if source.SOPInstanceUID in known]
        uids = [self.sources[index].SOPInstanceUID for index in places]
        shape = (len(self.sources), int(self.sources[0].Rows), int(self.sources[0].Columns))
        found = {}
        for number in segmentation.segment_numbers:
            mask = np.zeros(shape, bool)
            mask[places] = segmentation.get_pixels_by_source_instance(
                uids, segment_numbers=[number], rescale_fractional=False, assert_missing_frames_are_empty=True
            )[..., 0]
            found[int(number)] = segmentation.get_segment_description(number).segment_label, mask
        return found


def affine_of(sources: Sequence[Dataset]) -> np.ndarray:
    """Where `(slice, row, col)` of images in slice order lies in the patient, 4x4, in millimetres (C.7.6.2.1.1)."""
    first, last = sources[0], sources[-1]
    along = np.array(first.ImageOrientationPatient, float).reshape(2, 3)
    row_mm, column_mm = map(float, first.PixelSpacing)
    affine = np.eye(4)
    affine[:3, 1], affine[:3, 2] = along[1] * row_mm, along[0] * column_mm
    affine[:3, 3] = first.ImagePositionPatient
    if len(sources) > 1:
        affine[:3, 0] = (np.array(last.ImagePositionPatient, float) - affine[:3, 3]) / (len(sources) - 1)
    return affine


def _images(study: Path) -> Iterator[Dataset]:
    for path in sorted(study.rglob("*")):
        if path.is_file():
            try:
                image = dcmread(path, stop_before_pixels=True)
            except InvalidDicomError:
                continue  # studies have other files in them
            if "ImagePositionPatient" in image:
                yield image


def _depth(image: Dataset) -> float:
    along = np.array(image.ImageOrientationPatient, float).reshape(2, 3)
    return float(np.cross(along[0], along[1]) @ np.array(image.ImagePositionPatient, float))


def _concept(item: Dataset) -> str:
    names = item.get("ConceptNameCodeSequence")
    return str(names[0].CodeValue) if names else ""


def _below(item: Dataset) -> list[Dataset]:
    return list(item.get("ContentSequence", ()))


def _all_below(item: Dataset) -> Iterator[Dataset]:
    for below in _below(item):
        yield below
        yield from _all_below(below)


def _region(group: Dataset) -> Region | None:
    """A measurement group as a region; None where it has no coordinates on an image."""
    items = _below(group)
    coordinates = next((item for item in items if item.ValueType == "SCOORD"), None)
    if coordinates is None:
        return None
    uid = next((str(item.UID) for item in items if _concept(item) == _TRACKING_UID), "")
    image = str(coordinates.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
    return Region(uid, image, np.reshape(coordinates.GraphicData, (-1, 2)).astype(float))
