"""The report says where the build's record comes from, and so what it proves."""

from pathlib import Path

import pytest

from groundglass.selftest import installed_copy
from groundglass.selftest.build_record import FILE_NAME
from groundglass.selftest.installed_copy import Copy


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ("app/" + FILE_NAME, "it does not prove that this is the released copy"),
        (FILE_NAME, "from the build of the image"),
        ("elsewhere/" + FILE_NAME, "named with --build-record"),
    ],
)
def test_the_origin_of_a_record_is_told_by_its_place(tmp_path: Path, record: str, said: str) -> None:
    assert said in Copy(tmp_path, tmp_path, tmp_path / record, code=tmp_path / "app").record_origin


def test_a_library_has_the_record_of_its_package_and_a_copy_without_any_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installed_copy, "record_of_wheel", lambda: {"version": "1"})
    assert "package that pip installed" in Copy(tmp_path, tmp_path, None).record_origin
    monkeypatch.setattr(installed_copy, "record_of_wheel", lambda: None)
    assert Copy(tmp_path, tmp_path, None).record_origin == "There is none."
