"""Command line of the self-test: `python -m groundglass.selftest --out DIR`."""

import argparse
import datetime
import json
import os
import signal
import sys
import tempfile
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from groundglass.command.folders import why_unwritable
from groundglass.command.options import Parser
from groundglass.dicomio.writing.files import write_text
from groundglass.domain.software import sha256_of
from groundglass.selftest.catalogue import INSTALLATION, OPERATION
from groundglass.selftest.check import Check, Outcome, Subject, carry_out
from groundglass.selftest.installed_copy import CODE, Copy, RecordError, default_record, describe_machine
from groundglass.selftest.previews import previews
from groundglass.selftest.report import to_html, to_picture
from groundglass.selftest.runs import Runs
from groundglass.selftest.traceability import rows

NAME = "Groundglass"
RESULTS, REPORT = "results.json", "report.html"

_EXAMPLES = f"""examples:
  python -m groundglass.selftest --out validation-report
      everything, a quarter of an hour or more without a GPU; {REPORT} to read and sign, {RESULTS} for programs
  python -m groundglass.selftest --out validation-report --no-operational
      the installation alone, half a minute
  python -m groundglass.selftest --out DIR --models /opt/holoscan/models --build-record /opt/holoscan/build-record.json

exit codes: 0 passed; 1 a check failed, the report says which; 2 the command line can't be used
"""


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog="python -m groundglass.selftest",
        description="Proves that this copy is the one that was built, and that it does here what it promises. "
        "It verifies the installed files, weights and packages against the build record, and sends synthetic studies "
        "whose truth is known through the whole application. It needs no network and no patient data, and writes into "
        "--out and the temporary folder only.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    models = Path(os.environ.get("HOLOSCAN_MODEL_PATH") or CODE / "models")
    add("--out", type=Path, required=True, metavar="DIR", help=f"folder for {REPORT} and {RESULTS}")
    add("--models", type=Path, default=models, metavar="DIR", help="folder with the weights (default %(default)s)")
    add("--build-record", type=Path, metavar="FILE", help="the build record (default: beside the code)")
    add("--no-operational", action="store_true", help="leave out the runs of the application")
    options = parser.parse_args(arguments)
    if not options.models.is_dir():
        parser.error(f"The model folder {options.models} does not exist. Name the one with the weights: --models.")
    if options.build_record is not None and not options.build_record.is_file():
        parser.error(f"The build record {options.build_record} does not exist. Leave the option out for the usual one.")
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=options.out):
            pass
    except OSError as error:
        why = why_unwritable(error, options.out)
        parser.error(f"The folder {options.out} can't be written ({why}). Give a writable one with --out.")
    return options


class _Progress:
    """Tells which check runs, and what came of it."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0

    def tell(self, line: str) -> None:
        print(f"           {line}", file=sys.stderr, flush=True)

    def carry_out(self, check: Check[Subject], subject: Subject) -> Outcome:
        self._done += 1
        print(f"[{self._done:2d}/{self._total}] {check.id} {check.title}", file=sys.stderr, flush=True)
        outcome = carry_out(check, subject)
        if outcome.verdict != "passed":
            self.tell(f"{outcome.verdict}: {outcome.measured}")
        return outcome


def summarise(copy: Copy, outcomes: list[Outcome], operational: bool) -> dict[str, Any]:
    """The content of results.json."""
    verdicts = {outcome.id: outcome.verdict for outcome in outcomes}
    counts = Counter(verdicts.values())
    try:
        record = copy.record
    except RecordError:
        record = {}
    return {
        "schema_version": "1.0",
        "created": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        "verdict": "failed" if counts["failed"] else "passed",
        "operational": operational,
        "counts": {verdict: counts[verdict] for verdict in ("passed", "failed", "not applicable")},
        "software": {
            "Name": NAME,
            "Version": str(record.get("version", "unknown")),
            "Built": str(record.get("created") or "unknown"),
            "Commit": str(record.get("commit") or "unknown"),
            "Build record": copy.record_origin,
            "Code": str(copy.code),
            "Models": str(copy.models),
            "Settings": f"{copy.settings_file}, SHA-256 {sha256_of(copy.settings_file)}"
            if copy.settings_file.is_file()
            else f"{copy.settings_file} is missing",
        },
        "machine": describe_machine(),
        "checks": [asdict(outcome) for outcome in outcomes],
        "requirements": [
            {
                "id": id,
                "text": text,
                "checks": checks,
                "not_covered": not_covered,
                "verdict": _joint_verdict([verdicts.get(check, "not run") for check in checks]),
            }
            for id, text, checks, not_covered in rows()
        ],
    }


def _joint_verdict(verdicts: list[str]) -> str:
    """Of the checks of one requirement: the worst that was found."""
    if not verdicts:
        return "not covered"
    return next(one for one in ("failed", "not run", "passed", "not applicable") if one in verdicts)


def main(arguments: list[str] | None = None) -> int:
    """Carry out every check, write results and report; returns the exit code."""
    options = _parse(arguments)
    operational = not options.no_operational
    progress = _Progress(len(INSTALLATION) + (len(OPERATION) if operational else 0))
    copy = Copy(
        options.out.resolve(), options.models.resolve(), options.build_record or default_record(), tell=progress.tell
    )
    outcomes = [progress.carry_out(check, copy) for check in INSTALLATION]
    pictures: list[dict[str, str]] = []
    if operational:
        with Runs(copy) as runs:
            outcomes += [progress.carry_out(check, runs) for check in OPERATION]
            try:
                pictures = [to_picture(title, path) for title, path in previews(runs)]
            except Exception as error:  # of a full disk, say: the report is needed then more than ever
                progress.tell(f"There are no pictures: {error}")
    results = summarise(copy, outcomes, operational)
    write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n", copy.out / RESULTS)
    write_text(to_html(results, sha256_of(copy.out / RESULTS), pictures), copy.out / REPORT)
    counts = ", ".join(f"{count} {verdict}" for verdict, count in results["counts"].items())
    print(f"{results['verdict'].capitalize()}: {counts}. Read and sign {copy.out / REPORT}")
    return 0 if results["verdict"] == "passed" else 1


if __name__ == "__main__":
    # Asked to end, it ends the run under way with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sys.exit(main())
