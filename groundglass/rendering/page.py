"""HTML pages that need no other file, for people: filled templates, with the pictures inside.

Each page's template lies beside the module that fills it; all have the look of `page.html.j2` here.
"""

import base64
import io
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

_JPEG_QUALITY = 85

_TEMPLATES = Environment(
    loader=PackageLoader("groundglass", package_path=""),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


def render_page(template: str, **values: object) -> str:
    """The page.

    Args:
        template: its path in this package, as `quality/page.html.j2`.
        values: what the template names. Their text is escaped; one that is missing is an error.
    """
    return _TEMPLATES.get_template(template).render(values)


def to_data_uri(path: Path, width: int) -> str:
    """A picture for a page, at most `width` pixels wide, as a JPEG in a data URI."""
    with Image.open(path) as image:
        picture = image.convert("RGB")
    picture.thumbnail((width, picture.height))
    file = io.BytesIO()
    picture.save(file, format="JPEG", quality=_JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
