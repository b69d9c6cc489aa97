"""A series is checked once, for its choice and for its reading."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydicom.dataset import Dataset

from groundglass.dicomio.reading import checked_series
from groundglass.dicomio.reading.checked_series import check_series
from groundglass.dicomio.reading.geometry import Grid, check_geometry
from groundglass.dicomio.reading.scan import Series, scan_folder
from groundglass.domain.errors import Refusal
from groundglass.presets import SHIPPED
from groundglass.run import Run
from tests.groundglass.dicomio.ct_samples import SERIES, STUDY, make_series, write_series


def test_a_series_with_a_cut_file_is_refused_even_at_its_end(tmp_path: Path) -> None:
    paths = write_series(tmp_path, make_series())
    paths[-1].write_bytes(paths[-1].read_bytes()[:-100])
    series = scan_folder(tmp_path).series[0]
    with pytest.raises(Refusal) as caught:
        _ = check_series(series).grid
    assert caught.value.code == "DAMAGED_FILES"
    assert "1 of the 30 files" in caught.value.reason


def test_a_sound_series_passes_the_check_of_its_headers() -> None:
    _ = check_series(Series(STUDY, SERIES, tuple(make_series()))).grid


@pytest.mark.parametrize("skip", [(), (12,)])
def test_the_geometry_of_the_chosen_series_is_checked_once_sound_or_not(
    skip: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks = []

    def count(instances: Sequence[Dataset]) -> Grid:
        checks.append(len(instances))
        return check_geometry(instances)

    monkeypatch.setattr(checked_series, "check_geometry", count)
    pipeline: Any = SimpleNamespace(settings=SimpleNamespace(selection=SHIPPED.selection, decoding_threads=1))
    steps: list[tuple[str, int, int]] = []
    run = Run(pipeline, tmp_path, lambda *step: steps.append(step))
    chosen = run.select([Series(STUDY, SERIES, tuple(make_series(skip=skip)))]).chosen
    assert chosen is not None
    case = run.read(chosen, 1)
    assert case.reason_code == ("GAP" if skip else None)
    assert steps == ([] if skip else [("volume", done, 30) for done in range(1, 31)])
    assert checks == [30 - len(skip)]
