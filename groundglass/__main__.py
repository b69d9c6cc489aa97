"""`python -m groundglass`, and the command `groundglass`: what can be asked of it."""

import argparse
import sys
from importlib import import_module
from pathlib import Path

from groundglass.command.options import Parser, did_you_mean, path
from groundglass.domain.software import NAME, VERSION
from groundglass.exit_codes import EXPLAINED, ExitCode
from groundglass.locations import MODEL_FOLDER, SETTINGS_FILE

_EXAMPLES = """
examples:
  groundglass analyse study/ results/        # DICOM in, DICOM out
  groundglass analyse ct.nii.gz results/     # NIfTI in, NIfTI out
  groundglass demo
  groundglass selftest --out report/
  groundglass cohort --help          # each of these commands has a help text of its own
"""

_ANALYSE_EXAMPLES = f"""
examples:
  groundglass analyse study/ results/
  groundglass analyse ct.nii.gz results/
  groundglass analyse archive/one-study/ results/ --settings site.yaml --log-level debug

{EXPLAINED}
"""

_OTHERS = {
    "demo": ("groundglass.demo", "analyse a synthetic CT, and compare what was found with what is true"),
    "worker": ("groundglass.worker.service", "a process that stays and takes study after study, for programs"),
    "cohort": ("groundglass.cohort.command_line", "analyse every study of an archive; tables and a page with pictures"),
    "quality": (
        "groundglass.quality.command_line",
        "show what a folder of results says day by day, and whether it drifts",
    ),
    "selftest": ("groundglass.selftest.__main__", "prove that this copy works here; writes a report to sign"),
}
"""Commands that read their own options: module with a `main`, and what it does."""


def main(arguments: list[str] | None = None) -> int:
    """Carry out the command; returns the exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    if words and words[0] in _OTHERS:
        module, _ = _OTHERS[words[0]]
        return int(import_module(module).main(words[1:]))
    parser = _parser()
    if not words:
        parser.print_help(sys.stderr)
        return ExitCode.USAGE
    if words and not words[0].startswith("-") and words[0] not in _COMMANDS:
        meant = did_you_mean(words[0], _COMMANDS) or "."
        parser.error(f"there is no command '{words[0]}'{meant} Commands: {', '.join(_COMMANDS)}")
    options = parser.parse_args(words)
    if options.word == "version":
        print(f"{NAME} {VERSION}")
        return 0
    from groundglass.command.analyse import analyse
    from groundglass.command.analyse_nifti import analyse_nifti
    from groundglass.command.logs import set_up_logging

    set_up_logging(options.log_level.upper())
    carry_out = analyse_nifti if options.study.name.lower().endswith((".nii", ".nii.gz")) else analyse
    return int(carry_out(options.study, options.out, options.models, options.settings))


_COMMANDS = ("analyse", *_OTHERS, "version")


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="groundglass",
        description=f"{NAME} {VERSION}: chest CT in; lung segmentation, classification, saliency and report out. "
        "Research use only; not for clinical decisions.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="word", metavar="COMMAND", required=True)
    analyse = commands.add_parser(
        "analyse",
        help="analyse the chest CTs of a folder of DICOM files, or a NIfTI file",
        epilog=_ANALYSE_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    analyse.add_argument(
        "study", type=_folder, metavar="STUDY", help="folder with DICOM files, nested in any way, or a NIfTI file"
    )
    analyse.add_argument("out", type=_folder, metavar="OUT", help="folder for the results; it is made if there is none")
    analyse.add_argument(
        "-m", "--models", type=_folder, default=MODEL_FOLDER, help="folder with the weights (default: installed)"
    )
    analyse.add_argument(
        "--settings", type=_folder, default=SETTINGS_FILE, help="settings file (default: app.yaml as installed)"
    )
    analyse.add_argument(
        "-l",
        "--log-level",
        choices=("debug", "info", "warn", "error"),
        default="info",
        help="how much the log tells (default info)",
    )
    for word, (_, what) in _OTHERS.items():
        commands.add_parser(word, help=what)
    commands.add_parser("version", help="print the version")
    parser.add_argument("--version", action="version", version=f"{NAME} {VERSION}")
    return parser


def _folder(text: str) -> Path:
    return Path(path(text))


def run_and_exit() -> None:
    """Leave the process with the exit code."""
    from groundglass.command.logs import exit_with

    exit_with(main, starts_processes=sys.argv[1:2] in (["cohort"], ["selftest"]))


if __name__ == "__main__":
    run_and_exit()
