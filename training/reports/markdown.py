"""Markdown from `templates/`, and tables in it."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from groundglass.domain.software import INTENDED_USE

_TEMPLATES = Environment(  # Markdown for readers: nothing is escaped
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
_TEMPLATES.globals["INTENDED_USE"] = INTENDED_USE


def render(template: str, **values: object) -> str:
    """The text of a template; every value that it names must be given."""
    return _TEMPLATES.get_template(f"{template}.md.j2").render(values)


def grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table, without a line break at its end."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))


def _one_line(text: str) -> str:
    """A paragraph that a template breaks into lines, as one line."""
    return " ".join(text.split())


_TEMPLATES.globals["grid"] = grid
_TEMPLATES.filters["one_line"] = _one_line
