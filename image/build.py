"""Build the image: `make map`, or `python -m image.build --help`.

The host fetches the wheels with its own pip and its own settings; the build takes them from a folder and, on a base
that has Python, needs no network. Nothing of the host's set-up enters the image.
"""

import argparse
import datetime
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from groundglass.command.options import did_you_mean
from groundglass.domain.software import VERSION
from groundglass.locations import ROOT
from groundglass.selftest.build_record import commit_of

IMAGE = ROOT / "image"
CACHE = ROOT / ".map"

CODE = ("app", "operators", "groundglass", "app.yaml", "__main__.py", "pyproject.toml")
DOCUMENTS = ("README.md", "CHANGELOG.md", "SECURITY.md", "LICENSE", "model_cards", "docs")
PARTS = (*CODE, *DOCUMENTS, "models")
NOT_PACKAGED = ("model_cards/evidence/", "docs/repository.py", "docs/examples.py", "docs/assets/", "docs/notebooks/")
_IGNORED = frozenset({"__pycache__", "node_modules"})

BASES = {
    "nvidia": ("nvidia/cuda:13.0.1-runtime-ubuntu24.04", "3.12", "cuda"),
    "ubuntu": ("ubuntu:24.04", "3.12", "cpu"),
    "debian": ("localhost/groundglass-base:bookworm", "3.11", "cpu"),
}
"""Name: image, its Python, the variant that is built on it unless another is asked for."""

_NO_TORCH = (
    "PyTorch's CPU build is not on the usual package index: point pip at PyTorch's own CPU index, or put the wheel in "
    "a folder that pip is told of, PIP_FIND_LINKS=FOLDER."
)
_GLIBC_OLDEST, _GLIBC_NEWEST = 17, 39  # Ubuntu 24.04 has 2.39, Debian 12 has 2.36


class BuildError(Exception):
    """The image can't be built here."""


