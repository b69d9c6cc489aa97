"""DICOM loader: the input as DICOM studies, one message a study."""

from collections.abc import Callable

from holoscan.conditions import BooleanCondition
from holoscan.core import Fragment
from monai.deploy.core import Operator, OperatorSpec
from monai.deploy.core.domain.dicom_series import DICOMSeries
from monai.deploy.core.domain.dicom_study import DICOMStudy

from groundglass.dicomio.reading.checked_series import CheckedSeries, check_series
from groundglass.dicomio.reading.scan import Scan, Series
from groundglass.run import Run


class ScannedSeries(DICOMSeries):
    """The SDK's series, with what the scan learned of it."""

    def __init__(self, scanned: Series) -> None:
        super().__init__(scanned.series_instance_uid)
        self.scanned = scanned
        for instance in scanned.instances:
            self.add_sop_instance(instance)  # the SDK wraps it itself


class ChosenSeries(ScannedSeries):
    """The one that is analysed, with what the selection has checked of it, and the others it may be exchanged for."""

    def __init__(self, checked: CheckedSeries, others: tuple[CheckedSeries, ...] = ()) -> None:
        super().__init__(checked.series)
        self.checked = checked
        self.others = others


class DICOMLoaderOperator(Operator):
    """Scans the input and emits a list with one study at a tick, in a fixed order.

    After each study it waits for `resume`, so that one volume at a time is in memory, however many studies there are.

    Output:
        dicom_study_list: `list[DICOMStudy]`.
    """

    def __init__(self, fragment: Fragment, *args: object, scan: Callable[[], Scan], run: Run, name: str) -> None:
        self._scan = scan
        self._run = run
        self._studies: list[DICOMStudy] | None = None
        self._alive = BooleanCondition(fragment, name="alive")
        super().__init__(fragment, self._alive, *args, name=name)

    def setup(self, spec: OperatorSpec) -> None:
        spec.output("dicom_study_list")

    def compute(self, op_input, op_output, context) -> None:  # type: ignore[no-untyped-def]
        if self._studies is None:
            self._studies = [_as_study(series) for series in self._run.studies(self._scan())]
        if self._studies:
            op_output.emit([self._studies.pop(0)], "dicom_study_list")
        self._alive.disable_tick()

    def resume(self) -> None:
        """Go on with the next study, if there is one: the last has left the graph."""
        if self._studies:
            self._alive.enable_tick()


def _as_study(series: list[Series]) -> DICOMStudy:
    study = DICOMStudy(series[0].study_instance_uid)
    for each in series:
        study.add_series(ScannedSeries(each))
    return study


def as_scanned(study: DICOMStudy, series: DICOMSeries) -> Series:
    """The series as the scan saw it; one from another loader is taken as it is."""
    if isinstance(series, ScannedSeries):
        return series.scanned
    instances = tuple(instance.get_native_sop_instance() for instance in series.get_sop_instances())
    return Series(study.get_study_instance_uid(), series.get_series_instance_uid(), instances)


def as_checked(study: DICOMStudy, series: DICOMSeries) -> CheckedSeries:
    """The series with the checks of the selection; one from another selector is checked now."""
    return series.checked if isinstance(series, ChosenSeries) else check_series(as_scanned(study, series))


def others_of(series: DICOMSeries) -> tuple[CheckedSeries, ...]:
    """The other eligible series of the study; none are known of a series from another selector."""
    return series.others if isinstance(series, ChosenSeries) else ()
