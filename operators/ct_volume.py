"""CT volume: the selected series as one array in Hounsfield units, a case of its own from here on."""

from holoscan.core import Fragment
from monai.deploy.core import Operator, OperatorSpec

from groundglass.run import Run
from operators.dicom_loader import as_checked, others_of


class CTVolumeOperator(Operator):
    """Reads the pixels of each selected series once its geometry is found to be sound.

    Input:
        study_selected_series_list: `list[StudySelectedSeries]` of one study.
    Output:
        image: `Case`.
    """

    def __init__(self, fragment: Fragment, *args: object, run: Run, name: str) -> None:
        self._run = run
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
                case = self._run.read(as_checked(study.study, series), self._cases, others_of(series))
                op_output.emit(case, "image")
                del case  # the next stage may read another volume
