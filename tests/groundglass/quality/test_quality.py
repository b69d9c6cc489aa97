"""Drift is found where there is some, not where there is none, and not judged on too few cases."""

import json
import os
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from groundglass.quality.command_line import QualityCode, main
from groundglass.quality.drift import MINIMUM_RECENT, MINIMUM_REFERENCE, compare
from groundglass.quality.metrics import to_metrics
from groundglass.quality.observations import (
    QUANTITIES,
    Observation,
    Observations,
    QualityError,
    observe_run,
    read_reference,
    read_results,
    sample_of,
    write_reference,
)
from groundglass.quality.page import to_html
from groundglass.quality.report import make_report
from tests.app.results import analysed_case, make_result, refused_case

LAST_DAY = datetime(2026, 3, 31, 12)
CLASSES = ("np", "cap", "covid19")


def some_result(
    random: np.random.Generator,
    shares: tuple[float, float, float] = (0.6, 0.2, 0.2),
    volume_ml: float = 4500.0,
    refused: float = 0.05,
    weights: str = "a",
) -> dict[str, Any]:
    """A result as a site with these shares of the classes, this mean volume and this part of refusals has them."""
    if random.random() < refused:
        return make_result(refused_case("GAP"), weights=weights)
    label = CLASSES[random.choice(3, p=shares)]
    probabilities = random.dirichlet([6.0 if name == label else 1.0 for name in CLASSES])
    volume = volume_ml * float(random.lognormal(0, 0.2))
    fraction = 0.0 if label == "np" else float(random.beta(1, 12))
    return make_result(analysed_case(tuple(map(float, probabilities)), volume, fraction), weights=weights)


def write(folder: Path, results: list[dict[str, Any]], days: int = 7) -> None:
    """The results in folders of their own, spread over the last days."""
    for number, result in enumerate(results):
        path = folder / f"{number:04d}" / "result.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(result), encoding="utf-8")
        ended = (LAST_DAY - timedelta(days=number % days)).timestamp()
        os.utime(path, (ended, ended))


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    write(tmp_path / "validated", [some_result(random) for _ in range(400)])
    file = tmp_path / "reference.json"
    assert main(["--results", str(tmp_path / "validated"), "--make-reference", str(file)]) == 0
    return file


def watch(tmp_path: Path, reference: Path, results: list[dict[str, Any]]) -> tuple[QualityCode, dict[str, Any]]:
    """The exit code, and the metrics by name and labels."""
    write(tmp_path / "results", results)
    out = tmp_path / "out"
    code = main(["--results", str(tmp_path / "results"), "--reference", str(reference), "--out", str(out)])
    text = (out / "groundglass-quality.prom").read_text(encoding="utf-8")
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return code, {" ".join([s.name.removeprefix("groundglass_quality_"), *s.labels.values()]): s.value for s in samples}


def drifted(metrics: dict[str, Any]) -> set[str]:
    return {name.split()[1] for name, value in metrics.items() if name.startswith("drift ") and value}


def test_no_drift_is_found_where_there_is_none(tmp_path: Path, reference: Path) -> None:
    random = np.random.default_rng(1)
    code, metrics = watch(tmp_path, reference, [some_result(random) for _ in range(150)])
    assert code is QualityCode.NO_DRIFT
    assert drifted(metrics) == set()
    assert all(metrics[f"judged {name}"] for name in (*QUANTITIES, "state", "outcome"))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"volume_ml": 3600.0}, {"lungs_ml"}),
        ({"refused": 0.4}, {"outcome"}),
        ({"shares": (0.2, 0.2, 0.6)}, {"state", "p_np", "p_covid19", "salient_fraction"}),
    ],
)
def test_drift_is_found_in_what_has_changed(
    tmp_path: Path, reference: Path, change: dict[str, Any], expected: set[str]
) -> None:
    random = np.random.default_rng(2)
    code, metrics = watch(tmp_path, reference, [some_result(random, **change) for _ in range(150)])
    assert code is QualityCode.DRIFT
    assert drifted(metrics) == expected
    page = (tmp_path / "out" / "groundglass-quality.html").read_text(encoding="utf-8")
    assert "Drift in: " in page
    assert "1.2.3" not in page


@pytest.mark.slow
def test_false_alarms_are_rare() -> None:
    """Of 60 weeks without drift, each compared in seven ways, one in a hundred is expected to alarm."""
    random = np.random.default_rng(3)

    def rows(count: int) -> list[Observation]:
        return [observe(some_result(random)) for _ in range(count)]

    reference = sample_of(rows(300), WEIGHTS)
    alarms = [any(item.is_drift for item in compare(reference, sample_of(rows(60), WEIGHTS))) for _ in range(60)]
    assert sum(alarms) <= 2


