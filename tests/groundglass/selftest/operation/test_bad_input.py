"""Every sample of bad input ends as it must, and one that ends otherwise is found."""

from dataclasses import replace

import pytest

from groundglass.selftest.check import carry_out
from groundglass.selftest.runs import Run, Runs
from groundglass.selftest.samples import SAMPLES, SECRET, prepare
from tests.app.runs import call
from tests.groundglass.selftest.operation.spoiling import CHECKS, Judged, case_of

pytestmark = pytest.mark.slow


def test_another_exit_code_beside_a_bad_series_is_found(judged: Judged) -> None:
    refusal = {"status": "refused", "reason": {"code": "GAP", "text": "A slice is missing."}}
    judged.edit_result(lambda result: result["cases"].append(case_of(result) | refusal), judged.second)
    judged.edit_result(lambda result: result.update(status="partial"), judged.second)
    title = "A bad series beside a good one; called by HOLOSCAN_* variables"
    assert judged.outcome(title).verdict == "failed"
    judged.of_second["code"] = 5
    assert judged.outcome(title).verdict == "passed"


# Runs of the application itself


@pytest.fixture(scope="module")
def sampled(runs: Runs) -> Runs:
    """With the application's runs on all samples: the first as the self-test does it, in a process of its own.

    The others are runs in this process, which has loaded already what takes each of them seconds.
    """
    first, *others = SAMPLES
    made = {first: runs.run_sample(first)} | {name: run_here(name, runs) for name in others}
    runs.kept["samples"] = made
    return runs


def run_here(name: str, runs: Runs) -> Run:
    sample = prepare(SAMPLES[name], runs.folder / f"sample {name}", runs.copy)
    done = call(sample.study, sample.out, "-m", str(sample.models), "--settings", str(sample.settings))
    return Run(done.code, done.told, 0.0, 0.0, sample.out)


@pytest.mark.parametrize("name", list(SAMPLES))
def test_every_sample_of_bad_input_ends_as_it_must(sampled: Runs, name: str) -> None:
    outcome = carry_out(CHECKS[f"Bad input: {SAMPLES[name].what}"], sampled)
    assert outcome.verdict == "passed", outcome.measured
    assert SECRET not in sampled.samples[name].told
    assert str(sampled.folder) not in outcome.measured


def test_a_sample_that_ends_otherwise_is_found(sampled: Runs) -> None:
    run = sampled.samples["no DICOM"]
    for wrong in (replace(run, code=0), replace(run, told="")):
        sampled.samples["no DICOM"] = replace(wrong, out=run.out / "nowhere")
        assert carry_out(CHECKS["Bad input: a folder without DICOM"], sampled).verdict == "failed"
