"""Measure what the image needs, and write it into docs/deployment.md: `make map-sizing`.

Phantoms with lesions go through the container as a hospital runs it. CPU time says what the work is; the time that
passes depends on what else the machine does meanwhile, so its load is told too.
"""

import argparse
import datetime
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from groundglass.domain.software import VERSION
from groundglass.locations import ROOT
from image.build import Engine, find_engine

DOCUMENT = ROOT / "docs" / "deployment.md"
SLICES = (60, 120, 300)
CORES, MEMORY = 2, "4g"
_BLOCK = re.compile(r"(?<=<!-- sizing -->\n).*?(?=<!-- end of sizing -->)", re.DOTALL)

_MEASURE = """
import json, resource, subprocess, sys, time
start = time.monotonic()
done = subprocess.run(["/opt/holoscan/entrypoint", "run"], stdout=sys.stderr)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps({"code": done.returncode, "seconds": time.monotonic() - start,
                  "cpu_seconds": used.ru_utime + used.ru_stime, "peak_mib": used.ru_maxrss / 1024}))
"""


def measure(engine: Engine, image: str, slices: int, folder: Path) -> dict[str, float]:
    """One phantom of 512 x 512 pixels through the container.

    Returns:
        Slices, slices explained, seconds, CPU seconds, peak memory of the process (MiB), output (MB), load before.
    """
    study, results = folder / f"study-{slices}", folder / f"results-{slices}"
    phantom = [sys.executable, "-m", "groundglass.phantom", "--preset", "covid19", "--slices", str(slices)]
    subprocess.run([*phantom, "--out", str(study)], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    results.mkdir()
    results.chmod(0o777)
    load = os.getloadavg()[0]
    command = ["run", "--rm", "--network=none", "--read-only", "--tmpfs=/tmp", "--cap-drop=all", "--user=54321:54321"]
    command += [f"--memory={MEMORY}", f"--cpus={CORES}", "--entrypoint=/opt/venv/bin/python"]
    command += [f"--volume={study}:/var/holoscan/input:ro", f"--volume={results}:/var/holoscan/output"]
    figures = json.loads(engine.run(*command, image, "-c", _MEASURE, stdout=subprocess.PIPE).stdout)
    if figures["code"]:
        raise SystemExit(f"The run on {slices} slices ended with exit code {figures['code']}.")
    case = json.loads((results / "result.json").read_text(encoding="utf-8"))["cases"][0]
    explained = sum(item["explained"] for item in case["slices"])
    output_mb = sum(path.stat().st_size for path in results.iterdir()) / 1e6
    return figures | {"slices": slices, "explained": explained, "output_mb": output_mb, "load": load}


def to_text(rows: list[dict[str, float]], image: str) -> str:
    """The table, and where it was measured."""
    cpu = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    lines = [
        "| slices 512 x 512 | of them explained | time | CPU time | peak memory | output | load before |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        lines.append(
            f"| {row['slices']:.0f} | {row['explained']:.0f} | {row['seconds']:.0f} s | {row['cpu_seconds']:.0f} s "
            f"| {row['peak_mib']:.0f} MiB | {row['output_mb']:.0f} MB | {row['load']:.1f} |"
        )
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    machine = f"{cpu.group(1) if cpu else 'unknown processor'}, the container limited to {CORES} cores and {MEMORY}"
    lines += ["", f'Measured {today} with `{image}`, version {VERSION}: {machine}, no GPU. "Load before" is the']
    lines += [
        "machine's load average when a run began: above 0, others computed too, and time is longer than it need be."
    ]
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Measure, write the table into the document; returns 0."""
    parser = argparse.ArgumentParser(prog="make map-sizing", description=__doc__)
    parser.add_argument("--image", default=f"groundglass:{VERSION}-cpu", help="default %(default)s")
    parser.add_argument("--slices", type=int, nargs="+", default=list(SLICES), help="default 60 120 300")
    parser.add_argument("--storage", type=Path, metavar="DIR", help="what `make map-test` kept with --keep")
    options = parser.parse_args(arguments)
    engine = find_engine(storage=options.storage)
    folder = Path(tempfile.mkdtemp(prefix="sizing-", dir="/var/tmp"))
    folder.chmod(0o755)
    try:
        rows = [measure(engine, options.image, slices, folder) for slices in options.slices]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    text = to_text(rows, options.image)
    DOCUMENT.write_text(_BLOCK.sub(lambda _: text, DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
