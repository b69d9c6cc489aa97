"""Write what is made of the models of the settings, `python -m deploy.settings_page`: docs/settings.md and the schemas.

The models are `groundglass.app_yaml` and `deploy.orthanc.bridge_yaml`; the defaults are those of app.yaml and
bridge.yaml.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deploy.orthanc.bridge_yaml import BridgeYaml
from deploy.orthanc.settings import DEFAULTS
from groundglass.app_yaml import AppYaml
from groundglass.locations import ROOT, SETTINGS_FILE
from groundglass.settings_file import Schema, Section, read_settings, schema_of

_HEAD = """<!-- Written by `python -m deploy.settings_page` from the models of the settings: change those, not this. -->
# Settings

Every setting of the application (`app.yaml`) and of the bridge to Orthanc (`bridge.yaml`), with the value that is
shipped. A file with an unknown setting, a missing one or a value that is not allowed is refused at start: the error has
a line for each fault. "II-C" and the like are sections of Hu et al., IEEE Access 2020.

Editors check both files while you write, with the JSON Schemas
[`settings.schema.json`](../groundglass/settings.schema.json) and
[`bridge.schema.json`](../deploy/orthanc/bridge.schema.json).
"""
_COLUMNS = ("setting", "type", "range", "shipped", "unit", "meaning", "source")
_TYPES = {"integer": "whole number", "number": "number", "boolean": "true or false", "string": "text", "array": "list"}
_DIALECT = {"$schema": "https://json-schema.org/draft/2020-12/schema"}


def files() -> dict[Path, str]:
    """Every file that is made of the models, with its text."""
    pages = [
        _page("app.yaml", AppYaml, SETTINGS_FILE),
        _page("bridge.yaml", BridgeYaml, DEFAULTS),
    ]
    return {
        ROOT / "docs" / "settings.md": "\n".join([_HEAD, *pages]),
        ROOT / "groundglass" / "settings.schema.json": _json(_DIALECT | schema_of(AppYaml)),
        DEFAULTS.with_name("bridge.schema.json"): _json(_DIALECT | _in_parts(schema_of(BridgeYaml))),
    }


def _json(schema: Schema) -> str:
    return json.dumps(schema, indent=1) + "\n"


def _in_parts(schema: Schema) -> Schema:
    """The schema of a file that may leave settings out, as a site's bridge.yaml does."""
    parts = {key: value for key, value in schema.items() if key != "required"}
    if "properties" in parts:
        parts["properties"] = {name: _in_parts(part) for name, part in parts["properties"].items()}
    return parts


def _page(name: str, model: type[Section], defaults: Path) -> str:
    """The tables of one file."""
    schema, shipped = schema_of(model), read_settings(defaults, defaults.name)
    lines = [f"## `{name}`", "", schema["description"], ""]
    single = {key: part for key, part in schema["properties"].items() if "properties" not in part}
    lines += _table(_rows(single, shipped))
    for key, part in schema["properties"].items():
        if key not in single:
            text = " ".join(part["description"].split())
            lines += [f"### `{key}`", "", text, "", *_table(_rows(part["properties"], shipped[key]))]
    return "\n".join(lines)


def _rows(settings: dict[str, Schema], shipped: dict[str, Any], before: str = "") -> Iterator[tuple[str, ...]]:
    for key, part in settings.items():
        name, value = before + key, shipped[key]
        if "properties" in part:
            yield from _rows(part["properties"], value, f"{name}.")
            continue
        # A new training brings new weights, and needs no new page.
        default = "that of the file" if key == "sha256" else f"`{json.dumps(value)}`"
        kind = "choice" if "enum" in part else _TYPES.get(part["type"], "object")
        yield f"`{name}`", kind, _range(part), default, part["unit"], part["description"], part["source"]


def _range(part: Schema) -> str:
    if "allowed" in part:
        return str(part["allowed"]).removeprefix("be ")
    if "enum" in part:
        return ", ".join(f"`{value}`" for value in part["enum"])
    return f"{part['minimum']} to {part['maximum']}" if "minimum" in part else ""


def _table(rows: Iterator[tuple[str, ...]]) -> list[str]:
    lines = [_COLUMNS, tuple("---" for _ in _COLUMNS), *rows]
    return [*(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines), ""]


def main() -> int:
    """Write all of it; returns the exit code."""
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
        print(path.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
