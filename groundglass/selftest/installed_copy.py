"""The copy of the application that is looked at: its folders, its build's record, its settings, and its machine."""

import json
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from groundglass.locations import LIBRARY, ROOT
from groundglass.selftest.build_record import FILE_NAME, record_of_wheel

CODE = ROOT
"""The folder of the application's code that this self-test is part of."""
_CGROUP = Path("/sys/fs/cgroup")


class RecordError(Exception):
    """There is no usable record of the build."""


@dataclass(frozen=True)
class Copy:
    """What is looked at.

    Attributes:
        out: folder of the report.
        models: folder of the weights.
        record_file: the build's record, or None where there is none.
        code: folder of the code.
        tell: called with a line on what is going on.
    """

    out: Path
    models: Path
    record_file: Path | None
    code: Path = CODE
    tell: Callable[[str], None] = field(default=lambda line: None, compare=False)

    @cached_property
    def record(self) -> dict[str, Any]:
        """The build's record.

        Raises:
            RecordError: it is missing or is none.
        """
        if self.record_file is None:
            if (of_wheel := record_of_wheel()) is not None:
                return of_wheel
            raise RecordError(
                f"There is no {FILE_NAME} to hold this copy against. An image has one in /opt/holoscan; "
                "`make validate` makes one of a checkout; --build-record names another."
            )
        try:
            record: dict[str, Any] = json.loads(self.record_file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RecordError(f"The build's record {self.record_file} can't be read: {error}.") from error
        if not isinstance(record, dict) or {"version", "files", "packages"} - record.keys():
            raise RecordError(f"The build's record {self.record_file} lacks version, files or packages.")
        return record

    @property
    def record_origin(self) -> str:
        """Where the build's record comes from, and so what it proves, in a sentence."""
        if self.record_file is None:
            if record_of_wheel() is None:
                return "There is none."
            return "It came with the package that pip installed."
        record_file = self.record_file.resolve()
        if record_file == (self.code / FILE_NAME).resolve():
            return (
                "This record was made just before this test, from a checkout: it does not prove that this is the "
                "released copy."
            )
        if record_file == (self.code.parent / FILE_NAME).resolve():
            return "It comes from the build of the image."
        return "It was named with --build-record: where it comes from is for the validator to say."

    def recorded(self, name: str) -> Path:
        """The file that the record means by `name`: paths are relative to the record's own folder, or absolute."""
        return (self.record_file.parent if self.record_file else LIBRARY.parent) / name

    @property
    def has_graph(self) -> bool:
        """Whether the application with its graph is there; a library that pip has installed goes without."""
        return (self.code / "app" / "__main__.py").is_file()

    @property
    def program(self) -> list[str]:
        """What starts the application, or else the library's own command, for the same results."""
        return [sys.executable, "-B", "-m", *(["app"] if self.has_graph else ["groundglass", "analyse"])]

    @property
    def start_folder(self) -> Path:
        """Where Python finds that program; an installed library it finds from anywhere."""
        return self.code if self.has_graph else self.out

    @property
    def settings_file(self) -> Path:
        """What the application reads where nothing else is asked for."""
        # Resolved here: the application is started in the folder of the code.
        return Path(os.environ.get("HOLOSCAN_CONFIG_PATH") or self.code / "app.yaml").resolve()

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The settings in use, as they stand in the file."""
        settings: dict[str, Any] = yaml.safe_load(self.settings_file.read_text(encoding="utf-8"))
        return settings

    def manifest(self, name: str) -> Path:
        """`app` or `pkg`: where the MAP's manifest is, if there is one (MAP 1.0)."""
        return Path(os.environ.get(f"HOLOSCAN_{name.upper()}_MANIFEST_PATH") or f"/etc/holoscan/{name}.json")

    @cached_property
    def version(self) -> str:
        """What the application says of itself."""
        command = [*self.program, "--version"] if self.has_graph else [*self.program[:-1], "version"]
        done = subprocess.run(command, cwd=self.start_folder, capture_output=True, text=True, timeout=60, check=True)
        return done.stdout.split()[-1]


def default_record() -> Path | None:
    """Beside the code, as `make validate` puts it, or beside the code's folder, as in the image."""
    for folder in (CODE, CODE.parent):
        if (folder / FILE_NAME).is_file():
            return folder / FILE_NAME
    return None


# The machine


def memory_mib() -> float:
    """What this process may use: the machine's memory, or less where a container is limited."""
    total_kib = re.search(r"^MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text(encoding="ascii"), re.MULTILINE)
    limits = [int(total_kib.group(1)) / 1024] if total_kib else []
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        limit = _read(_CGROUP / name)
        if limit.isdigit():
            limits.append(int(limit) / 2**20)
    return min(limits)


def cores() -> float:
    """Cores that this process may use."""
    count = float(len(os.sched_getaffinity(0)))
    quota, _, period = _read(_CGROUP / "cpu.max").partition(" ")
    return min(count, int(quota) / int(period)) if quota.isdigit() else count


def graphics_processors() -> list[str]:
    """Names of the GPUs that the driver shows, or that it doesn't answer."""
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ["nvidia-smi does not answer"]
    return done.stdout.strip().splitlines() if done.returncode == 0 else []


def describe_machine() -> dict[str, str]:
    """What identifies the machine and its software in the report."""
    cpu = re.search(r"^model name\s*:\s*(.+)$", _read(Path("/proc/cpuinfo")), re.MULTILINE)
    try:
        system = platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        system = "Linux"
    return {
        "Machine": socket.gethostname(),
        "Processor": f"{cpu.group(1) if cpu else platform.machine()}, {cores():g} cores",
        "Memory": f"{memory_mib() / 1024:.1f} GiB",
        "GPU": "; ".join(graphics_processors()) or "none",
        "System": f"{system}, kernel {platform.release()}",
        "Python": f"{platform.python_version()}, {sys.executable}",
        "User": f"uid {os.getuid()}, gid {os.getgid()}",
    }


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
