"""What `highdicom` asks the standard's tables: asked once, and read where it is asked.

For every image that an object refers to, it searches all modules of the image's IOD for the same attributes: half a
second of a report on 300 slices. The attributes of all modules are a file of 22 MB, of which a run needs a tenth.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from highdicom import _standard_utils as standard
from highdicom import base, image

Ask = Callable[..., bool]

ATTRIBUTES = Path(standard.__file__).parent / "_standard" / "module_attribute_map.json"
"""Attributes by module, as `highdicom` brings them."""
_MODULE = re.compile(rb'\n  "([^"]+)": (?=\[)')
"""Where a module begins in ATTRIBUTES."""


def remember_answers() -> None:
    """From now on each question is answered from memory when it is asked again. Doing it twice does nothing."""
    ask: Ask = standard.is_attribute_in_iod
    if not hasattr(ask, "remembers"):
        standard.is_attribute_in_iod = _remembering(ask)
        of_modules = cache(AttributesOfModules)
        for asking in (standard, base, image):
            asking.get_module_attribute_map = of_modules  # type: ignore[attr-defined]


class AttributesOfModules(Mapping[str, list[dict[str, Any]]]):
    """`highdicom`'s `get_module_attribute_map()`: the same, but a module is read when it is asked for."""

    def __init__(self) -> None:
        text = ATTRIBUTES.read_bytes()
        found = [*_MODULE.finditer(text)]
        ends = [*(module.start() for module in found[1:]), len(text)]
        self._places = {module[1].decode(): (module.end(), end) for module, end in zip(found, ends, strict=True)}
        self._known: dict[str, list[dict[str, Any]]] = {}

    def __getitem__(self, module: str) -> list[dict[str, Any]]:
        if module not in self._known:
            start, end = self._places[module]
            with ATTRIBUTES.open("rb") as file:
                file.seek(start)
                self._known[module] = json.loads(file.read(end - start).rstrip(b",}\n "))
        return self._known[module]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def _remembering(ask: Ask) -> Ask:
    remembered = cache(ask)

    def answer(attribute: str, sop_class_uid: str, exclude_path_elements: Sequence[str] | None = None) -> bool:
        excluded = None if exclude_path_elements is None else tuple(exclude_path_elements)
        return remembered(attribute, str(sop_class_uid), excluded)

    answer.remembers = True  # type: ignore[attr-defined]
    return answer
