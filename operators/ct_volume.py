"""CT volume: the selected series as one array in Hounsfield units, a case of its own from here on."""

from dataclasses import replace
from functools import partial

from holoscan.core import Fragment
from monai.deploy.core import Operator, OperatorSpec

from dicomio.defects import find_defects
from dicomio.scan import Series
from dicomio.volume import check_series, read_placed
from operators.case import Case, Progress, attempt
from operators.dicom_loader import as_scanned


class CTVolumeOperator(Operator):
    """Reads the pixels of each selected series once its geometry is found to be sound.

    Input:
        study_selected_series_list: `list[StudySelectedSeries]` of one study.
    Output:
        image: `Case`.
    """

    stage = "volume"

    def __init__(self, fragment: Fragment, *args: object, threads: int, progress: Progress, name: str) -> None:
        self._threads = threads
        self._progress = progress
        self._cases = 0
        super().__init__(fragment, *args, name=name)

    def setup(self, spec: OperatorSpec) -> None:
        spec.input("study_selected_series_list")
        spec.output("image")

    def compute(self, op_input, op_output, context) -> None:  # type: ignore[no-untyped-def]
        for study in op_input.receive("study_selected_series_list"):
            for selected in study.selected_series:
                self._cases += 1
                series = selected.series
                sources = tuple(instance.get_native_sop_instance() for instance in series.get_sop_instances())
                uids = study.study.get_study_instance_uid(), series.get_series_instance_uid()
                case = Case(self._cases, *uids, sources)
                scanned = as_scanned(study.study, series)
                case = attempt("headers", case, self._look_for_defects)
                if case.status == "analysed":
                    case = attempt(self.stage, case, partial(self._read, scanned=scanned))
                op_output.emit(case, "image")

    def _look_for_defects(self, case: Case) -> Case:
        return replace(case, source_defects=find_defects(case.sources))

    def _read(self, case: Case, scanned: Series) -> Case:
        # The scan knows of files that were damaged; from the instances alone a lost end of a series can't be seen.
        total = len(check_series(scanned, place=True).headers)
        done = 0

        def count() -> None:
            nonlocal done
            done += 1
            self._progress(self.stage, done, total)

        read = read_placed(case.sources, self._threads, on_slice=count)
        return replace(
            case,
            volume=read.volume,
            sources=read.sources,
            placement=read.placement,
            source_defects=(*case.source_defects, *read.notes),
        )