@dataclass(frozen=True)
class Engine:
    """podman or docker, with the environment it needs on this machine."""

    name: str
    environment: dict[str, str]

    def run(self, *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
        """Run one command of the engine; raises CalledProcessError when it fails."""
        options = {"check": True, "text": True} | options
        return subprocess.run([self.name, *arguments], env=os.environ | self.environment, **options)  # type: ignore[call-overload]


def find_engine(name: str | None = None, storage: Path | None = None) -> Engine:
    """podman or else docker; podman is told how to do without systemd where there is none.

    Args:
        name: one of the two, instead of the first that is installed.
        storage: a folder for podman's images, apart from the user's.

    Raises:
        BuildError: neither is installed.
    """
    name = name or next((each for each in ("podman", "docker") if shutil.which(each)), None)
    if name is None or not shutil.which(name):
        raise BuildError("Neither podman nor docker is installed. Install one: apt-get install podman")
    if not name.endswith("podman"):
        return Engine(name, {})
    environment = {}
    if not Path("/run/systemd/system").exists() and "CONTAINERS_CONF" not in os.environ:
        environment["CONTAINERS_CONF"] = str(_write(CACHE / "containers.conf", _containers_conf()))
    if storage is not None:
        storage.mkdir(parents=True, exist_ok=True)
        text = f'[storage]\ndriver = "overlay"\ngraphroot = "{storage}/graph"\nrunroot = "{storage}/run"\n'
        environment["CONTAINERS_STORAGE_CONF"] = str(_write(storage / "storage.conf", text))
    return Engine(name, environment)


def _containers_conf() -> str:
    """podman's settings for a machine without systemd, such as a container of a build farm."""
    import resource

    files, processes = (resource.getrlimit(kind)[1] for kind in (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC))
    limits = [("nofile", files), ("nproc", 32768 if processes < 0 else min(processes, 32768))]
    ulimits = ", ".join(f'"{name}={value}:{value}"' for name, value in limits)
    runtime = 'runtime = "runc"\n' if shutil.which("runc") else ""
    return (
        f"[containers]\ndefault_ulimits = [{ulimits}]\n"
        f'[engine]\n{runtime}cgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
    )


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def fetch_wheels(variant: str, python: str) -> Path:
    """A folder with every wheel of the locks, fetched by the host's pip; what is there is kept.

    Raises:
        BuildError: a package, or the wheel with the listed hash, is not to be had.
    """
    locks = [IMAGE / name for name in (f"torch-{variant}.lock", "requirements.lock", "tools.lock", "pip.lock")]
    content = "".join(lock.read_text(encoding="utf-8") for lock in locks)
    folder = CACHE / f"wheels-{variant}-{python}"
    complete = folder / "complete"
    if complete.is_file() and complete.read_text(encoding="utf-8") == content:
        return folder
    shutil.rmtree(folder, ignore_errors=True)  # a wheel that no lock names any more would lie there for ever
    folder.mkdir(parents=True)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps"]
    pip += ["--dest", str(folder), "--only-binary", ":all:"]
    platforms = [f"manylinux_2_{minor}_x86_64" for minor in range(_GLIBC_NEWEST, _GLIBC_OLDEST - 1, -1)]
    platforms += ["manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64", "linux_x86_64", "any"]
    target = ["--python-version", python, "--implementation", "cp"]
    target += [item for platform in platforms for item in ("--platform", platform)]
    target += [item for abi in (f"cp{python.replace('.', '')}", "abi3", "none") for item in ("--abi", abi)]
    for lock in locks:
        if subprocess.run([*pip, *target, "--require-hashes", "-r", str(lock)], check=False).returncode:
            advice = _NO_TORCH if lock.name == "torch-cpu.lock" else "`make map-lock` writes the locks again."
            raise BuildError(
                f"The wheels of {lock.name} for Python {python} could not be fetched (see above). {advice}"
            )
    _write(complete, content)
    return folder


def make_debian_base(engine: Engine, image: str) -> None:
    """A base of Debian 12's packages, from the mirrors that apt on this machine uses, unless it is there already.

    Raises:
        BuildError: mmdebstrap is missing or fails.
    """
    if engine.run("image", "inspect", image, check=False, capture_output=True).returncode == 0:
        return
    if not shutil.which("mmdebstrap"):
        raise BuildError("mmdebstrap is not installed, which makes the Debian base. apt-get install mmdebstrap")
    asked = ["apt-get", "indextargets", "--format", "deb $(REPO_URI) $(RELEASE) $(COMPONENT)"]
    asked += ["Created-By: Packages", "Origin: Debian", "Architecture: amd64"]
    sources = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.splitlines()
    sources = [line for line in sources if line.split()[2].startswith("bookworm")]
    archive = CACHE / "base.tar"
    command = ["mmdebstrap", "--quiet", "--variant=essential", "--include=python3,libstdc++6"]
    command += ["--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/locale/*"]
    command += ["--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-include=/usr/share/doc/*/copyright"]
    try:
        subprocess.run([*command, "bookworm", str(archive), *(sources or [])], check=True)
        engine.run("import", str(archive), image, capture_output=True)
    except subprocess.CalledProcessError as error:
        raise BuildError("The Debian base could not be made (see above).") from error
    finally:
        archive.unlink(missing_ok=True)


def source_files() -> list[str]:
    """What of the repository goes into the image, by path; with Git, only what it doesn't ignore."""
    if (ROOT / ".git").exists():
        git = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *PARTS]
        listing = subprocess.run(git, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
        names = [name for name in listing.split("\0") if name]
    else:
        tops = [ROOT / part for part in PARTS]
        files = [path for top in tops for path in (top.rglob("*") if top.is_dir() else [top]) if path.is_file()]
        files = [path for path in files if not _IGNORED.intersection(path.parts) and path.suffix != ".dcm"]
        names = [path.relative_to(ROOT).as_posix() for path in files]
    return sorted(name for name in names if (ROOT / name).is_file() and not name.startswith(NOT_PACKAGED))


def stage_context(epoch: int) -> Path:
    """A folder laid out as /opt/holoscan will be, the same whoever stages it: modes, times and content."""
    context = CACHE / "context"
    shutil.rmtree(context, ignore_errors=True)
    for name in source_files():
        is_document = name.split("/")[0] in {part.split("/")[0] for part in DOCUMENTS}
        target = context / ("docs" if is_document else "" if name.startswith("models/") else "app") / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, target)
    shutil.copyfile(IMAGE / "entrypoint", context / "entrypoint")
    for path in [context, *context.rglob("*")]:
        path.chmod(0o755 if path.is_dir() or path.name == "entrypoint" else 0o644)
        os.utime(path, (epoch, epoch))
    return context


