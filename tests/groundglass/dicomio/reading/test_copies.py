"""Copies of an image are dropped, and nothing else that looks like one."""

from pathlib import Path

import numpy as np
import pytest

from groundglass.dicomio.reading.checked_series import check_series
from groundglass.dicomio.reading.scan import scan_folder
from groundglass.domain.errors import Refusal
from tests.groundglass.dicomio.ct_samples import cut_in_half, make_series, set_pixels, write_series
from tests.groundglass.dicomio.scans import FEW, reasons


def test_copies_of_an_image_are_dropped(tmp_path: Path) -> None:
    write_series(tmp_path / "a", make_series(FEW))
    write_series(tmp_path / "b", make_series(FEW))
    scan = scan_folder(tmp_path)
    assert len(scan.series[0].instances) == 4
    assert set(reasons(scan).values()) == {"copy of another file of the same image"}
    assert all(item.file.startswith("b/") for item in scan.ignored)


def test_a_copy_under_another_patient_is_no_copy(tmp_path: Path) -> None:
    write_series(tmp_path / "a", make_series(FEW))
    write_series(tmp_path / "b", make_series(FEW, lambda image, _: setattr(image, "PatientID", "CORRECTED")))
    (series,) = scan_folder(tmp_path).series
    with pytest.raises(Refusal, match="MIXED_PATIENTS"):
        _ = check_series(series).grid


def test_different_images_under_one_uid_are_all_kept(tmp_path: Path) -> None:
    write_series(tmp_path / "a", make_series(FEW))
    other = make_series(FEW)
    set_pixels(other[0], np.full((FEW.rows, FEW.columns), 77))
    other[1].ImagePositionPatient = [0, 0, 999]
    write_series(tmp_path / "b", other)
    scan = scan_folder(tmp_path)
    assert len(scan.series[0].instances) == 6
    assert len(scan.ignored) == 2


def test_a_cut_image_that_was_sent_again_is_not_missing(tmp_path: Path) -> None:
    write_series(tmp_path / "first", make_series(FEW))
    cut_in_half(tmp_path / "first" / "0001.dcm")
    write_series(tmp_path / "second", make_series(FEW))
    assert [(len(s.instances), s.damaged) for s in scan_folder(tmp_path).series] == [(4, 0)]
