"""Installation qualification: is this the copy that was built, whole and unchanged, on a machine that can run it?"""

import base64
import hashlib
import importlib.util
import json
import marshal
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any

from groundglass.domain.software import sha256_of
from groundglass.selftest.build_record import files_below, installed_packages, left_out_files, package_name
from groundglass.selftest.check import Measured, NotApplicable, listed
from groundglass.selftest.installed_copy import Copy, cores, graphics_processors, memory_mib

OLDEST_PYTHON = (3, 11)
MEMORY_MIB = 4096
"""What a container is limited to in the documentation; the phantoms' peak is far below it."""
TEMPORARY_MIB = 256
"""The phantoms and what comes of them, with room to spare."""


def build_record(copy: Copy) -> Measured:
    """The record is of this version."""
    record = copy.record
    figures = f"{record['version']}, built {record.get('created') or 'at an unknown time'} from commit "
    figures += f"{record.get('commit') or 'unknown'}; the application says {copy.version}"
    return Measured(record["version"] == copy.version, figures)


def recorded_files(copy: Copy) -> Measured:
    """What was built is there and unchanged."""
    problems = []
    for name, sha256 in copy.record["files"].items():
        path = copy.recorded(name)
        if not path.is_file():
            problems.append(f"{name} is missing")
        elif sha256_of(path) != sha256:
            problems.append(f"{name} has been changed")
    return listed(problems, f"{len(copy.record['files'])} files, all as recorded")


def added_files(copy: Copy) -> Measured:
    """Nothing was put beside it."""
    recorded = copy.record["files"].keys()
    tops = sorted({Path(name).parts[0] for name in recorded if not name.startswith(("/", ".."))})
    there = list(files_below(copy.recorded(""), tops))
    added = [f"{name} has been added" for name in there if name not in recorded]
    return listed(added, f"{len(there)} files in {', '.join(tops)}, none beyond the record")


def compiled_files(copy: Copy) -> Measured:
    """Python runs a compiled file in place of its source."""
    problems, compared = [], 0
    for cache in copy.code.rglob("__pycache__"):
        if any(part.startswith(".") for part in cache.relative_to(copy.code).parts):
            continue  # an environment's or a tool's folder
        for path in sorted(cache.glob(f"*.{sys.implementation.cache_tag}*.pyc")):
            source = cache.parent / f"{path.name.partition('.')[0]}.py"
            name = path.relative_to(copy.code).as_posix()
            content = path.read_bytes()
            if content[:4] != importlib.util.MAGIC_NUMBER or not source.is_file() or "-pytest-" in path.name:
                continue  # this Python doesn't run it
            if int.from_bytes(content[4:8], "little") == 0 and _is_stale(content, source):
                continue  # nor one that is older than its source: it compiles the source again
            level = re.search(r"\.opt-(\d)\.pyc$", path.name)
            text = source.read_bytes()
            code = compile(text, str(source), "exec", dont_inherit=True, optimize=int(level.group(1)) if level else 0)
            compared += 1
            if marshal.loads(content[16:]) != code:
                problems.append(f"{name} is not what its source compiles to")
    return listed(problems, f"{compared} compiled files, each what its source compiles to")


def _is_stale(compiled: bytes, source: Path) -> bool:
    """Whether the time or size of the source is another than that in the compiled file's header (PEP 552)."""
    state = source.stat()
    stamp = [value.to_bytes(8, "little")[:4] for value in (int(state.st_mtime), state.st_size)]
    return compiled[8:16] != b"".join(stamp)


def weights(copy: Copy) -> Measured:
    """The weights are those that app.yaml names, in a form that can't hold a program."""
    problems, good = [], []
    for name, model in copy.settings["models"].items():
        path = copy.models / model["file"]
        if not path.is_file():
            problems.append(f"{name}: {model['file']} is missing from {copy.models}")
        elif (found := sha256_of(path)) != model["sha256"]:
            problems.append(f"{name}: {model['file']} has SHA-256 {found}, app.yaml names {model['sha256']}")
        elif not _is_safetensors(path):
            problems.append(f"{name}: {model['file']} is not a safetensors file")
        else:
            good.append(f"{name} {found}")
    return listed(problems, "; ".join(good))


