"""The command line of the application: its options, its environment, and the graph that carries out the steps."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from groundglass.command.analyse import analyse
from groundglass.command.logs import LEVELS, exit_with, set_up_logging
from groundglass.command.options import Parser, path
from groundglass.command.startup import many_imports
from groundglass.domain.errors import UsageError
from groundglass.domain.software import NAME, VERSION
from groundglass.exit_codes import EXPLAINED, ExitCode
from groundglass.locations import SETTINGS_FILE

if TYPE_CHECKING:  # the help answers at once
    from groundglass.dicomio.reading.scan import Scan
    from groundglass.run import Run

_EXAMPLES = f"""
examples:
  python -m app -i study/ -o results/ -m models/
  HOLOSCAN_INPUT_PATH=study HOLOSCAN_OUTPUT_PATH=results HOLOSCAN_MODEL_PATH=models python -m app

{EXPLAINED}
  130, 143  stopped by SIGINT or SIGTERM: the files of finished cases are whole, and there is no result.json
"""


def main(arguments: list[str] | None = None) -> ExitCode:
    """Run the application; every problem becomes a sentence on standard error and an exit code."""
    options = _parser().parse_args(arguments)
    set_up_logging(options.log_level)
    # The engine's own log is of use only when the engine itself is in doubt. As an error it would print the text of any
    # exception, which may quote a header.
    os.environ.setdefault("HOLOSCAN_LOG_LEVEL", "DEBUG" if options.log_level == "DEBUG" else "OFF")
    study, results, models, settings = map(Path, (options.input, options.output, options.model, options.settings))
    return analyse(study, results, models, settings, run_graph)


def run_graph(run: "Run", scan: "Callable[[], Scan]") -> None:
    """Have the graph do the steps of a run.

    Raises:
        UsageError: the machine lacks what the graph's engine needs.
    """
    # Imported only now: the engine needs the CUDA runtime loaded, and the user named, before it is.
    with many_imports():
        from app.accelerator import load_cuda_runtime
        from app.engine import import_engine

        load_cuda_runtime()
        try:
            import_engine()
            from app.application import GroundglassApplication
        except ModuleNotFoundError as missing:
            raise UsageError(
                f"The package {missing.name} is missing, which the graph needs: pip install -r requirements.txt. Or "
                "run `groundglass analyse`, which gives the same results without the graph."
            ) from missing

    GroundglassApplication(scan, run).run()


def _parser() -> argparse.ArgumentParser:
    environment = os.environ
    parser = Parser(
        prog="python -m app",
        description=f"{NAME} {VERSION}: chest CT in; lung segmentation, classification, saliency and report out. "
        "Research use only; not for clinical decisions.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "-i",
        "--input",
        type=path,
        default=environment.get("HOLOSCAN_INPUT_PATH", "input"),
        help="folder with DICOM files, nested in any way",
    )
    output = environment.get("HOLOSCAN_OUTPUT_PATH", "output")
    add("-o", "--output", type=path, default=output, help="folder for the results; it is made if there is none")
    model = environment.get("HOLOSCAN_MODEL_PATH", "models")
    add("-m", "--model", type=path, default=model, help="folder with the weights")
    add(
        "-w",
        "--workdir",
        default=environment.get("HOLOSCAN_WORKDIR"),
        help="accepted since orchestrators give it; nothing is written there",
    )
    add(
        "-l",
        "--log-level",
        type=str.upper,
        choices=LEVELS,
        default="INFO",
        help="how much the log tells (default INFO)",
    )
    add(
        "--settings",
        default=environment.get("HOLOSCAN_CONFIG_PATH", str(SETTINGS_FILE)),
        help="settings file (default: app.yaml as installed)",
    )
    add("--version", action="version", version=f"{NAME} {VERSION}")
    return parser


def run_and_exit() -> None:
    """Leave the process with the exit code."""
    exit_with(main)
