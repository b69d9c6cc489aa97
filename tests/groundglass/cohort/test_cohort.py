"""The parts of a cohort: results whole or absent, retries, tables, the page, and what it tells."""

import argparse
import errno
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image
from pyarrow import parquet

from groundglass.cohort import command_line
from groundglass.cohort.cluster import ClusterError, analyse_on_cluster
from groundglass.cohort.local import analyse_here
from groundglass.cohort.page import write_page
from groundglass.cohort.queue import Outcome, Queue
from groundglass.cohort.results import Results, ResultsError, Study, name_study
from groundglass.cohort.tables import read_cases, write_tables
from groundglass.cohort.worker import CaseFailed, CohortStopped, Job, Worker
from groundglass.dicomio.reading import scan
from groundglass.dicomio.reading.scan import find_studies
from groundglass.domain.errors import OutputFailed
from groundglass.exit_codes import ExitCode
from groundglass.method.decision import DecisionRule
from tests.app.results import analysed_case, make_result, refused_case
from tests.groundglass.dicomio.ct_samples import Sample, make_series, write_series

STUDIES = [Study(name, (), f"digest of {name}") for name in ("aaaa", "bbbb", "cccc")]
ABCD = Study("abcd", (), "digest of its images")


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return Results(tmp_path / "out")


