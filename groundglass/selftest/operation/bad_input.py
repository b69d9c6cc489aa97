"""Bad input and bad calls: the application ends as it must, says why, and does not stop for a bad series."""

import json

from groundglass.selftest.check import Measured, listed
from groundglass.selftest.runs import Runs
from groundglass.selftest.samples import SAMPLES


def bad_beside_good(runs: Runs) -> Measured:
    """A series that can't be analysed does not stop another."""
    cases = runs.second.result["cases"]
    said = sorted(f"{case['status']} {(case['reason'] or {}).get('code', '')}".strip() for case in cases)
    figures = f"exit code {runs.second.code}, status {runs.second.result['status']}, cases: {', '.join(said)}"
    return Measured(runs.second.code == 5 and said == ["analysed", "refused GAP"], figures)


def sample(runs: Runs, name: str) -> Measured:
    """Whether the application ends as it must on a sample of bad input, with a word of why."""
    expected, run = SAMPLES[name], runs.samples[name]
    told = run.told + json.dumps(run.result)
    problems = [f"exit code {run.code}"] if run.code != expected.exit_code else []
    problems += [] if expected.said in told else [f"'{expected.said}' is said nowhere"]
    problems += [
        f"{file} was written" for file in run.files if file.endswith((".seg.dcm", ".regions.dcm", ".png", ".boxes.dcm"))
    ]
    last = (run.told.strip().splitlines() or [""])[-1].replace(str(runs.folder), "…")
    return listed(problems, f"exit code {run.code}: {last}")
