"""What the viewer is to show of a case, and whether its screen shows it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import highdicom as hd
import numpy as np
from pydicom import Dataset, dcmread

from conformance.viewer.browser import Measured
from groundglass.dicomio.reading.scan import scan_folder
from groundglass.dicomio.reading.volume import read_images
from groundglass.rendering.slice_picture import WINDOW_CENTER_HU, WINDOW_WIDTH_HU

SLICES = 3
_CAPTION_PX, _GAP_PX = 24, 4
_JPEG_TOLERANCE = 24
"""Levels by which decoders may differ where a colour's samples are spread over two pixels."""
_BOX_TOLERANCE = 0.05
"""Of a pixel: the viewer computes places in millimetres, with 32 bits."""


class Line(NamedTuple):
    """One comparison: how much of something the file holds, the screen shows, and is not the same in both."""

    what: str
    held: int
    shown: int
    differing: int


@dataclass(frozen=True)
class Case:
    """Files of a case, as the page addresses them.

    Attributes:
        sources: headers of the source images, in slice order.
        segmentations: paths of the SEG, and of the salient regions' label map where there is one.
        key_images: path.
        saliency: path of the Parametric Map, where it shows one of the slices.
        boxes: as in result.json.
        files: by address.
        job: what the page is to show.
    """

    sources: tuple[Dataset, ...]
    segmentations: tuple[Path, ...]
    key_images: Path
    saliency: Path | None
    boxes: list[dict[str, Any]]
    files: dict[str, Path]
    job: dict[str, Any]

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of a source image."""
        return int(self.sources[0].Rows), int(self.sources[0].Columns)

    @classmethod
    def read(cls, study: Path, results: Path, name: str) -> "Case":
        """The case `name` of a folder of results, with the images of `study` that it was made of."""
        result = json.loads((results / "result.json").read_text(encoding="utf-8"))
        found = next(case for case in result["cases"] if case["case"] == name)
        series = next(s for s in scan_folder(study).series if s.series_instance_uid == found["series_instance_uid"])
        sources = read_images(series.instances).sources
        segmentations = tuple(path for kind in ("seg", "regions") if (path := results / f"{name}.{kind}.dcm").is_file())
        files = {f"source/{index}": Path(str(source.filename)) for index, source in enumerate(sources)}
        files |= {path.name: path for path in results.glob(f"{name}.*.dcm")}
        boxed = sorted({box["slice_index"] for box in found["boxes"]}) or [item["index"] for item in found["slices"]]
        key_images = results / f"{name}.key-image-01.dcm"
        key = dcmread(key_images, stop_before_pixels=True)
        # From the first, the middle and the last third of those with boxes.
        shown = sorted({boxed[(2 * part + 1) * len(boxed) // (2 * SLICES)] for part in range(SLICES)})
        saliency = results / f"{name}.saliency.dcm"
        frame = _frame_of(saliency, sources[shown[0]]) if saliency.is_file() else None
        spacing = np.array(sources[0].PixelSpacing, float)
        # Of a view: the smaller side of a pixel of the source is one pixel of the screen.
        height, width = np.rint((sources[0].Rows, sources[0].Columns) * spacing / spacing.min()).astype(int).tolist()
        job = {
            "source": [f"source/{index}" for index in range(len(sources))],
            "segmentations": [path.name for path in segmentations],
            "report": f"{name}.sr.dcm",
            "key_images": key_images.name,
            "key_frames": [1] if frame else list(range(1, min(2, int(key.get("NumberOfFrames", 1))) + 1)),
            "saliency": saliency.name if frame else None,
            "saliency_frame": frame,
            "slices": shown,
            "coronal_row": int(sources[0].Rows) * 5 // 8,
            "window": [WINDOW_CENTER_HU - WINDOW_WIDTH_HU / 2, WINDOW_CENTER_HU + WINDOW_WIDTH_HU / 2],
            "width": SLICES * (width + 2 * _GAP_PX),
            "height": height + max(height, width * key.Rows // key.Columns) + 2 * (_CAPTION_PX + 2 * _GAP_PX),
        }
        return cls(tuple(sources), segmentations, key_images, saliency if frame else None, found["boxes"], files, job)


def compare(case: Case, measured: Measured) -> Iterator[Line]:
    """Everything that the page measured against what highdicom and pydicom read in the files."""
    uids = [source.SOPInstanceUID for source in case.sources]
    row, slices = case.job["coronal_row"], case.job["slices"]
    for path in case.segmentations:
        segmentation = hd.seg.segread(path)
        for number in segmentation.segment_numbers:
            mask = _mask(segmentation, uids, number)
            label = segmentation.get_segment_description(number).segment_label.split(" (")[0]
            views = {f"slice {index + 1}": (str(index), mask[index]) for index in slices}
            for view, (place, true) in (views | {"coronal": ("coronal", mask[:, row])}).items():
                # Of a segment that the viewer doesn't know, nothing is on the screen.
                screen = measured.get(f"{path.name}/{place}/{number}", bytes(true.size))
                yield _compared(f"{label}, {view}", true, screen)
    for index in slices:
        held = [
            [box["column_min"], box["row_min"], box["column_max"] + 1, box["row_max"] + 1]
            for box in case.boxes
            if box["slice_index"] == index
        ]
        shown = json.loads(measured[f"boxes/{index}"])
        found = sum(any(np.allclose(box, other, atol=_BOX_TOLERANCE) for other in shown) for box in held)
        yield Line(f"Boxes, slice {index + 1}", len(held), len(shown), len(held) - found + max(0, len(shown) - found))
    if case.saliency is not None:
        held = dcmread(case.saliency).pixel_array.reshape(-1, *case.grid)[case.job["saliency_frame"] - 1]
        gray = np.frombuffer(measured["saliency"], np.uint8).reshape(*case.grid, 4)[..., 0]
        differing = int(np.count_nonzero(np.abs(255 * np.clip(held, 0, 1) - gray) > 1))
        yield Line(f"Saliency map, slice {slices[0] + 1}, pixels", held.size, gray.size, differing)
    key_images = dcmread(case.key_images)
    frames = key_images.pixel_array.reshape(-1, key_images.Rows, key_images.Columns, 3)
    for number in case.job["key_frames"]:
        shown = np.frombuffer(measured[f"key-images/{number}"], np.uint8).reshape(*frames.shape[1:3], 4)[..., :3]
        differing = int(np.count_nonzero(np.abs(frames[number - 1].astype(int) - shown).max(axis=-1) > _JPEG_TOLERANCE))
        yield Line(f"Key image {number}, pixels", frames[0, ..., 0].size, shown[..., 0].size, differing)


def _frame_of(saliency: Path, source: Dataset) -> int | None:
    """Which frame of the Parametric Map, from 1, is that of a source image."""
    for number, group in enumerate(dcmread(saliency).PerFrameFunctionalGroupsSequence, start=1):
        reference = group.DerivationImageSequence[0].SourceImageSequence[0]
        if reference.ReferencedSOPInstanceUID == source.SOPInstanceUID:
            return number
    return None


def _mask(segmentation: hd.seg.Segmentation, uids: list[str], number: int) -> np.ndarray:
    """Where a segment is on the source images, `(slice, row, col)`."""
    found = segmentation.get_pixels_by_source_instance(
        uids, segment_numbers=[number], rescale_fractional=False, assert_missing_frames_are_empty=True
    )
    return found[..., 0] > 0


def _compared(what: str, held: np.ndarray, shown: bytes) -> Line:
    pixels = np.frombuffer(shown, np.uint8).reshape(held.shape) > 0
    return Line(what, *(int(np.count_nonzero(mask)) for mask in (held, pixels, held != pixels)))