def put(results: Results, study: str, result: dict[str, Any], preview: bool = False) -> Path:
    with results.new(Study(study, (), f"digest of {study}")) as folder:
        (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")
        if preview:
            Image.new("RGB", (800, 300), "navy").save(folder / "case-001.preview.png")
    return results.place(study)


# Whole or absent


def test_results_appear_only_when_all_are_written(results: Results) -> None:
    with results.new(ABCD) as folder:
        (folder / "result.json").write_text("{}", encoding="utf-8")
        assert not results.is_finished(ABCD)
        assert list(results.finished()) == []
    assert [path.name for path in results.finished()] == ["abcd"]


def test_nothing_stays_of_a_study_that_fails(results: Results) -> None:
    def fail_half_way() -> None:
        with results.new(ABCD) as folder:
            (folder / "result.json").write_text("{}", encoding="utf-8")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    assert [path for path in results.folder.rglob("*") if path.is_file()] == []


def test_of_two_workers_with_one_study_the_first_to_end_wins(results: Results) -> None:
    with results.new(ABCD) as slow:
        (slow / "result.json").write_text("slow", encoding="utf-8")
        place = results.place("abcd")
        place.mkdir()
        (place / "result.json").write_text("quick", encoding="utf-8")
        (place / "images.sha256").write_text(ABCD.digest, encoding="utf-8")
    assert (place / "result.json").read_text(encoding="utf-8") == "quick"
    assert not slow.exists()


def test_leftovers_of_a_killed_run_are_removed_and_named(results: Results) -> None:
    (results.folder / "studies/ab/.abcd.host.example.4711.part").mkdir(parents=True)
    put(results, "abce", {})
    assert results.take_leftovers() == {"abcd"}
    assert [path.name for path in (results.folder / "studies/ab").iterdir()] == ["abce"]


def test_results_of_former_images_stay_until_there_are_those_of_the_present_ones(results: Results) -> None:
    def text() -> str:
        return (results.place("abcd") / "result.json").read_text(encoding="utf-8")

    def analyse(study: Study) -> None:
        with results.new(study) as folder:
            (folder / "result.json").write_text(study.digest, encoding="utf-8")
            if results.place("abcd").exists():
                assert text() == ABCD.digest

    grown = Study("abcd", (), "digest of more images")
    assert not results.is_outdated(grown)
    analyse(ABCD)
    assert (results.is_finished(ABCD), results.is_outdated(ABCD)) == (True, False)
    assert (results.is_finished(grown), results.is_outdated(grown)) == (False, True)
    analyse(grown)
    assert text() == grown.digest
    assert (results.is_finished(grown), results.is_outdated(grown)) == (True, False)
    assert [path.name for path in results.place("abcd").parent.iterdir()] == ["abcd"]


def test_a_second_run_into_the_same_folder_is_refused(results: Results) -> None:
    with results.alone(), pytest.raises(ResultsError, match="Another run"), results.alone():
        pass


def test_results_made_otherwise_are_not_mixed(results: Results) -> None:
    results.folder.mkdir()
    results.bind({"version": "1", "settings": {"device": "cpu"}})
    results.bind({"version": "1", "settings": {"device": "cpu"}})
    with pytest.raises(ResultsError, match="The version and settings of this run differ"):
        results.bind({"version": "2", "settings": {"device": "auto"}})


def test_the_name_of_a_study_is_no_path_whatever_its_uid_holds() -> None:
    assert name_study("../../etc/passwd").isalnum()
    assert name_study("1.2.3") == name_study("1.2.3") != name_study("1.2.4")


# Retries


class Workers:
    """Stands for `Worker`: what it does with each study is said beforehand."""

    def __init__(self, **errors: list[Exception]) -> None:
        self.errors = errors
        self.asked: list[str] = []

    def __call__(self, job: Job, timeout_s: float) -> "Workers":
        return self

    def close(self) -> None:
        self.asked.append("closed")

    def analyse(self, study: Study) -> str:
        self.asked.append(study.name)
        if self.errors.get(study.name):
            raise self.errors[study.name].pop(0)
        return "SUCCESS"


JOB = Job(Path("in"), Path("out"), Path("models"), Path("app.yaml"), 1)


def test_a_study_that_fails_comes_again_last_and_is_given_up_in_the_end() -> None:
    workers = Workers(aaaa=[CaseFailed()], bbbb=[ValueError("a name")] * 3)
    outcomes = list(analyse_here(JOB, Queue(STUDIES, attempts=3), make_worker=workers))
    assert workers.asked == ["aaaa", "bbbb", "cccc", "aaaa", "bbbb", "bbbb", "closed"]
    assert outcomes == [
        Outcome("cccc", "SUCCESS"),
        Outcome("aaaa", "SUCCESS"),
        Outcome("bbbb", None, "tried 3 times, at last it failed with ValueError"),
    ]


def test_a_full_disk_stops_the_cohort() -> None:
    workers = Workers(bbbb=[CohortStopped("The disk is full.")])
    with pytest.raises(CohortStopped, match="full"):
        list(analyse_here(JOB, Queue(STUDIES, attempts=3), make_worker=workers))
    assert workers.asked == ["aaaa", "bbbb", "closed"]


# The worker


class Ended:
    """Stands for the run: leaves a record, or raises."""

    def __init__(self, record: Any) -> None:
        self.record = record

    def __call__(self, pipeline: Any, folder: Path, progress: Any) -> "Ended":
        return self

    def whole(self, scan: Any) -> Any:
        if isinstance(self.record, Exception):
            raise self.record
        return self.record


def worker_on(archive: Path, results: Results) -> Worker:
    worker = object.__new__(Worker)
    worker._job = Job(archive, results.folder, Path("models"), Path("app.yaml"), 1)
    worker._pipeline = None  # type: ignore[assignment]
    return worker


@pytest.mark.parametrize(
    ("record", "error"),
    [
        (SimpleNamespace(cases=[(SimpleNamespace(reason_code="DISK_FULL", reason="Full."), [])]), CohortStopped),
        (SimpleNamespace(cases=[(SimpleNamespace(reason_code="OUT_OF_MEMORY", status="failed"), [])]), CaseFailed),
        (OutputFailed("DISK_FULL", "Full."), CohortStopped),
    ],
)
def test_a_run_that_failed_or_found_the_disk_full_leaves_no_result(
    tmp_path: Path, results: Results, record: Any, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("groundglass.run.Run", Ended(record))
    names = tuple(path.name for path in write_series(tmp_path / "archive", make_series(Sample(slices=3))))
    with pytest.raises(error):
        worker_on(tmp_path / "archive", results).analyse(Study("abcd", names, "digest of its images"))
    assert [path for path in results.folder.rglob("*") if path.is_file() or path.name == "abcd"] == []


# Tables and page


@pytest.fixture
def three(results: Results) -> Results:
    put(results, "aaaa", make_result(analysed_case((0.96, 0.02, 0.02))), preview=True)
    put(results, "bbbb", make_result(analysed_case((0.1, 0.2, 0.7), regions=2)), preview=True)
    put(results, "cccc", make_result(refused_case("GAP")))
    put(results, "dddd", make_result())
    write_tables(results)
    return results


def test_every_study_has_a_row_and_every_region_and_box_one(three: Results) -> None:
    cases = {row["study"]: row for row in parquet.read_table(three.folder / "cases.parquet").to_pylist()}
    assert {name: row["status"] for name, row in cases.items()} == {
        "aaaa": "analysed",
        "bbbb": "analysed",
        "cccc": "refused",
        "dddd": "no_eligible_series",
    }
    assert cases["cccc"]["reason_code"] == "GAP"
    assert cases["dddd"]["case"] is None
    assert (cases["aaaa"]["state"], cases["aaaa"]["kind"]) == ("absent", "undetermined")
    assert (cases["bbbb"]["state"], cases["bbbb"]["kind"]) == ("present", "undetermined")
    assert (cases["bbbb"]["p_pneumonia"], cases["bbbb"]["p_covid19"]) == (pytest.approx(0.9), 0.7)
    assert (cases["bbbb"]["regions"], cases["bbbb"]["unlisted_regions"], cases["bbbb"]["regions_ml"]) == (2, 0, 3.0)
    regions = parquet.read_table(three.folder / "regions.parquet").to_pylist()
    assert [(row["study"], row["number"], row["best_slice"], row["boxes"]) for row in regions] == [
        ("bbbb", 1, 1, 1),
        ("bbbb", 2, 2, 1),
    ]
    boxes = parquet.read_table(three.folder / "boxes.parquet").to_pylist()
    assert [(row["study"], row["region"], row["share"]) for row in boxes] == [("bbbb", 1, 0.5), ("bbbb", 2, 0.5)]


def test_tables_are_written_where_a_path_is_no_utf_8(tmp_path: Path) -> None:
    results = Results(Path(os.fsdecode(os.fsencode(tmp_path) + b"/M\xfcller")))
    put(results, "aaaa", make_result(refused_case("GAP")))
    write_tables(results)
    assert read_cases(results, ["status"]) == [{"status": "refused"}]


def test_the_page_shows_the_most_diseased_first_and_holds_no_uid(three: Results) -> None:
    write_page(three, pictures=1)
    page = (three.folder / "index.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64,") == 1
    assert "bbbb" in page
    assert "aaaa" not in page
    assert "refused GAP" in page
    assert "Pneumonia present, probability 0.90, salient 0.0% of 4.0 l; study bbbb" in page
    assert page.count("Pneumonia absent") == 1  # in the table of counts
    assert "COVID-19," not in page  # the most probable class is no conclusion
    assert "knows no other disease" in page
    assert "1.2.3" not in page
    assert "http" not in page


def test_a_kind_stands_on_the_page_only_where_it_is_named(results: Results) -> None:
    put(results, "aaaa", make_result(analysed_case((0.1, 0.2, 0.7))), preview=True)
    named = analysed_case((0.1, 0.2, 0.7), rule=DecisionRule(0.4, 0.6, kind_above=0.7))
    put(results, "bbbb", make_result(named), preview=True)
    write_tables(results)
    write_page(results, pictures=2)
    page = (results.folder / "index.html").read_text(encoding="utf-8")
    assert page.count("<td>Pneumonia present</td>") == page.count("<td>Pneumonia present, COVID-19</td>") == 1
    assert page.count("Pneumonia present, COVID-19, probability 0.90") == page.count("study bbbb")


# The command line


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(command_line, "end_cleanly_when_asked", lambda told: None)
    return command_line.main


def test_an_archive_without_a_study_is_told_by_the_code(tmp_path: Path, main: Any) -> None:
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "notes.txt").write_text("not an image", encoding="utf-8")
    arguments = ["--input", str(tmp_path / "archive"), "--output", str(tmp_path / "out")]
    assert main(arguments) is ExitCode.NO_ELIGIBLE_SERIES


def test_a_wrong_folder_is_told_in_a_sentence(tmp_path: Path, main: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert main(["--input", str(tmp_path / "no"), "--output", str(tmp_path / "out")]) is ExitCode.USAGE
    assert "The archive does not exist" in caplog.text


def test_results_in_the_archive_are_warned_of(tmp_path: Path, main: Any, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "archive").mkdir()
    (tmp_path / "link").symlink_to("archive")
    main(["--input", str(tmp_path / "archive"), "--output", str(tmp_path / "link" / "out")])
    assert "The results folder lies in the archive" in caplog.text


def test_a_folder_that_can_not_be_listed_stops_before_anything_is_analysed(
    tmp_path: Path, main: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "archive").mkdir()
    monkeypatch.setattr("groundglass.dicomio.reading.scan.list_files", refuse)
    assert main(["--input", str(tmp_path / "archive"), "--output", str(tmp_path / "out")]) is ExitCode.USAGE
    assert "can't be listed (Permission denied)" in caplog.text


def test_while_a_file_can_not_be_opened_results_stay_and_the_code_says_so(
    tmp_path: Path, main: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write_series(tmp_path / "archive", make_series(Sample(slices=3)))
    found = find_studies(tmp_path / "archive")
    (uid,) = found.studies
    study, results = Study(name_study(uid), found.studies[uid], found.digests[uid]), Results(tmp_path / "out")
    with results.new(study) as folder:
        (folder / "result.json").write_text(json.dumps(make_result(refused_case("GAP"))), encoding="utf-8")
    read_header = scan.read_header

    def fail_once(path: str, *rest: Any) -> Any:
        if path.endswith(study.files[-1]):
            raise OSError(errno.EIO, "Input/output error")
        return read_header(path, *rest)

    monkeypatch.setattr(scan, "read_header", fail_once)
    arguments = ["--input", str(tmp_path / "archive"), "--output", str(results.folder)]
    assert main(arguments) is ExitCode.PARTIAL
    assert "1 files can't be opened" in caplog.text
    assert results.is_finished(study)
    monkeypatch.setattr(scan, "read_header", read_header)
    assert main(arguments) is ExitCode.SUCCESS


def test_a_missing_package_is_named(
    tmp_path: Path, main: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(command_line, "find_spec", lambda name: None if name == "ray" else argparse)
    arguments = ["--input", str(tmp_path), "--output", str(tmp_path / "out"), "--ray", "auto"]
    assert main(arguments) is ExitCode.USAGE
    assert "The package ray is not installed" in caplog.text
    assert "requirements-cohort.txt" in caplog.text


def test_a_cluster_that_does_not_answer_is_told_in_a_sentence() -> None:
    with pytest.raises(ClusterError, match="can't be reached"):
        list(analyse_on_cluster("nonsense", JOB, Queue(STUDIES, 1), 0, use_gpus=False))
