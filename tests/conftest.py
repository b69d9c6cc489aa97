"""What the tests share."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real CT studies, outside the repository; tests that need it are marked `data`."""
    folder = Path(os.environ.get("GROUNDGLASS_DATA") or REPOSITORY.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip("no CT data: GROUNDGLASS_DATA, or else ../shared/data, is not a folder")
    return folder