WEIGHTS = dict.fromkeys(("lungs", "classifier"), "a" * 64)


def observe(result: dict[str, Any]) -> Observation:
    return observe_run(result, LAST_DAY.date())[0]


def test_too_few_cases_are_not_judged_however_different(tmp_path: Path, reference: Path) -> None:
    few = [make_result(analysed_case((0.0, 0.0, 1.0), 900.0, 0.9)) for _ in range(MINIMUM_RECENT - 1)]
    code, metrics = watch(tmp_path, reference, few)
    assert code is QualityCode.NO_DRIFT
    assert not any(metrics[f"judged {name}"] for name in (*QUANTITIES, "state", "outcome"))
    assert "Too few cases to judge" in (tmp_path / "out" / "groundglass-quality.html").read_text(encoding="utf-8")


def test_a_reference_of_too_few_cases_judges_nothing() -> None:
    random = np.random.default_rng(4)
    small = sample_of([observe(some_result(random, refused=0)) for _ in range(MINIMUM_REFERENCE - 1)], WEIGHTS)
    recent = sample_of([observe(some_result(random, volume_ml=900.0, refused=0)) for _ in range(200)], WEIGHTS)
    assert not any(item.is_judged for item in compare(small, recent))


def test_a_significant_trifle_is_no_drift() -> None:
    values = list(np.linspace(0, 1, 5_000))
    rows = [
        Observation(LAST_DAY.date(), "analysed", {}, "absent", dict.fromkeys(QUANTITIES, value)) for value in values
    ]
    moved = [
        Observation(row.day, "analysed", {}, "absent", {n: v + 0.05 for n, v in row.values.items()}) for row in rows
    ]
    found = {item.name: item for item in compare(sample_of(rows, {}), sample_of(moved, {}))}
    assert found["lungs_ml"].q_value is not None
    assert found["lungs_ml"].q_value < 1e-4
    assert not found["lungs_ml"].is_drift


def test_results_of_other_weights_are_counted_and_not_compared(tmp_path: Path, reference: Path) -> None:
    random = np.random.default_rng(5)
    old = [some_result(random) for _ in range(60)]
    new = [some_result(random, volume_ml=1000.0, weights="b") for _ in range(90)]
    code, metrics = watch(tmp_path, reference, old + new)
    assert code is QualityCode.NO_DRIFT
    assert metrics["made_otherwise"] == 90
    assert metrics["cases analysed"] + metrics["cases refused GAP"] == 150


def test_what_a_result_calls_its_outcome_breaks_neither_the_metrics_nor_the_page() -> None:
    """result.json may come from anywhere: a foreign reason must not pass for a line of the file, or for markup."""
    outcome = 'refused <b>"GAP"\\ }\n'
    rows = (Observation(LAST_DAY.date(), outcome, {}), Observation(LAST_DAY.date(), "analysed", {}, "absent"))
    report = make_report(Observations(rows, LAST_DAY.timestamp(), 0), None, window_days=7)
    families = {family.name: family for family in text_string_to_metric_families(to_metrics(report))}
    counted = {sample.labels["outcome"]: sample.value for sample in families["groundglass_quality_cases"].samples}
    assert counted == {outcome: 1, "analysed": 1}
    assert "<b>" not in to_html(report)
    assert "1 refused &lt;b&gt;" in to_html(report)


def test_days_are_those_of_the_files_and_only_the_last_ones_are_compared(tmp_path: Path) -> None:
    results = [make_result(analysed_case()) for _ in range(20)] + [make_result() for _ in range(10)]
    write(tmp_path, results, days=10)
    report = make_report(read_results(tmp_path), None, window_days=3)
    assert [str(day.day) for day in report.days][:2] == ["2026-03-31", "2026-03-30"]
    assert [sum(day.sample.outcomes.values()) for day in report.days] == [3] * 10
    assert report.recent.sample.outcomes == {"analysed": 6, "no_eligible_series": 3}
    assert report.newest == LAST_DAY.timestamp()


def test_what_is_no_result_is_counted_and_unfinished_results_are_passed_over(tmp_path: Path) -> None:
    write(tmp_path, [make_result(analysed_case())])
    no_figure = make_result(analysed_case(salient_fraction=float("nan")))
    for folder, text in (
        ("broken", "{"),
        ("foreign", '{"cases": 3}'),
        ("other-models", '{"software": {"models": []}}'),
        ("no-figure", json.dumps(no_figure)),
        (".study.part", json.dumps(make_result())),
    ):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "result.json").write_text(text, encoding="utf-8")
    found = read_results(tmp_path)
    assert (len(found.rows), found.unreadable) == (1, 4)


