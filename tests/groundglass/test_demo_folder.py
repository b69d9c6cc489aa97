"""A demonstration clears the folder that it made, and no other."""

from pathlib import Path

import pytest

from groundglass.demo_folder import make_anew
from groundglass.phantom.study import PhantomFolderError


def test_what_an_earlier_demonstration_left_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    make_anew(folder)
    (folder / "study").mkdir()
    make_anew(folder)
    assert not (folder / "study").exists()


def test_a_folder_that_holds_something_else_is_refused_and_stays(tmp_path: Path) -> None:
    (tmp_path / "patient.dcm").write_text("a patient's")
    with pytest.raises(PhantomFolderError, match="not empty"):
        make_anew(tmp_path)
    assert (tmp_path / "patient.dcm").is_file()
