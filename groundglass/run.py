"""A run over one input: study after study, series after series, stage after stage, and the files of each case.

The graph's operators and `groundglass analyse` call the same steps, so that both write the same bytes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from groundglass.case import ANALYSED, Case, RunRecord, attempt, give_back_memory
from groundglass.dicomio.reading.checked_series import CheckedSeries
from groundglass.dicomio.reading.defects import find_defects
from groundglass.dicomio.reading.identity import patients_by_folder
from groundglass.dicomio.reading.patient_age import is_minor
from groundglass.dicomio.reading.scan import Scan, Series
from groundglass.dicomio.reading.select import Selection, choose_series
from groundglass.dicomio.reading.volume import ReadSeries, read_grid
from groundglass.dicomio.writing.analysed_series import AnalysedSeries
from groundglass.domain.findings import Findings
from groundglass.domain.statement import warnings_of_patient
from groundglass.outputs import check_room_for, write_analysed, write_refused
from groundglass.pipeline import ClassifiedSlices, Pipeline, SegmentedLungs
from groundglass.whole_lungs import Look, best_of, look_at, next_to_look_at, why_this_one

Progress = Callable[[str, int, int], None]
"""Called with the stage, units done and units in all."""


@dataclass(frozen=True)
class WithLungs:
    """A series whose lungs are found."""

    read: ReadSeries
    lungs: SegmentedLungs


@dataclass(frozen=True)
class WithClasses:
    """A series whose slices are classified."""

    read: ReadSeries
    lungs: SegmentedLungs
    classified: ClassifiedSlices


@dataclass(frozen=True)
class WithFindings:
    """A series that is analysed."""

    read: ReadSeries
    findings: Findings


class Run:
    """The steps of a run, and its record.

    Attributes:
        record: what the run has found so far.
    """

    def __init__(self, pipeline: Pipeline, output_folder: Path, progress: Progress) -> None:
        """`output_folder` exists, and has no results of another run."""
        self._pipeline = pipeline
        self._folder = output_folder
        self._progress = progress
        self.record = RunRecord()

    def studies(self, scan: Scan) -> list[list[Series]]:
        """The series of each study, in a fixed order; what was no image is recorded."""
        self.record.files_ignored += [{"file": item.file, "reason": item.reason} for item in scan.ignored]
        by_study: dict[str, list[Series]] = {}
        for series in scan.series:
            by_study.setdefault(series.study_instance_uid, []).append(series)
        return list(by_study.values())

    def select(self, study: Sequence[Series]) -> Selection:
        """The one series of a study that is analysed; why the others were not taken is recorded."""
        selection = choose_series(list(study), self._pipeline.settings.selection)
        self.record.series_rejected += [
            {"series_instance_uid": item.series_instance_uid, "reasons": list(item.reasons)}
            for item in selection.rejected
        ]
        return selection

    def read(
        self, chosen: CheckedSeries, number: int, others: tuple[CheckedSeries, ...] = ()
    ) -> Case[None] | Case[ReadSeries]:
        """The series as one volume in Hounsfield units: from here on it is a case, with this number.

        Args:
            chosen: the series.
            number: of the case.
            others: `Selection.others`, from which `segment` takes another where this one doesn't show the lungs whole.
        """
        series = chosen.series
        uids = series.study_instance_uid, series.series_instance_uid
        return self._read(Case(number, *uids, series.instances, None, checked=chosen, others=others))

    def segment(self, case: Case[Any]) -> Case[Any]:
        """Its lungs, or those of another series of the study where that alone shows them whole; the record tells why.

        One volume at a time is in memory. Where none of the series that are looked at is whole, the best is read again.
        """
        case = self._find_lungs(case)
        if case.checked is None:
            return case
        looks = [_look_at(case)]
        while (other := next_to_look_at(looks, case.others)) is not None:
            case = looks[-1].case  # lets go of the volume
            case = self._find_lungs(self._read(_of_series(case, other)))
            looks.append(_look_at(case))
        best = best_of(looks)
        if best is not looks[-1]:
            case = best.case
            if case.status == ANALYSED:
                case = self._find_lungs(self._read(_of_series(case, best.checked)))
        elif best.case.status != ANALYSED:
            case = best.case
        return self._with_choice(case, looks, best)

    def _find_lungs(self, case: Case[Any]) -> Case[Any]:
        """The first stage that takes its time is not begun where the disk is too full for the results."""

        def work(case: Case[ReadSeries]) -> Case[WithLungs]:
            settings = self._pipeline.settings
            check_room_for(case.sources, case.found.volume, self._folder, settings)
            lungs = self._pipeline.segment(case.found.volume, self._on("lungs"))
            return case.with_found(WithLungs(case.found, lungs))

        return self._done("lungs", case, work)

    def classify(self, case: Case[WithLungs]) -> Case[WithLungs] | Case[WithClasses]:
        """The class of each slice and of the study."""

        def work(case: Case[WithLungs]) -> Case[WithClasses]:
            found = case.found
            classified = self._pipeline.classify(found.read.volume, found.lungs, self._on("classification"))
            return case.with_found(WithClasses(found.read, found.lungs, classified))

        return self._done("classification", case, work)

    def explain(self, case: Case[WithClasses]) -> Case[WithClasses] | Case[WithFindings]:
        """What drove the classification, and all findings together."""

        def work(case: Case[WithClasses]) -> Case[WithFindings]:
            found = case.found
            volume = found.read.volume
            findings = self._pipeline.explain(volume, found.lungs, found.classified, self._on("saliency"))
            return case.with_found(WithFindings(found.read, findings))

        return self._done("saliency", case, work)

    def write(self, case: Case[Any]) -> None:
        """The files of a case: all of one that was analysed, a report with the reason of another; it is recorded."""
        written: list[str] = []
        case = attempt("writing", case, partial(self._write, written=written))
        if case.status != ANALYSED:
            if case.sources:
                told = warnings_of_patient(is_minor(case.sources[0]))
                case = replace(case, warnings=(*case.warnings, *told))
                # The case's own reason stands, whether or not it can be told in a report.
                refused = replace(case, status=ANALYSED)
                attempt("writing", refused, partial(self._write_refusal, reason=case, written=written))
            case = case.with_found(None)
        self.record.cases.append((case, written))

    def whole(self, scan: Scan) -> RunRecord:
        """Every step of every study, one after another: what the graph does, without the graph."""
        number = 0
        for study in self.studies(scan):
            selection = self.select(study)
            chosen = selection.chosen
            if chosen is not None:
                number += 1
                self._whole_case(chosen, number, selection.others)
        return self.record

    def _whole_case(self, chosen: CheckedSeries, number: int, others: tuple[CheckedSeries, ...]) -> None:
        # A call of its own, so that nothing holds the volume any more when the next one is read. Nor does anything hold
        # the case while its lungs are sought, and another series may be read.
        case: Case[Any] = self.segment(self.read(chosen, number, others))
        for step in (self.classify, self.explain):
            case = step(case)
        self.write(case)

    def _on(self, stage: str) -> Callable[[int, int], None]:
        return partial(self._progress, stage)

    def _done(self, stage: str, case: Case[Any], work: Callable[[Case[Any]], Case[Any]]) -> Case[Any]:
        case = attempt(stage, case, work)
        give_back_memory()
        return case

    def _read(self, case: Case[None]) -> Case[None] | Case[ReadSeries]:
        looked_at: Case[None] = attempt("headers", case, _look_for_defects)
        return attempt("volume", looked_at, self._read_volume)

    def _with_choice(self, case: Case[Any], looks: Sequence[Look], best: Look) -> Case[Any]:
        """The case of the best, and why the others were not taken, in the record."""
        first = looks[0]
        # The latest study's, should another have had a series of the same UID.
        rejected = {item["series_instance_uid"]: item for item in self.record.series_rejected}
        for look in looks[1:]:
            if look is not best:
                told = f"Its lungs were looked for, since the preferred series doesn't show them whole. {look.outcome}"
                rejected[look.checked.series.series_instance_uid]["reasons"].append(told)
        if best is first:
            return case
        told = f"Another series of the study was analysed in its place. {first.outcome}"
        rejected[best.checked.series.series_instance_uid].update(
            series_instance_uid=first.checked.series.series_instance_uid, reasons=[told]
        )
        return replace(case, warnings=(*case.warnings, why_this_one(first, best)))

    def _read_volume(self, case: Case[None]) -> Case[ReadSeries]:
        if case.checked is None:
            raise ValueError("The case doesn't know its series.")
        grid = case.checked.grid
        done = 0

        def count() -> None:
            nonlocal done
            done += 1
            self._progress("volume", done, len(grid.headers))

        read = read_grid(grid, self._pipeline.settings.decoding_threads, on_slice=count)
        return replace(case.with_found(read), sources=read.sources, source_defects=(*case.source_defects, *read.notes))

    def _write(self, case: Case[WithFindings], written: list[str]) -> Case[Findings]:
        read, findings = case.found.read, case.found.findings
        pipeline = self._pipeline
        analysed = AnalysedSeries.of(read, findings, pipeline.software, case.warnings)
        written += write_analysed(case.name, analysed, pipeline.settings, self._folder, self._on("writing"))
        return replace(case.with_found(analysed.findings.without_arrays()), warnings=analysed.warnings)

    def _write_refusal(self, case: Case[Any], reason: Case[Any], written: list[str]) -> Case[Any]:
        code, text = reason.reason_code or "UNKNOWN", " ".join(filter(None, (reason.reason, *reason.warnings)))
        written += write_refused(case.name, case.sources, self._pipeline.software, code, text, self._folder)
        self._progress("writing", 1, 1)
        return case


def _of_series(case: Case[Any], checked: CheckedSeries) -> Case[None]:
    """A case begun anew with another series of its study; its number, and the time it took, stay."""
    series = checked.series
    return Case(
        case.number,
        series.study_instance_uid,
        series.series_instance_uid,
        series.instances,
        None,
        timings_s=case.timings_s,
        checked=checked,
        others=case.others,
    )


def _look_at(case: Case[Any]) -> Look:
    found = case.found
    is_found = case.status == ANALYSED and isinstance(found, WithLungs)
    return look_at(case, found.lungs, found.read.goes_on_below) if is_found else look_at(case, None, False)


def _look_for_defects(case: Case[None]) -> Case[None]:
    return replace(case, source_defects=(*find_defects(case.sources), *patients_by_folder(case.sources)))
