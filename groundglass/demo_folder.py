"""The folder of a demonstration: made anew each time, and never one that holds something else."""

import shutil
from pathlib import Path

from groundglass.phantom.study import require_empty

MARK = ".made-by-a-demonstration"


def make_anew(folder: Path) -> None:
    """An empty folder; what an earlier demonstration left in it is removed.

    Raises:
        PhantomFolderError: `folder` is a file, or holds what no demonstration has made.
    """
    if not (folder / MARK).is_file():
        require_empty(folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / MARK).touch()
