"""Write the lists of packages, with hashes, that the image is built from: `make map-lock`.

One resolution serves Python 3.11 and 3.12 and both variants of the image. It is kept in three files, so that each is a
layer of the image: PyTorch for CPU or for CUDA, and the rest. Two more have what stays outside: pip itself, which
installs them, and the tools of the build. pip takes a package only when its hash is listed.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
REST, TORCH_CPU, TORCH_CUDA, PIP, TOOLS = (
    FOLDER / name for name in ("requirements.lock", "torch-cpu.lock", "torch-cuda.lock", "pip.lock", "tools.lock")
)
REQUIRED, REQUIRED_TOOLS = FOLDER.parent / "requirements.txt", FOLDER / "tools.txt"

LEFT_OUT = {
    "perf-analyzer": "loads Triton servers with test traffic",
    "triton": "compiles kernels for torch.compile, which the application does not call",
}
"""Packages that others ask for and the image does without, each with the reason."""

TORCH_CPU_HASHES = {
    "2.13.0": (
        "6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b",  # Python 3.11
        "4ca4a9394b0c771238a4f73590fdbbc4debad85ed0fa63d026ae1b085da7d6e2",  # Python 3.12
    )
}
"""SHA-256 of PyTorch's CPU wheels for Linux x86-64: their own index has them, not the package index."""

HEADER = "# Written by image/lock.py from {}: `make map-lock`. For Python 3.11 and 3.12, Linux x86-64.\n"
ENTRY = re.compile(
    r"^(?P<name>[a-z0-9.-]+)==(?P<version>\S+)(?P<marker> ; [^\\]*)? \\\n(?P<hashes>(?:    --hash=.*\n)+)", re.M
)


def index_settings() -> dict[str, str]:
    """The package indexes that pip is set up with, as uv's environment.

    Those in a local folder are left out: they may hold the files of one Python alone, and then so would the lock.
    """
    command = [sys.executable, "-m", "pip", "config", "list"]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = dict(re.findall(r"^(?:global|:env:)\.(index-url|extra-index-url)='(.*)'$", listing, re.M))
    names = {"index-url": "UV_DEFAULT_INDEX", "extra-index-url": "UV_INDEX"}
    remote = {
        key: [url for url in value.replace("\\n", " ").split() if "://" in url and not url.startswith("file:")]
        for key, value in found.items()
    }
    return {names[key]: " ".join(urls) for key, urls in remote.items() if urls}


def resolve(required: Path, current: str) -> str:
    """All that a file of requirements brings in, as uv writes it; versions in `current` are kept where possible."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "all.lock"
        # Without its hashes, which uv would take over, and with them what they lack.
        output.write_text(re.sub(r" \\\n(    --hash=.*\n)+", "\n", current), encoding="utf-8")
        command = [sys.executable, "-m", "uv", "pip", "compile", str(required), "--quiet"]
        command += ["--universal", "--python-version", "3.11", "--generate-hashes", "--only-binary", ":all:"]
        command += ["--index-strategy", "unsafe-best-match", "--no-header", "--no-annotate", "-o", str(output)]
        subprocess.run(command, env=os.environ | index_settings(), check=True, stdout=subprocess.DEVNULL)
        return output.read_text(encoding="utf-8")


def is_torch(name: str) -> bool:
    """Whether a package comes with PyTorch's CUDA build; libcudart itself comes with either."""
    return name in ("torch", "cuda-toolkit") or name.startswith("nvidia-")


def main() -> int:
    """Resolve, split, write; returns the exit code."""
    files = (REST, TORCH_CUDA, PIP)
    resolved = resolve(REQUIRED, "".join(file.read_text(encoding="utf-8") for file in files if file.exists()))
    texts = dict.fromkeys((REST, TORCH_CPU, TORCH_CUDA, PIP), HEADER.format(REQUIRED.name))
    for entry in ENTRY.finditer(resolved):
        name, version = entry["name"], entry["version"]
        if name in LEFT_OUT or "win32" in (entry["marker"] or ""):
            continue
        lines = f"{name}=={version} \\\n{entry['hashes']}"
        texts[TORCH_CUDA if is_torch(name) else PIP if name == "pip" else REST] += lines
        if name == "nvidia-cuda-runtime":
            texts[TORCH_CPU] += lines
        if name == "torch":
            hashes = " \\\n".join(f"    --hash=sha256:{sha256}" for sha256 in TORCH_CPU_HASHES[version])
            texts[TORCH_CPU] += f"{name}=={version} \\\n{hashes}\n"
    current = TOOLS.read_text(encoding="utf-8") if TOOLS.exists() else ""
    texts[TOOLS] = HEADER.format(f"image/{REQUIRED_TOOLS.name}")
    for entry in ENTRY.finditer(resolve(REQUIRED_TOOLS, resolved + current)):
        texts[TOOLS] += f"{entry['name']}=={entry['version']} \\\n{entry['hashes']}"
    for file, text in texts.items():
        file.write_text(text, encoding="utf-8")
        print(f"{file.name}: {text.count('==')} packages")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
