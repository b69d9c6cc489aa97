"""Pages: what they are filled with is shown as it is, all of it is there, and no picture is larger than it need be."""

import base64
import io
from pathlib import Path

import pytest
from jinja2 import UndefinedError
from PIL import Image

from groundglass.rendering.page import render_page, to_data_uri

COHORT = "cohort/page.html.j2"


def test_markup_in_a_value_is_shown_and_not_obeyed() -> None:
    page = render_page(COHORT, studies=1, outcomes=[("<script>&", 1)], limits="", figures=[("data:", 'a "b" <i>')])
    assert "<td>&lt;script&gt;&amp;</td>" in page
    assert "a &#34;b&#34; &lt;i&gt;" in page


def test_a_value_that_is_missing_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="studies"):
        render_page(COHORT, outcomes=[], limits="", figures=[])


@pytest.mark.parametrize(("size", "expected"), [((800, 300), (400, 150)), ((200, 900), (200, 900))])
def test_a_picture_is_at_most_as_wide_as_asked(
    tmp_path: Path, size: tuple[int, int], expected: tuple[int, int]
) -> None:
    Image.new("L", size).save(tmp_path / "picture.png")
    kind, _, content = to_data_uri(tmp_path / "picture.png", width=400).partition(",")
    assert kind == "data:image/jpeg;base64"
    assert Image.open(io.BytesIO(base64.b64decode(content))).size == expected
