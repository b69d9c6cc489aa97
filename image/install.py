"""Inside the build: install the wheels of a lock, offline, and leave nothing behind that a run does not need.

pip runs out of its own wheel and is not installed. Bytecode is compiled to be used unchecked: it stays valid whatever
the times of the files are, and two builds make the same.
"""

import argparse
import compileall
import os
import py_compile
import shutil
import subprocess
import sys
from pathlib import Path

WHEELS = Path("/wheels")
NOT_NEEDED = (
    *("torch/include", "torch/share", "torch/test", "torch/bin/protoc*", "torch/bin/test_*", "torch/bin/*Test"),
    "**/tests",
)
"""Headers, compilers and tests in the wheels."""


def pip_wheel() -> Path:
    """pip, which runs out of its wheel."""
    return next(WHEELS.glob("pip-*.whl"))


def pip_install(lock: Path, *options: str, python: str = sys.executable) -> None:
    """Install exactly what the lock lists; pip refuses a wheel whose hash is not in it."""
    command = [
        python,
        str(pip_wheel() / "pip"),
        "install",
        "--quiet",
        "--no-index",
        f"--find-links={WHEELS}",
        "--no-deps",
    ]
    command += ["--require-hashes", "--no-cache-dir", "--no-compile", "--no-warn-script-location"]
    command += ["--disable-pip-version-check", "--root-user-action=ignore", *options, "-r", str(lock)]
    subprocess.run(command, check=True, env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"})


def strip(folder: Path) -> None:
    """Remove what no run needs."""
    for pattern in NOT_NEEDED:
        for path in sorted(folder.glob(pattern)):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def compile_all(folder: Path) -> None:
    """Bytecode beside every module; a template that is no valid Python is left as it is."""
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    compileall.compile_dir(folder, quiet=2, invalidation_mode=mode, workers=0)


def main() -> int:
    """Install into a folder, or into a virtual environment that finds another folder's packages too."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lock", type=Path, required=True)
    parser.add_argument("--into", type=Path)
    parser.add_argument("--venv", type=Path)
    parser.add_argument("--beside", type=Path)
    options = parser.parse_args()
    if options.into:
        pip_install(options.lock, f"--target={options.into}")
        folder = options.into
    else:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(options.venv)], check=True)
        python = str(options.venv / "bin" / "python")
        pip_install(options.lock, python=python)
        (folder,) = options.venv.glob("lib/python3*/site-packages")
        (folder / "beside.pth").write_text(f"{options.beside}\n", encoding="utf-8")
        # Holoscan's wheel finishes its own installation, with pip's help, when Python first starts with it.
        subprocess.run([python, "-c", "pass"], env=os.environ | {"PYTHONPATH": str(pip_wheel())}, check=True)
        if unfinished := [
            lock for lock in folder.glob("*.dist-info/axle.lck") if not lock.with_name("axle.done").exists()
        ]:
            raise SystemExit(f"{unfinished[0].parent.name} did not finish its installation.")
    strip(folder)
    compile_all(folder)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
