"""`make bench`: seconds of each stage and in all, and peak memory, on the phantom and on P001 where it is at hand."""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from validation.phantom.study import write_study
from validation.phantom.thorax import make_thorax

REPOSITORY = Path(__file__).resolve().parent.parent
_MEASURE = """
import json, resource, sys
from app.command_line import main
code = int(main(sys.argv[1:]))
print(json.dumps({"code": code, "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
"""


def measure(study: Path, results: Path) -> dict[str, float]:
    """One run in a process of its own: seconds by stage, `total` from process start to end, `peak_mib`.

    Raises:
        RuntimeError: the application did not end with exit code 0.
    """
    command = [sys.executable, "-c", _MEASURE, "-i", str(study), "-o", str(results), "-m", "models", "-l", "ERROR"]
    start = time.perf_counter()
    run = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, check=True)
    total = time.perf_counter() - start
    told = json.loads(run.stdout.decode().strip().splitlines()[-1])
    if told["code"] != 0:
        raise RuntimeError(f"The application ended with exit code {told['code']}.")
    case = json.loads((results / "result.json").read_text(encoding="utf-8"))["cases"][0]
    stages: dict[str, float] = case["timings_s"]
    start_up = total - sum(stages.values())
    return {"start and scan": start_up, **stages, "total": total, "peak MiB": told["peak_mib"]}


def main(arguments: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stages", description=__doc__)
    parser.add_argument("--repeat", type=int, default=1, help="runs of each study; the median counts (default 1)")
    parser.add_argument("--slices", type=int, default=120, help="slices of the phantom (default 120)")
    options = parser.parse_args(arguments)
    data = Path(os.environ.get("GROUNDGLASS_DATA", REPOSITORY / "../shared/data")).resolve()
    with tempfile.TemporaryDirectory() as folder:
        phantom = Path(folder) / "phantom"
        volume, _ = make_thorax("covid19", slices=options.slices)
        write_study(volume, phantom, preset="covid19")
        studies = {f"phantom, {options.slices} slices": phantom}
        if (data / "dicom" / "P001").is_dir():
            studies["P001, 148 slices"] = data / "dicom" / "P001"
        else:
            print("P001 is left out: no folder 'dicom/P001' under GROUNDGLASS_DATA.")
        print(
            f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
        )
        for name, study in studies.items():
            runs = [measure(study, Path(folder) / "results") for _ in range(options.repeat)]
            print(f"\n{name} (median of {options.repeat})")
            for stage in runs[0]:
                values = sorted(run[stage] for run in runs)
                print(f"  {stage:<16} {values[len(values) // 2]:8.1f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
