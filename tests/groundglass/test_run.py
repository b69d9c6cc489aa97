"""A run without the graph: study after study, one volume at a time."""

import weakref
from pathlib import Path
from typing import Any

import pytest

from groundglass.case import Case
from groundglass.dicomio.reading.checked_series import CheckedSeries, check_series
from groundglass.dicomio.reading.scan import Scan, Series
from groundglass.dicomio.reading.select import Selection
from groundglass.run import Run


class Volume:
    """Stands for what takes the memory."""


def test_nothing_holds_a_volume_when_the_next_one_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volumes: list[weakref.ref[Volume]] = []

    def read(chosen: CheckedSeries, number: int, others: tuple[CheckedSeries, ...]) -> Case[Volume]:
        assert [volume for volume in volumes if volume() is not None] == []
        volume = Volume()
        volumes.append(weakref.ref(volume))
        return Case(number, "", "", (), volume)

    run: Any = Run(None, tmp_path, lambda stage, done, total: None)  # type: ignore[arg-type]
    for name, step in {
        "select": lambda study: Selection(check_series(study[0]), ()),
        "read": read,
        "write": lambda case: None,
    }.items():
        monkeypatch.setattr(run, name, step)
    for name in ("segment", "classify", "explain"):
        monkeypatch.setattr(run, name, lambda case: case)
    run.whole(Scan(tuple(Series(study, "1", ()) for study in ("first", "second", "third")), ()))
    assert len(volumes) == 3
