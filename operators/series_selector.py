"""Series selector: the one series of each study that is analysed."""

from collections.abc import Callable

from holoscan.core import Fragment
from monai.deploy.core import Operator, OperatorSpec
from monai.deploy.core.domain.dicom_series_selection import SelectedSeries, StudySelectedSeries

from groundglass.run import Run
from operators.dicom_loader import ChosenSeries, as_scanned


class SeriesSelectorOperator(Operator):
    """Chooses by the rules of the settings; asks for the next study where no series of this one is eligible.

    Input:
        dicom_study_list: `list[DICOMStudy]`.
    Output:
        study_selected_series_list: `list[StudySelectedSeries]`; nothing where no series is eligible.
    """

    def __init__(
        self, fragment: Fragment, *args: object, run: Run, ask_for_next: Callable[[], None], name: str
    ) -> None:
        self._run = run
        self._ask_for_next = ask_for_next
        super().__init__(fragment, *args, name=name)

    def setup(self, spec: OperatorSpec) -> None:
        spec.input("dicom_study_list")
        spec.output("study_selected_series_list")

    def compute(self, op_input, op_output, context) -> None:  # type: ignore[no-untyped-def]
        chosen = []
        for study in op_input.receive("dicom_study_list"):
            selection = self._run.select([as_scanned(study, series) for series in study.get_all_series()])
            if selection.chosen is not None:
                selected = StudySelectedSeries(study)
                selected.add_selected_series(
                    SelectedSeries(selection.name, ChosenSeries(selection.chosen, selection.others))
                )
                chosen.append(selected)
        if chosen:
            op_output.emit(chosen, "study_selected_series_list")
        else:
            self._ask_for_next()