def _is_safetensors(path: Path) -> bool:
    """Eight bytes with the length of a JSON header, and the header (format of safetensors 0.3 and later)."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        try:
            header = json.loads(file.read(length)) if length < 2**24 else None
        except ValueError:
            return False
    return isinstance(header, dict)


def python_version(copy: Copy) -> Measured:
    """Python itself."""
    running, recorded = ".".join(map(str, sys.version_info[:3])), copy.record.get("python")
    fits = sys.version_info >= OLDEST_PYTHON and recorded in (None, running)
    return Measured(fits, f"{running}" + (f", recorded {recorded}" if recorded else ""))


def package_versions(copy: Copy) -> Measured:
    """The packages are those of the build."""
    recorded = {package_name(name): version for name, version in copy.record["packages"].items()}
    installed = installed_packages()
    problems = [
        f"{name} is {installed.get(name, 'missing')}, recorded is {version}"
        for name, version in recorded.items()
        if installed.get(name) != version and not _is_build_of(installed.get(name, ""), version, copy)
    ]
    if not copy.record.get("others_allowed"):
        problems += [f"{name} {installed[name]} has been added" for name in installed.keys() - recorded.keys()]
    return listed(sorted(problems), f"{len(recorded)} packages, all with the recorded versions")


def _is_build_of(installed: str, version: str, copy: Copy) -> bool:
    """Whether it is a build of the version that a library needs, as 2.13.0+cpu is one of 2.13.0 (PEP 440)."""
    return bool(copy.record.get("others_allowed")) and installed.partition("+")[0] == version


_REWRITTEN = re.compile(r"holoscan_cu13-[^/]*\.(pth|dist-info/.*)")
"""Holoscan's wheel completes itself at its first import, and changes these files of its own then."""


def package_files(copy: Copy) -> Measured:
    """The packages' own files are those of their wheels (the RECORD file of PEP 376 and PEP 427)."""
    files = [file for distribution in metadata.distributions() for file in distribution.files or () if file.hash]
    there = [file for file in files if Path(str(file.locate())).exists() and not _REWRITTEN.search(str(file))]
    with ThreadPoolExecutor(max(1, int(cores()))) as pool:
        good = list(pool.map(_is_as_in_wheel, there))
    unlisted = sorted(each.name for each in metadata.distributions() if each.files is None)
    problems = [f"{name} has no RECORD of its files" for name in unlisted]
    problems += [f"{file} has been changed" for file, is_good in zip(there, good, strict=True) if not is_good]
    missing, recorded = left_out_files(), copy.record.get("left_out", {})
    problems += [
        f"{name} lacks {count} files of its wheel, recorded are {recorded.get(name, 0)}"
        for name, count in missing.items()
        if count != recorded.get(name, 0)
    ]
    left_out = f"; the build left out {sum(missing.values())}" if missing else ""
    return listed(problems, f"{len(there)} files, all as in their wheels{left_out}")


def _is_as_in_wheel(file: metadata.PackagePath) -> bool:
    if file.hash is None:
        return True
    with open(str(file.locate()), "rb") as stream:
        digest = hashlib.file_digest(stream, file.hash.mode).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == file.hash.value


def manifests(copy: Copy) -> Measured:
    """What the MAP's manifests say is what the application does."""
    paths = {name: copy.manifest(name) for name in ("app", "pkg")}
    if not any(path.is_file() for path in paths.values()):
        raise NotApplicable("This copy has no MAP manifests: it is not an image.")
    content: dict[str, dict[str, Any]] = {}
    problems = []
    for name, path in paths.items():
        try:
            content[name] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            problems.append(f"{path} can't be read ({type(error).__name__})")
    problems += _app_problems(content.get("app", {}), copy) if "app" in content else []
    problems += _pkg_problems(content.get("pkg", {}), copy) if "pkg" in content else []
    return listed(problems, f"{' and '.join(map(str, paths.values()))} agree with app.yaml and version {copy.version}")