def test_a_result_that_vanishes_while_it_is_looked_for_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, [make_result(analysed_case())])
    listed = [*tmp_path.rglob("result.json"), tmp_path / "begun" / "result.json"]
    monkeypatch.setattr(Path, "rglob", lambda *_: listed)
    found = read_results(tmp_path)
    assert (len(found.rows), found.unreadable) == (1, 0)


def test_a_result_of_the_future_is_counted_and_does_not_make_the_others_old(tmp_path: Path) -> None:
    write(tmp_path, [make_result(analysed_case())] * 3)
    future = time.time() + 10 * 86_400
    os.utime(tmp_path / "0001" / "result.json", (future, future))
    found = read_results(tmp_path)
    assert (len(found.rows), found.unreadable) == (2, 1)
    assert found.newest == LAST_DAY.timestamp()


@pytest.mark.parametrize("other", [{"weights": "b"}, {"settings": "b"}])
def test_a_reference_of_two_versions_is_refused(tmp_path: Path, other: dict[str, str]) -> None:
    write(tmp_path, [make_result(analysed_case()), make_result(analysed_case(), **other)])
    with pytest.raises(QualityError, match="different weights"):
        write_reference(read_results(tmp_path), tmp_path / "reference.json")


def test_the_page_and_the_metrics_count_states_and_no_class(tmp_path: Path) -> None:
    results = [make_result(analysed_case(each)) for each in ((0.96, 0.02, 0.02), (0.5, 0.1, 0.4), (0.1, 0.1, 0.8))]
    write(tmp_path, [*results, results[2]], days=1)
    report = make_report(read_results(tmp_path), None, window_days=7)
    assert report.recent.sample.states == {"absent": 1, "indeterminate": 1, "present": 2}
    families = {family.name: family for family in text_string_to_metric_families(to_metrics(report))}
    counted = {sample.labels["state"]: sample.value for sample in families["groundglass_quality_states"].samples}
    assert counted == report.recent.sample.states
    page = to_html(report)
    assert 'title="pneumonia present 2"' in page
    assert "community-acquired" not in page


def test_results_and_references_of_former_schemas_are_read(reference: Path, tmp_path: Path) -> None:
    """Schema 1.0 and its references call the salient fraction `infected_fraction`, and tell a class and no state."""
    result = make_result(analysed_case((0.1, 0.7, 0.2), salient_fraction=0.25))
    result["schema_version"] = "1.0"
    case = result["cases"][0]
    case["infected_fraction"] = case.pop("salient_fraction")
    case["prediction"] = {key: case["prediction"][key] for key in ("label", "probabilities")}
    former = tmp_path / "former"
    former.mkdir()
    write(former, [result])
    (row,) = read_results(former).rows
    assert (row.values["salient_fraction"], row.state) == (0.25, "present")
    content = json.loads(reference.read_text(encoding="utf-8"))
    del content["states"]
    content |= {"reference_version": 2, "labels": {"np": 6, "cap": 3, "covid19": 2}}
    (tmp_path / "second.json").write_text(json.dumps(content), encoding="utf-8")
    second = read_reference(tmp_path / "second.json")
    assert second.states == {"absent": 6, "present": 5}
    content["reference_version"] = 1
    content["quantities"]["infected_fraction"] = content["quantities"].pop("salient_fraction")
    (tmp_path / "first.json").write_text(json.dumps(content), encoding="utf-8")
    assert read_reference(tmp_path / "first.json") == second


def test_a_reference_holds_distributions_and_no_identifier(reference: Path) -> None:
    content = json.loads(reference.read_text(encoding="utf-8"))
    assert set(content) == {"reference_version", "outcomes", "states", "quantities", "made_with"}
    assert set(content["quantities"]) == set(QUANTITIES)
    assert all(values == sorted(values) for values in content["quantities"].values())


@pytest.mark.parametrize(
    ("files", "told"),
    [({}, "No result.json"), ({"reference.json": "{}"}, "No result.json"), (None, "reference 'reference.json'")],
)
def test_what_can_not_be_used_is_told_in_a_sentence(
    tmp_path: Path, files: dict[str, str] | None, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    if files is None:
        write(tmp_path, [make_result(analysed_case())])
        files = {"reference.json": "{}"}
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    arguments = ["--results", str(tmp_path), "--reference", str(tmp_path / "reference.json"), "--out", str(tmp_path)]
    assert main(arguments) is QualityCode.USAGE
    assert told in caplog.text
