"""The application as a process: what it logs, the time and memory it takes, how it ends, and what it leaves alone."""

from groundglass.phantom.study import BIRTH_DATE
from groundglass.selftest import installation
from groundglass.selftest.check import Measured, listed
from groundglass.selftest.runs import Runs
from groundglass.selftest.samples import SECRET

FIRST_RUN_S, SECOND_RUN_S, SAMPLE_S, TERMINATION_S = 900.0, 450.0, 90.0, 5.0
"""On two cores without a GPU, with about as much again to spare."""
PEAK_MIB = 4096.0


def no_patient_data_told(runs: Runs) -> Measured:
    """Nothing of a header is in what the application writes to its log."""
    words = {SECRET: "a name, an identifier or a description", "PHANTOM-": "an identifier", "Phantom^": "a name"}
    words |= {BIRTH_DATE: "a date of birth"}
    for phantom in runs.phantoms:
        words |= {str(phantom.header.StudyInstanceUID): "a UID", str(phantom.header.SeriesInstanceUID): "a UID"}
        words |= dict.fromkeys(phantom.sources, "a UID")
    told = [run.told for run in runs.made]
    problems = sorted({f"the log holds {what}" for word, what in words.items() for text in told if word in text})
    return listed(problems, f"{sum(map(len, told))} characters of {len(told)} runs, none of a header")


def run_time(runs: Runs) -> Measured:
    """Seconds from start to end of each run, and of each stage of the first."""
    limits = {"first": (runs.first, FIRST_RUN_S), "second": (runs.second, SECOND_RUN_S)}
    limits |= {name: (run, SAMPLE_S) for name, run in runs.samples.items()}
    problems = [
        f"{name}: {run.seconds:.0f} s of {limit:.0f} s" for name, (run, limit) in limits.items() if run.seconds > limit
    ]
    longest = max(run.seconds for run in runs.samples.values())
    stages: dict[str, float] = {}
    for case in runs.first.result.get("cases", []):
        for stage, seconds in case["timings_s"].items():
            stages[stage] = stages.get(stage, 0) + seconds
    told = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in stages.items())
    figures = f"three phantoms {runs.first.seconds:.0f} s ({told}); one and a bad series {runs.second.seconds:.0f} s; "
    return listed(problems, f"{figures}bad input at most {longest:.0f} s")


def peak_memory(runs: Runs) -> Measured:
    """The largest resident memory of any run."""
    peak = max(run.peak_mib for run in runs.made)
    figures = f"three phantoms {runs.first.peak_mib:.0f} MiB, one and a bad series {runs.second.peak_mib:.0f} MiB"
    return Measured(peak <= PEAK_MIB, figures)


def termination(runs: Runs) -> Measured:
    """SIGTERM, as orchestrators send it, in the middle of the work."""
    seconds, left = runs.terminate()
    figures = f"ended after {seconds:.1f} s, leaving {', '.join(left) or 'nothing'}"
    return Measured(seconds <= TERMINATION_S and not left, figures)


def unchanged(runs: Runs) -> Measured:
    """The runs have written nothing into the application's own folders."""
    for measured in (installation.recorded_files(runs.copy), installation.added_files(runs.copy)):
        if not measured.as_expected:
            return measured
    return Measured(True, "all files as before")
