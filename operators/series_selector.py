"""Series selector: the one series of each study that is analysed."""

from collections.abc import Callable

from holoscan.core import Fragment
from monai.deploy.core import Operator, OperatorSpec
from monai.deploy.core.domain.dicom_series_selection import SelectedSeries, StudySelectedSeries

from dicomio.select import SelectionRules, choose_series
from operators.dicom_loader import ScannedSeries, as_scanned
from operators.run_record import RunRecord


class SeriesSelectorOperator(Operator):
    """Chooses by the rules of the settings and records why every other series was not taken.

    Input:
        dicom_study_list: `list[DICOMStudy]`.
    Output:
        study_selected_series_list: `list[StudySelectedSeries]`; nothing where no series is eligible.
    """

    def __init__(
        self,
        fragment: Fragment,
        *args: object,
        rules: SelectionRules,
        record: RunRecord,
        on_nothing: Callable[[], None],
        name: str,
    ) -> None:
        self._rules = rules
        self._on_nothing = on_nothing
        self._record = record
        super().__init__(fragment, *args, name=name)

    def setup(self, spec: OperatorSpec) -> None:
        spec.input("dicom_study_list")
        spec.output("study_selected_series_list")

    def compute(self, op_input, op_output, context) -> None:  # type: ignore[no-untyped-def]
        chosen = []
        for study in op_input.receive("dicom_study_list"):
            selection = choose_series([as_scanned(study, series) for series in study.get_all_series()], self._rules)
            self._record.series_rejected += [
                {"series_instance_uid": item.series_instance_uid, "reasons": list(item.reasons)}
                for item in selection.rejected
            ]
            if selection.chosen is not None:
                selected = StudySelectedSeries(study)
                selected.add_selected_series(SelectedSeries(selection.name, ScannedSeries(selection.chosen)))
                chosen.append(selected)
        if chosen:
            op_output.emit(chosen, "study_selected_series_list")
        else:
            self._on_nothing()