def _app_problems(app: dict[str, Any], copy: Copy) -> Iterator[str]:
    if app.get("version") != copy.version:
        yield f"app.json: version is {app.get('version')}, not {copy.version}"
    if app.get("type") != "application":
        yield f"app.json: type is {app.get('type')}, not application"
    if not app.get("command"):
        yield "app.json: there is no command"
    for name in ("input", "output"):
        path, variable = (app.get(name) or {}).get("path"), f"HOLOSCAN_{name.upper()}_PATH"
        # A relative path is one of the working directory (MAP 1.0).
        whole = os.path.join(app.get("workingDirectory") or "/", path) if path else None
        if whole is None or (app.get("environment") or {}).get(variable, whole) not in (path, whole):
            yield f"app.json: the path of the {name} is {path}, {variable} has another"
    timeout_s = (copy.settings.get("package") or {}).get("timeout_s")
    if timeout_s is not None and app.get("timeout") != timeout_s:
        yield f"app.json: timeout is {app.get('timeout')}, app.yaml has {timeout_s}"


def _pkg_problems(pkg: dict[str, Any], copy: Copy) -> Iterator[str]:
    if pkg.get("version") != copy.version:
        yield f"pkg.json: version is {pkg.get('version')}, not {copy.version}"
    listing = pkg.get("models") or {}
    # A list of names and paths (MAP 1.0), or an object with the path by name (the SDK's own packager).
    named = listing if isinstance(listing, dict) else {model["name"]: model["path"] for model in listing}
    wanted = {name: model["file"] for name, model in copy.settings["models"].items()}
    if sorted(named) != sorted(wanted):
        yield f"pkg.json: models are {', '.join(named) or 'none'}; app.yaml has {', '.join(wanted)}"
    for name in named.keys() & wanted.keys():
        if Path(wanted[name]).parts[0] not in Path(named[name]).parts:
            yield f"pkg.json: the model {name} is in {named[name]}; app.yaml has {wanted[name]}"
    resources, package = pkg.get("resources") or {}, copy.settings.get("package") or {}
    if "memory_gib" in package and resources.get("memory") != f"{package['memory_gib']}Gi":
        yield f"pkg.json: memory is {resources.get('memory')}, app.yaml has {package['memory_gib']} GiB"
    if "cpus" in package and resources.get("cpu") != package["cpus"]:
        yield f"pkg.json: cpu is {resources.get('cpu')}, app.yaml has {package['cpus']}"
    if copy.settings.get("device") == "cuda" and not resources.get("gpu"):
        yield "pkg.json: no GPU is asked for, but app.yaml requires one"


def device(copy: Copy) -> Measured:
    """A GPU where the settings insist on one."""
    import torch  # takes a second: not before it is needed

    setting, found = copy.settings["device"], graphics_processors()
    usable = torch.cuda.is_available()
    figures = f"device: {setting}; GPU {'; '.join(found) or 'none'}; PyTorch {torch.__version__}, "
    figures += f"built for {'CUDA ' + torch.version.cuda if torch.version.cuda else 'the CPU'}; computes on the "
    figures += "GPU" if usable and setting != "cpu" else "CPU"
    return Measured(usable or setting != "cuda", figures)


def memory(copy: Copy) -> Measured:
    """What a limited container has, where this is one."""
    found = memory_mib()
    return Measured(found >= MEMORY_MIB, f"{found:.0f} MiB, {cores():g} cores")


def write_access(copy: Copy) -> Measured:
    """The two folders that must be writable are, with room for the phantoms."""
    problems, room = [], []
    for name, folder in (("output", copy.out), ("temporary", Path(tempfile.gettempdir()))):
        try:
            with tempfile.TemporaryFile(dir=folder) as file:
                file.write(b"groundglass")
        except OSError as error:
            problems.append(f"{name} folder {folder}: {error.strerror}")
            continue
        free = shutil.disk_usage(folder).free / 2**20
        room.append(f"{name} folder {folder}: {free:.0f} MiB free")
        if free < TEMPORARY_MIB:
            problems.append(room[-1])
    return listed(problems, f"{'; '.join(room)}; as uid {os.getuid()}")
