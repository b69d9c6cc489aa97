"""DICOM writer: segmentation, structured report, key images, boxes, saliency map and preview of a case."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from holoscan.core import Fragment
from pydicom import Dataset

from dicomio.files import FileGroup, check_room
from dicomio.frames import refer_to_frames
from dicomio.key_images import make_key_images
from dicomio.parametric_map import make_saliency_map
from dicomio.picture import KEY_IMAGE_WIDTH, make_preview
from dicomio.presentation_state import make_presentation_state
from dicomio.report import make_refusal_report, make_report
from dicomio.segmentation import Form, make_salient_label_map, make_segmentation
from method.types import Findings, SoftwareIdentity
from operators.case import Case, CaseOperator, Progress, attempt
from operators.run_record import RunRecord

_FRAME_BYTES = 2_000
"""What DICOM says of one frame, about 1 kB here, doubled."""
_SMALL_FILES_BYTES = 4_000_000
"""Report, boxes and preview."""


class DICOMWriterOperator(CaseOperator):
    """Input: findings. The last node: it writes the case's files and records the case."""

    stage = "writing"
    port_in = "findings"

    def __init__(
        self,
        fragment: Fragment,
        *conditions: object,
        folder: Path,
        software: SoftwareIdentity,
        key_image_count: int,
        segmentation_form: Form,
        write_saliency_map: bool,
        record: RunRecord,
        on_done: Callable[[], None],
        progress: Progress,
        name: str,
    ) -> None:
        self._folder = folder
        self._software = software
        self._key_image_count = key_image_count
        self._segmentation_form = segmentation_form
        self._write_saliency_map = write_saliency_map
        self._record = record
        self._on_done = on_done
        super().__init__(fragment, *conditions, progress=progress, name=name)

    def compute(self, op_input, op_output, context) -> None:  # type: ignore[no-untyped-def]
        case: Case = op_input.receive(self.port_in)
        written: list[str] = []
        if case.status == "analysed":
            case = attempt(self.stage, case, lambda case: self._write(case, written))
        if case.status != "analysed" and case.sources:
            # The case's own reason stands, whether or not it can be told in a report.
            attempt(self.stage, case, lambda case: self._write_refusal(case, written))
        self._record.cases.append((case.without_arrays(), written))
        self._on_done()

    def ensure_room(self, case: Case) -> None:
        """Tell before anything is computed that the disk is too full for the case's files.

        Raises:
            OutputFailed: DISK_FULL.
        """
        images = len(case.sources)
        pixels = case.volume.hu[0].size * images
        # Three segments of one bit a pixel, or two label maps of one byte; some headers for each frame.
        needed = (2 if self._segmentation_form == "labelmap" else 3 / 8) * pixels + 3 * _FRAME_BYTES * images
        needed += self._key_image_count * 3 * KEY_IMAGE_WIDTH**2
        needed += (4 * pixels + _FRAME_BYTES * images) if self._write_saliency_map else 0
        check_room(self._folder, round(needed) + _SMALL_FILES_BYTES)

    def _write(self, case: Case, written: list[str]) -> Case:
        case = case.on_sources()
        findings = case.findings
        if not isinstance(findings, Findings):
            raise TypeError("A case that was analysed has findings.")
        common = (case.sources, case.volume, findings, self._software)
        segmentation = make_segmentation(*common, self._segmentation_form)
        make: dict[str, Callable[[], Dataset]] = {"seg": lambda: segmentation}
        if self._segmentation_form == "labelmap" and findings.salient is not None and findings.salient.any():
            make["salient-seg"] = partial(make_salient_label_map, *common)
        make["sr"] = partial(make_report, *common, segmentation)
        make["key-images"] = partial(make_key_images, *common, self._key_image_count)
        if findings.boxes:
            make["boxes"] = partial(make_presentation_state, *common)
        if self._write_saliency_map and findings.saliency:
            make["saliency"] = partial(make_saliency_map, *common)
        steps = len(make) + 1
        # Half a set of results would look like a whole one to the archive.
        with FileGroup(self._folder) as files:
            for name, make_dataset in make.items():
                files.write_dicom(refer_to_frames(make_dataset(), case.sources), f"{case.name}.{name}.dcm")
                self.report(len(files.names), steps)
            files.write_image(make_preview(case.volume, findings), f"{case.name}.preview.png")
        written += files.names
        self.report(steps, steps)
        return case

    def _write_refusal(self, case: Case, written: list[str]) -> Case:
        report = make_refusal_report(case.sources, self._software, case.reason_code or "UNKNOWN", case.reason or "")
        with FileGroup(self._folder) as files:
            files.write_dicom(refer_to_frames(report, case.sources), f"{case.name}.sr.dcm")
        written += files.names
        self.report(1, 1)
        return case
