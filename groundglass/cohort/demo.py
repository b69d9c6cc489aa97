"""`make cohort-demo`: an archive of phantoms, a cohort that is killed in the middle, and what is redone: nothing."""

import argparse
import subprocess
import sys
import time
from pathlib import Path

from tqdm import tqdm

from groundglass.changed_settings import write_changed_settings
from groundglass.demo_folder import make_anew
from groundglass.locations import ROOT
from groundglass.phantom.study import PhantomFolderError, write_study
from groundglass.phantom.thorax import make_thorax

PRESETS = ("covid19", "cap", "covid19", "cap")
_COLUMNS = ("study", "state", "p_pneumonia", "kind", "lungs_ml", "salient_fraction", "regions", "seconds")


def write_archive(folder: Path, slices: int, size: int) -> None:
    """One phantom for each preset, each of another patient."""
    for seed, preset in enumerate(tqdm(PRESETS, desc="making studies", unit="study")):
        volume, _ = make_thorax(preset, slices=slices, size=size, seed=seed)
        write_study(volume, folder / f"patient-{seed}", preset=preset, seed=seed)


QUICK = {"lungs": {"views": ["axial"]}, "saliency": {"maximum_slices": 2}}
"""Changed settings: this shows resuming, not the method."""


def finished(results: Path) -> dict[Path, int]:
    """The result files that are there, and when each was written, in nanoseconds."""
    return {path: path.stat().st_mtime_ns for path in sorted(results.glob("studies/*/[!.]*/result.json"))}


def kill_in_the_middle(command: list[str], results: Path, after: int) -> bool:
    """Run a cohort and kill it while it works on the study after the first `after`; whether it was still running."""
    process = subprocess.Popen(command, cwd=ROOT)
    while process.poll() is None:
        if len(finished(results)) >= after and any(results.glob("studies/*/.*.part")):
            process.kill()
            process.wait()
            return True
        time.sleep(0.02)
    return False


def print_table(results: Path) -> None:
    """The cases' table."""
    from pyarrow import parquet

    print(" ".join(f"{name:>17}" for name in _COLUMNS))
    for row in parquet.read_table(results / "cases.parquet", columns=list(_COLUMNS)).to_pylist():
        cells = (f"{value:.3f}" if isinstance(value, float) else str(value) for value in row.values())
        print(" ".join(f"{cell:>17}" for cell in cells))


def main(arguments: list[str] | None = None) -> int:
    """Make the archive, kill the cohort, resume it, print; returns 0 if nothing was redone and nothing is missing."""
    parser = argparse.ArgumentParser(prog="python -m groundglass.cohort.demo", description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "cohort-demo", help="folder (default cohort-demo)")
    parser.add_argument("--slices", type=int, default=40, help="of each phantom (default 40)")
    parser.add_argument("--size", type=int, default=256, help="rows and columns (default 256)")
    parser.add_argument("--ray", metavar="ADDRESS", help="as for groundglass.cohort: local, auto or HOST:PORT")
    options = parser.parse_args(arguments)
    archive, results = options.out / "archive", options.out / "results"
    try:
        make_anew(options.out)
    except PhantomFolderError as error:
        parser.error(str(error))
    write_archive(archive, options.slices, options.size)
    settings = write_changed_settings(options.out / "settings.yaml", **QUICK)
    command = [sys.executable, "-m", "groundglass.cohort", "--input", str(archive), "--output", str(results)]
    command += ["--settings", str(settings), *(["--ray", options.ray, "--cores", "1"] if options.ray else [])]

    print(f"\nThe cohort starts: {' '.join(command[1:])}", flush=True)
    if not kill_in_the_middle(command, results, after=2):
        print("The cohort ended before it could be killed (see above).")
        return 1
    before = finished(results)
    print(
        f"\nKilled (SIGKILL) with {len(before)} of {len(PRESETS)} studies finished and one under way. Again:",
        flush=True,
    )
    code = subprocess.run(command, cwd=ROOT, check=False).returncode
    after = finished(results)
    redone = [path for path, written in before.items() if after.get(path) != written]
    print(f"\nFinished now: {len(after)} of {len(PRESETS)}. Finished before, and done again: {len(redone)}.\n")
    if code == 0:
        print_table(results)
        print(f"\nResearch use only; not for clinical decisions. Look at {results / 'index.html'}")
    return code or int(bool(redone) or len(after) < len(PRESETS))


if __name__ == "__main__":
    raise SystemExit(main())
