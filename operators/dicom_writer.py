"""DICOM writer: segmentation, structured report, key images, saliency map and preview of a case."""

from collections.abc import Callable
from pathlib import Path

from holoscan.core import Fragment

from dicomio.files import write_dicom, write_image
from dicomio.key_images import make_key_images
from dicomio.parametric_map import make_saliency_map
from dicomio.picture import make_preview
from dicomio.report import make_refusal_report, make_report
from dicomio.segmentation import make_segmentation
from method.types import Findings, SoftwareIdentity
from operators.case import Case, CaseOperator, Progress, attempt
from operators.run_record import RunRecord


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
        write_saliency_map: bool,
        record: RunRecord,
        on_done: Callable[[], None],
        progress: Progress,
        name: str,
    ) -> None:
        self._folder = folder
        self._software = software
        self._key_image_count = key_image_count
        self._write_saliency_map = write_saliency_map
        self._record = record
        self._on_done = on_done
        super().__init__(fragment, *conditions, progress=progress, name=name)

    def compute(self, op_input, op_output, context) -> None:  # type: ignore[no-untyped-def]
        case: Case = op_input.receive(self.port_in)
        written: list[str] = []
        if case.status == "analysed":
            case = attempt(self.stage, case, lambda case: self._write(case, written))
            if case.status != "analysed":
                # Half a set of results would look like a whole one to the archive.
                for name in written:
                    (self._folder / name).unlink(missing_ok=True)
                written.clear()
        if case.status != "analysed" and case.sources:
            # The case's own reason stands, whether or not it can be told in a report.
            attempt(self.stage, case, lambda case: self._write_refusal(case, written))
        self._record.cases.append((case.without_arrays(), written))
        self._on_done()

    def _write(self, case: Case, written: list[str]) -> Case:
        findings = case.findings
        if not isinstance(findings, Findings):
            raise TypeError("A case that was analysed has findings.")
        steps = 5 if self._write_saliency_map and findings.saliency else 4
        common = (case.sources, case.volume, findings, self._software)
        segmentation = make_segmentation(*common)
        self._save(segmentation, f"{case.name}.seg.dcm", written, steps)
        self._save(make_report(*common, segmentation), f"{case.name}.sr.dcm", written, steps)
        self._save(make_key_images(*common, self._key_image_count), f"{case.name}.key-images.dcm", written, steps)
        if steps == 5:
            self._save(make_saliency_map(*common), f"{case.name}.saliency.dcm", written, steps)
        name = f"{case.name}.preview.png"
        write_image(make_preview(case.volume, findings), self._folder / name)
        written.append(name)
        self.report(steps, steps)
        return case

    def _write_refusal(self, case: Case, written: list[str]) -> Case:
        report = make_refusal_report(case.sources, self._software, case.reason_code or "UNKNOWN", case.reason or "")
        self._save(report, f"{case.name}.sr.dcm", written, 1)
        return case

    def _save(self, dataset, name: str, written: list[str], steps: int) -> None:  # type: ignore[no-untyped-def]
        write_dicom(dataset, self._folder / name)
        written.append(name)
        self.report(len(written), steps)
