"""The machine that figures were measured on."""

import os
import platform
import re
from pathlib import Path
from typing import Any


def describe_machine() -> dict[str, Any]:
    """`processor` as it calls itself, `cores` and the version of `python`."""
    try:
        told = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        told = ""
    found = re.search(r"^model name\s*:\s*(.+)$", told, re.MULTILINE)
    return {
        "processor": found.group(1) if found else platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }


def machine_in_words(machine: dict[str, Any]) -> str:
    """For the head of a page."""
    return f"{machine['processor']}, {machine['cores']} cores, Python {machine['python']}"