def commit_and_time() -> tuple[str, int]:
    """The commit that is checked out, marked where files differ from it, and its time (s); "unknown", 0 outside Git."""
    log = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
    try:
        time = subprocess.run(log, capture_output=True, text=True, check=True).stdout
        return commit_of(ROOT, PARTS), int(time)
    except (OSError, subprocess.CalledProcessError, ValueError):
        return "unknown", 0


def build_image(
    engine: Engine,
    base: str = "nvidia",
    variant: str | None = None,
    python: str | None = None,
    tag: str | None = None,
    options: tuple[str, ...] = (),
    edit: Callable[[Path], None] | None = None,
    quiet: bool = False,
) -> str:
    """Build the image; returns its tag.

    Args:
        engine: what builds it.
        base: a name of BASES, or an image of Debian's or Ubuntu's family with its tag, which has Python 3.11 or 3.12,
            or apt to install it.
        variant: `cpu` or `cuda`, which PyTorch goes in; None takes the base's.
        python: of the base; None takes the known base's, 3.12 for another.
        tag: None for groundglass:VERSION, with -cpu behind it for that variant.
        options: for the engine's build command.
        edit: changes the folder that the image is built from, before it is.
        quiet: tell what the engine does only when it fails.

    Raises:
        BuildError: something is missing on this machine, or the build failed.
    """
    if base not in BASES and not set(base) & set(":/@"):
        raise BuildError(
            f"There is no base '{base}': {', '.join(BASES)}, or an image with its tag, {base or 'image'}:TAG"
            f"{did_you_mean(base, BASES)}"
        )
    image, base_python, base_variant = BASES.get(base, (base, "3.12", "cuda"))
    variant, python = variant or base_variant, python or base_python
    tag = tag or f"groundglass:{VERSION}" + ("-cpu" if variant == "cpu" else "")
    wheels = fetch_wheels(variant, python)
    if base == "debian":
        make_debian_base(engine, image)
        options = ("--network=none", *options)
    commit, epoch = commit_and_time()
    context = stage_context(epoch)
    if edit is not None:
        edit(context)
    arguments = {
        "BASE_IMAGE": image,
        "VARIANT": variant,
        "VERSION": VERSION,
        "COMMIT": commit,
        "CREATED": datetime.datetime.fromtimestamp(epoch, datetime.UTC).isoformat(),
        "SOURCE_DATE_EPOCH": str(epoch),
    }
    command = ["build", "--file", str(IMAGE / "Containerfile"), "--tag", tag]
    command += ["--build-context", f"wheels={wheels}", "--build-context", f"image={IMAGE}"]
    command += [item for name, value in arguments.items() for item in ("--build-arg", f"{name}={value}")]
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT} if quiet else {}
    done = engine.run(*command, *options, str(context), check=False, **output)
    if done.returncode:
        raise BuildError(
            f"The image could not be built:\n{done.stdout[-3000:]}" if quiet else "The image could not be built."
        )
    return tag


def main(arguments: list[str] | None = None) -> int:
    """Build, and tell the tag and the size; returns the exit code."""
    parser = argparse.ArgumentParser(prog="make map", description=__doc__)
    parser.add_argument("--base", default="nvidia", help=f"{', '.join(BASES)}, or an image, NAME:TAG")
    parser.add_argument("--variant", choices=("cpu", "cuda"), help="default: what suits the base")
    parser.add_argument("--python", choices=("3.11", "3.12"), help="Python of a base named by yourself (default 3.12)")
    parser.add_argument("--engine", choices=("podman", "docker"), help="default: podman, or else docker")
    parser.add_argument("--tag", help="default groundglass:VERSION, with -cpu behind it for that variant")
    options = parser.parse_args(arguments)
    try:
        engine = find_engine(options.engine)
        tag = build_image(engine, options.base, options.variant, options.python, options.tag)
        facts = json.loads(engine.run("image", "inspect", tag, capture_output=True).stdout)[0]
    except BuildError as error:
        print(error, file=sys.stderr)
        return 2
    except subprocess.CalledProcessError as error:
        print(f"{' '.join(error.cmd[:2])} failed: {error.stderr or 'see above'}.", file=sys.stderr)
        return 1
    except OSError as error:  # a program that is missing, or a file of another user's earlier build
        print(f"The image can't be built here: {error.strerror}: {error.filename}.", file=sys.stderr)
        return 2
    print(f"{tag}, {facts['Size'] / 1e9:.2f} GB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
