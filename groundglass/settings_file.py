"""A settings file in YAML, held against a pydantic model: every fault of the file in one sentence, all at once.

The bridge of `deploy.orthanc` reads its file with this too, where neither PyTorch nor pydicom is installed.
"""

import reprlib
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from groundglass.domain.errors import UsageError

Schema = dict[str, Any]
_Model = TypeVar("_Model", bound="Section")
_Value = TypeVar("_Value")


class SettingsError(UsageError):
    """A settings file is missing, not YAML, or holds a value that is not allowed."""


class Section(BaseModel):
    """Settings with names: each must be there, with a value of exactly its type, and no other one."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


def setting(
    meaning: str,
    unit: str,
    source: str,
    *,
    low: float | None = None,
    high: float | None = None,
    pattern: str | None = None,
    least: int | None = None,
    most: int | None = None,
    allowed: str | None = None,
) -> Any:
    """A setting that has no default.

    Args:
        meaning: what it is for.
        unit: of its value; empty where it has none.
        source: the section of the paper, where it was measured, or who decides.
        low: the smallest number allowed.
        high: the largest one.
        pattern: a regular expression that a text must hold.
        least: the fewest letters of a text, or entries of a list.
        most: the most of them.
        allowed: what the value must do, after "must", where that can't be told from all of these.
    """
    told = {"unit": unit, "source": source} | ({"allowed": allowed} if allowed else {})
    limits: dict[str, Any] = {"ge": low, "le": high, "pattern": pattern, "min_length": least, "max_length": most}
    return Field(description=meaning, json_schema_extra={**told}, **limits)


AS_TUPLE = BeforeValidator(lambda found: tuple(found) if isinstance(found, list) else found)
"""YAML has lists; a tuple can't be changed."""
Entries = Annotated[tuple[_Value, ...], AS_TUPLE]
"""A list with entries of one kind."""


def read_settings(file: Path, name: str) -> Any:
    """What a YAML file says, not checked yet.

    Args:
        file: the file.
        name: how errors call it.

    Raises:
        SettingsError: it can't be read, or is not YAML.
    """
    try:
        return _Loader(file.read_text(encoding="utf-8")).get_single_data()
    except OSError as error:
        raise SettingsError(f"The settings file '{name}' can't be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"The settings file '{name}' is not text in UTF-8.") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "somewhere"
        told = ", ".join(str(part) for part in (error.context, error.problem) if part)
        raise SettingsError(f"The settings file '{name}' is not valid YAML, {place}: {told}.") from error
    except yaml.YAMLError as error:
        raise SettingsError(f"The settings file '{name}' is not valid YAML: {error}") from error


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice, of which YAML's own loader would take the last without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for place, ((key, _), name) in enumerate(zip(node.value, keys, strict=True)):
            if name in keys[:place]:
                raise yaml.constructor.ConstructorError(None, None, f"'{name}' is given twice", key.start_mark)
        return super().construct_mapping(node, deep)


def check_settings(model: type[_Model], values: Any, name: str) -> _Model:
    """The settings as objects of `model`.

    Args:
        model: of the whole file.
        values: what the file says.
        name: how errors call the file.

    Raises:
        SettingsError: with a line for each fault: the setting, its value, and what is allowed.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        # A setting with several faults, as the entries of a list, has one line.
        lines = dict.fromkeys(_sentences(error, values, schema_of(model), name))
        raise SettingsError("\n".join(lines)) from None


def schema_of(model: type[Section]) -> Schema:
    """The JSON Schema of a file, with every section in its place."""
    schema = model.model_json_schema()
    sections = schema.pop("$defs", {})

    def in_place(part: Any) -> Any:
        if isinstance(part, list):
            return [in_place(item) for item in part]
        if not isinstance(part, dict):
            return part
        if "$ref" in part:
            part = sections[part["$ref"].rpartition("/")[2]] | part
        return {key: in_place(value) for key, value in part.items() if key not in ("$ref", "title")}

    placed: Schema = in_place(schema)
    return placed


def requirement(schema: Schema) -> str:
    """What the value of a setting must do, after "must"."""
    if "allowed" in schema:
        return str(schema["allowed"])
    if "enum" in schema:
        return f"be one of {', '.join(schema['enum'])}"
    kind = schema["type"]
    if kind in ("integer", "number"):
        number = "a whole number" if kind == "integer" else "a number"
        return f"lie between {schema['minimum']} and {schema['maximum']} ({number})"
    return {"boolean": "be true or false", "string": "be a text", "object": "hold named settings"}[kind]


_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxlist, _SHORT.maxdict, _SHORT.maxstring, _SHORT.maxother = 3, 6, 4, 80, 80


def _sentences(error: ValidationError, values: Any, schema: Schema, name: str) -> Iterator[str]:
    for fault in error.errors(include_url=False):
        path, part, value = [], schema, values
        for step in fault["loc"]:
            if step not in part.get("properties", {}):
                break  # an unknown setting, or an entry of a list
            path.append(str(step))
            part = part["properties"][step]
            value = value.get(step) if isinstance(value, dict) else value
        here = f"the setting '{'.'.join(path)}'" if path else "the file"
        if fault["type"] == "missing":
            yield f"{name}: {here} is missing; it must {requirement(part)}."
        elif "properties" in part and fault["type"] in ("extra_forbidden", "invalid_key"):
            unknown = ".".join([*path, str(fault["loc"][-1])])
            known = ", ".join(part["properties"])
            close = get_close_matches(str(fault["loc"][-1]), part["properties"], 1)
            meant = f" Did you mean '{'.'.join([*path, *close])}'?" if close else ""
            yield f"{name}: the setting '{unknown}' is unknown.{meant} {here[0].upper()}{here[1:]} may hold {known}."
        elif reason := str(fault.get("ctx", {}).get("error", "")):
            yield f"{name}: {here} must {requirement(part)}: {reason}."
        else:
            given = "empty" if value is None else _SHORT.repr(value)
            yield f"{name}: {here} must {requirement(part)}, and is {given}."
