"""Examples in docstrings stand in the text; the API's pages show them as code. An extension of griffe (mkdocs.yml)."""

import re
from typing import Any

from griffe import Extension, Object

_EXAMPLE = re.compile(r"(?:^|(?<=\n\n))(?P<indent>[ ]*)>>> .*?(?=\n[ ]*\n|\Z)", re.DOTALL)


class Examples(Extension):
    """Puts each paragraph that begins with >>> into a block of code."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Change the docstring before it is parsed."""
        if obj.docstring is not None:
            obj.docstring.value = _EXAMPLE.sub(r"```pycon\n\g<0>\n```", obj.docstring.value)
