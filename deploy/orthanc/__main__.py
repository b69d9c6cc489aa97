"""The command line of the bridge."""

import argparse
import signal
import sys
import traceback
from pathlib import Path

from deploy.orthanc.application import CannotRun
from deploy.orthanc.bridge import Bridge
from deploy.orthanc.monitoring import Monitor, set_up_log
from deploy.orthanc.settings import DEFAULTS, Settings, load_settings
from deploy.orthanc.state import State, StateInUse
from groundglass.settings_file import SettingsError

_EXAMPLES = f"""examples:
  python -m deploy.orthanc --settings site.yaml
      follow Orthanc until SIGTERM; site.yaml has the settings that differ from {DEFAULTS.name}
  python -m deploy.orthanc --settings site.yaml dead-letters
      the studies that were given up, each with the reason and its page in Orthanc
  python -m deploy.orthanc --settings site.yaml retry 12 15
  python -m deploy.orthanc --settings site.yaml retry all
      put them back into the queue; the bridge may be running
  python -m deploy.orthanc --settings site.yaml show 12
      the page in Orthanc of the study that the log calls job 12

exit codes:
  0  ended as asked
  1  a defect: start it again, it goes on where it was
  2  the settings, a folder, a port or the application can't be used: read the last lines
"""


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for; every problem becomes a sentence on standard error and an exit code."""
    options = _parser().parse_args(arguments)
    try:
        settings = load_settings(options.settings)
        state = State(settings.state_folder)
        if options.command == "run":
            _run(settings, state)
        elif options.command == "dead-letters":
            _print_dead_letters(settings, state)
        elif options.command == "retry":
            return _retry(state, options.jobs)
        else:
            return _show(settings, state, options.job)
        state.close()
    except (SettingsError, StateInUse, CannotRun) as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        print(f"The bridge can't use a folder, or its port ({error.strerror}): {error.filename or ''}", file=sys.stderr)
        return 2
    return 0


def _run(settings: Settings, state: State) -> None:
    set_up_log(settings.log_level)
    monitor = Monitor(state)
    bridge = Bridge(settings, state, monitor)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: bridge.stop())
    try:
        bridge.run()
    except CannotRun as problem:
        monitor.tell("error", "application_cannot_run", reason=str(problem))
        raise
    except (StateInUse, OSError):
        raise
    except Exception as defect:
        # Where, and no more: the text of an exception may quote what the bridge was working on.
        place = traceback.extract_tb(defect.__traceback__)[-1]
        monitor.tell("error", "defect", type=type(defect).__name__, at=f"{Path(place.filename).name}:{place.lineno}")
        raise SystemExit(1) from None


def _print_dead_letters(settings: Settings, state: State) -> None:
    letters = state.dead_letters()
    for letter in letters:
        print(f"job {letter.job}, {letter.attempts} tries, {_page(settings, letter.study)}\n    {letter.reason}")
    print(f"{len(letters)} dead letters.")


def _retry(state: State, jobs: list[str]) -> int:
    wanted = {letter.job for letter in state.dead_letters()} if jobs == ["all"] else {int(job) for job in jobs}
    put_back = state.retry(wanted)
    print(f"{len(put_back)} studies are in the queue again.")
    if missing := sorted(wanted - set(put_back)):
        print(f"No dead letters: {', '.join(map(str, missing))}.", file=sys.stderr)
        return 2
    return 0


def _show(settings: Settings, state: State, job: int) -> int:
    study = state.study_of(job)
    print(f"There is no job {job}." if study is None else _page(settings, study))
    return 2 if study is None else 0


def _page(settings: Settings, study: str) -> str:
    return f"{settings.url}/app/explorer.html#study?uuid={study}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.orthanc",
        description="Has the application analyse the chest CT that Orthanc receives, and stores the results there. "
        "Research use only; not for clinical decisions.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--settings", type=Path, help=f"settings file (default: {DEFAULTS.name} beside the program)")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    parser.set_defaults(command="run")
    commands.add_parser("run", help="follow Orthanc (the default)")
    commands.add_parser("dead-letters", help="list the studies that were given up")
    retry = commands.add_parser("retry", help="put dead letters back into the queue")
    retry.add_argument("jobs", nargs="+", metavar="JOB", type=_job_or_all, help="their numbers, or all")
    show = commands.add_parser("show", help="the page in Orthanc of a job")
    show.add_argument("job", type=int, metavar="JOB")
    return parser


def _job_or_all(text: str) -> str:
    if text != "all" and not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor `all`")
    return text


if __name__ == "__main__":
    raise SystemExit(main())
