"""app.yaml with some values changed: for demonstrations, tests and benchmarks that need a quicker run, or another."""

from pathlib import Path
from typing import Any

import yaml

from groundglass.locations import SETTINGS_FILE

ONE_SLICE_EXPLAINED: dict[str, dict[str, object]] = {
    "lungs": {"grid_mm": 4.0, "views": ["axial"], "windows_hu": [[1400, 700]]},
    "saliency": {"maximum_slices": 1},
    "research": {"steps": 1},
}
"""As quick as can be; the results have their usual size all the same."""


def write_changed_settings(path: Path, **changes: Any) -> Path:
    """Write the shipped settings to `path`, each change in the place of what it names.

    Args:
        path: the file to write.
        changes: by section of app.yaml, a dictionary with what changes in it; or the new value where the name is not
            that of a section, as for `device`.

    Raises:
        KeyError: app.yaml has no such section.
    """
    settings = yaml.safe_load(SETTINGS_FILE.read_text(encoding="utf-8"))
    for name, value in changes.items():
        settings[name] = settings[name] | value if isinstance(value, dict) else value
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path
