"""Fuzzing from the scan to the volume, guided by coverage: `make fuzz`, or longer with FUZZ_ARGS="--seconds 3600"."""

import argparse
import importlib.util
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.fuzz.target import TARGETS

SECONDS_FOR_ONE, MEMORY_MIB = 20, 2048
"""An input that takes longer, or more memory, is a finding."""


def main() -> int:
    """Fuzz every target for its share of the time; the exit code is 1 where something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="in all (default 60)")
    parser.add_argument("--target", choices=TARGETS, action="append", help="one of them only (default all)")
    parser.add_argument("--keep", type=Path, help="folder for what was worth trying, to go on from there next time")
    parser.add_argument("--findings", type=Path, default=Path("fuzz-findings"), help="folder for what fails")
    parser.add_argument("--again", type=Path, help="try one finding again; its name begins with its target")
    options = parser.parse_args()
    if importlib.util.find_spec("atheris") is None:
        parser.error("the fuzzer, atheris, is not installed: there is none for Python 3.14 and later")
    if options.again:
        return _fuzz(options.again.name.partition("-")[0], [str(options.again)])
    names = options.target or list(TARGETS)
    options.findings.mkdir(parents=True, exist_ok=True)
    failed = []
    with TemporaryDirectory() as temporary:
        for name in names:
            corpus = (options.keep or Path(temporary)) / name
            corpus.mkdir(parents=True, exist_ok=True)
            limits = [f"-max_total_time={options.seconds // len(names)}", f"-timeout={SECONDS_FOR_ONE}"]
            findings = f"-artifact_prefix={options.findings}/{name}-"
            if _fuzz(name, [str(corpus), *limits, findings]):
                failed.append(name)
    if failed:
        print(
            f"Something was found in: {', '.join(failed)}. The input lies in {options.findings}; try it again with "
            f"python -m tests.fuzz --again {options.findings}/FILE",
            file=sys.stderr,
        )
    elif not any(options.findings.iterdir()):
        options.findings.rmdir()
    return 1 if failed else 0


def _fuzz(name: str, arguments: list[str]) -> int:
    # libFuzzer ends the process that it runs in.
    options = [f"-rss_limit_mb={MEMORY_MIB}", "-verbosity=0", "-print_final_stats=1"]
    command = [sys.executable, "-m", "tests.fuzz.target", name, *arguments, *options]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
