"""The files of a case: all that tells of one that was analysed, the report of one that was not."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from PIL import Image
from pydicom import Dataset

from groundglass.diagnostic_report import make_diagnostic_report
from groundglass.dicomio.reading.frames import refer_to_frames
from groundglass.dicomio.writing.analysed_series import AnalysedSeries
from groundglass.dicomio.writing.files import FileGroup, check_room
from groundglass.dicomio.writing.key_images import make_key_images, make_multiframe_key_images
from groundglass.dicomio.writing.parametric_map import make_saliency_map
from groundglass.dicomio.writing.presentation_state import make_presentation_state
from groundglass.dicomio.writing.report import identity_of, make_refusal_report, make_report
from groundglass.dicomio.writing.segmentation import make_region_segmentation, make_segmentation
from groundglass.dicomio.writing.summary import draw_summary, make_summary, make_summary_pdf
from groundglass.domain.software import SoftwareIdentity
from groundglass.domain.volume import CTVolume
from groundglass.rendering.slice_picture import key_slices
from groundglass.settings import Settings

_FRAME_BYTES = 2_000
"""What DICOM says of one frame, about 1 kB here, doubled."""
_SMALL_FILES_BYTES = 5_000_000
"""Report, outlines, summary and preview."""
_KEY_IMAGE_BYTES = 400_000
"""About 160 kB here, with room for noise."""


def check_room_for(sources: Sequence[Dataset], volume: CTVolume, folder: Path, settings: Settings) -> None:
    """Tell before anything is computed that the disk is too full for the files of a case.

    Raises:
        OutputFailed: DISK_FULL.
    """
    images = len(sources)
    pixels = volume.hu[0].size * images
    # Of a slice: two lungs of one bit a pixel, and about as many regions. Label maps and contours are smaller.
    needed = 4 / 8 * pixels + 4 * _FRAME_BYTES * images
    needed += settings.key_images * _KEY_IMAGE_BYTES
    needed += (4 * pixels + _FRAME_BYTES * images) if settings.saliency_map else 0
    check_room(folder, round(needed) + _SMALL_FILES_BYTES)


def write_analysed(
    name: str, analysed: AnalysedSeries, settings: Settings, folder: Path, on_file: Callable[[int, int], None]
) -> list[str]:
    """Write all files of a case that was analysed, all together or none.

    Args:
        name: of the case, with which the names of the files begin.
        analysed: what the files are made of.
        settings: which files, and in which form.
        folder: where.
        on_file: called with files done and files in all.

    Returns:
        The names of the files.

    Raises:
        OutputFailed: the disk is full, or a file can't be written.
    """
    findings = analysed.findings
    make: dict[str, Callable[[], Dataset]] = {}
    if "lungs" in settings.segmentations:
        make["seg"] = partial(make_segmentation, analysed, settings.segmentation)
    if "regions" in settings.segmentations and findings.salient is not None and findings.salient.any():
        make["regions"] = partial(make_region_segmentation, analysed, settings.segmentation)
    if settings.rt_structure_set:
        from groundglass.dicomio.writing.rt_structure_set import make_structure_set  # scipy.spatial comes with it

        make["rtstruct"] = partial(make_structure_set, analysed)
    shown = key_slices(findings, settings.key_images)
    page = draw_summary(analysed, shown)
    make["summary"] = partial(make_summary, analysed, page, shown)
    if settings.summary_pdf:
        make["summary-pdf"] = partial(make_summary_pdf, analysed, shown)
    if settings.key_images_form == "multiframe":
        make["key-images"] = partial(make_multiframe_key_images, analysed, shown)
    else:
        pictures = enumerate(make_key_images(analysed, shown), start=1)
        make |= {f"key-image-{number:02d}": partial(lambda made: made, picture) for number, picture in pictures}
    if findings.boxes:
        make["boxes"] = partial(make_presentation_state, analysed)
    if settings.saliency_map and findings.saliency:
        make["saliency"] = partial(make_saliency_map, analysed)
    written: list[Dataset] = []
    make["sr"] = partial(make_report, analysed, written)  # last, since it refers to all others
    steps = len(make) + 1 + settings.fhir
    # Half a set of results would look like a whole one to the archive.
    with FileGroup(folder) as files:
        for kind, make_dataset in make.items():
            dataset = refer_to_frames(make_dataset(), analysed.sources)
            files.write_dicom(dataset, f"{name}.{kind}.dcm")
            written.append(identity_of(dataset))
            on_file(len(files.names), steps)
        files.write_image(_in_few_colors(page), f"{name}.preview.png")
        if settings.fhir:
            files.write_text(make_diagnostic_report(analysed), f"{name}.fhir.json")
    on_file(steps, steps)
    return files.names


def _in_few_colors(page: Image.Image) -> Image.Image:
    """With 256 colours, each within 2 % of the page's: a third of the file, in less time."""
    return page.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)


def write_refused(
    name: str, sources: Sequence[Dataset], software: SoftwareIdentity, reason_code: str, reason: str, folder: Path
) -> list[str]:
    """Write the report of a case that was refused or failed; returns its name in a list.

    Raises:
        OutputFailed: the disk is full, or the file can't be written.
        ValueError: no image has the UIDs that a report needs.
    """
    report = make_refusal_report(sources, software, reason_code, reason)
    with FileGroup(folder) as files:
        files.write_dicom(refer_to_frames(report, sources), f"{name}.sr.dcm")
    return files.names
