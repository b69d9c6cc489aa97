"""`make pacs-demo`: Orthanc, the bridge and the application on this machine, and what came back for a phantom study."""

import argparse
import signal
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pyorthanc import Orthanc as Client

from conformance import orthanc
from conformance.tools import ToolMissing, find
from deploy.orthanc.settings import ROOT
from deploy.orthanc.trial import NotInTime, TrialBridge
from groundglass.changed_settings import write_changed_settings
from groundglass.demo import write_phantom
from groundglass.demo_folder import make_anew
from groundglass.phantom.study import PhantomFolderError
from groundglass.phantom.thorax import PRESETS

STABLE_AGE_S = 2
_LONGEST_S = 1800
_EXAMPLES = """examples:
  python -m deploy.orthanc.demo
  python -m deploy.orthanc.demo --keep          # and look at it in a browser, until Ctrl-C
  python -m deploy.orthanc.demo --slices 120    # a whole study, some minutes
"""


def show(running: orthanc.Orthanc, out: Path) -> str:
    """Print what Orthanc holds of the study, and fetch the results into `out`; returns the study's page."""
    client = Client(running.url, trust_env=False)
    (study,) = client.get_studies()
    series: list[dict[str, Any]] = client.get_studies_id_series(study)
    print(f"\n{'modality':<10}{'instances':>9}   series")
    for each in sorted(series, key=lambda one: int(one["MainDicomTags"].get("SeriesNumber", 0))):
        tags = each["MainDicomTags"]
        print(f"{tags['Modality']:<10}{len(each['Instances']):>9}   {tags.get('SeriesDescription', '')}")
        if tags["Modality"] != "CT":
            for number, instance in enumerate(each["Instances"], start=1):
                path = out / f"{tags['Modality'].lower()}-{number}.dcm"
                path.write_bytes(client.get_instances_id_file(instance))
    return f"{running.url}/app/explorer.html#study?uuid={study}"


def run(options: argparse.Namespace) -> None:
    """The demonstration.

    Raises:
        ToolMissing: Orthanc or DCMTK is not installed.
        NotInTime: the bridge brought no results.
        PhantomFolderError: the folder for the results holds something else.
    """
    find("dcmsend")
    make_anew(options.out)
    with (
        TemporaryDirectory(prefix="groundglass-demo-") as name,
        orthanc.running(StableAge=STABLE_AGE_S) as archive,
    ):
        folder = Path(name)
        print(f"Orthanc runs: {archive.url}/app/explorer.html, DICOM port {archive.dicom_port}, title ORTHANC")
        write_changed_settings(folder / "app.yaml", saliency={"maximum_slices": options.explain})
        words = ["{python}", "-m", "app", "-i", "{input}", "-o", "{output}", "-m", "models", "--settings"]
        command = {"command": [*words, str(folder / "app.yaml")]}
        bridge = TrialBridge(folder / "bridge", archive.url, application=command, queue={"attempts": 1})
        try:
            bridge.start()
            print("The bridge runs. A synthetic chest CT is made, and sent with dcmsend")
            write_phantom(options.preset, options.slices, folder / "study")
            start = time.monotonic()
            if errors := archive.store(sorted((folder / "study").iterdir())):
                raise NotInTime(f"The study could not be sent: {errors[0]}")
            print("The application analyses it (about a minute for 40 slices on two cores)")
            bridge.wait_until(lambda: any((bridge.health() or {}).get(kind) for kind in ("done", "dead")), _LONGEST_S)
            if letters := bridge.events("dead_letter"):
                raise NotInTime(f"The study was given up. {letters[0]['reason']}")
            print(f"\nResults were in Orthanc {time.monotonic() - start:.0f} s after the study was sent. It holds now:")
            page = show(archive, options.out)
            print(f"\nThe results as files: {options.out}")
            if options.keep:
                print(f"Look at the study: {page}\nHealth and metrics: {bridge.url}/health {bridge.url}/metrics")
                print("Ctrl-C ends the demonstration and removes Orthanc with all it holds.")
                while True:
                    time.sleep(1)
            print("To look at the study in Orthanc: make pacs-demo PACS_DEMO_ARGS=--keep")
            print("Research use only; not for clinical decisions.")
        finally:
            bridge.stop()


def main(arguments: list[str] | None = None) -> int:
    """Run the demonstration; a problem becomes a sentence and exit code 1."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.orthanc.demo",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--preset", choices=sorted(PRESETS), default="covid19", help="which phantom (default covid19)")
    add("--slices", type=int, default=40, help="slices of the phantom (default 40)")
    add("--explain", type=int, default=6, help="slices that get saliency and boxes (default 6)")
    add("--out", type=Path, default=ROOT / "pacs-demo", help="folder for the results (default pacs-demo)")
    add("--keep", action="store_true", help="leave Orthanc and the bridge running until Ctrl-C")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that Orthanc and the bridge end with it
    try:
        run(options)
    except (ToolMissing, NotInTime, PhantomFolderError, RuntimeError) as problem:
        print(f"The demonstration can't go on. {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nEnded.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
