"""Whatever the headers of a series hold: an explained refusal, or the volume that another reader finds too."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from groundglass.dicomio.reading import volume
from groundglass.dicomio.reading.pixels import read_slice_hu
from tests.fuzz.files import SMALL, SYNTAXES, as_file, as_multi_frame, small_series
from tests.fuzz.judge import judge
from tests.fuzz.mutations import Spoiled, spoiled_series


def write(folder: Path, files: list[bytes]) -> int:
    for index, content in enumerate(files):
        (folder / f"{index:02d}").write_bytes(content)
    return len(files)


@pytest.mark.slow
@settings(
    max_examples=300, derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
@given(spoiled=spoiled_series)
def test_any_header_ends_in_an_explained_refusal_or_in_the_right_volume(spoiled: Spoiled) -> None:
    with TemporaryDirectory() as folder:
        outcome = judge(Path(folder), write(Path(folder), spoiled.files))
    event(", ".join([*outcome.codes, *("read" for _ in outcome.read)]) or "no eligible series")


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name)
def test_the_sound_series_is_read(tmp_path: Path, syntax: UID) -> None:
    (read,) = judge(tmp_path, write(tmp_path, [as_file(image, syntax) for image in small_series(syntax)])).read
    np.testing.assert_array_equal(read.volume.hu, SMALL.hu)
    np.testing.assert_array_equal(read.volume.affine, SMALL.truth.affine)


def test_the_sound_multi_frame_image_is_read(tmp_path: Path) -> None:
    image = as_multi_frame(small_series(ExplicitVRLittleEndian))
    (read,) = judge(tmp_path, write(tmp_path, [as_file(image, ExplicitVRLittleEndian)])).read
    np.testing.assert_array_equal(read.volume.hu, SMALL.hu)
    np.testing.assert_array_equal(read.volume.affine, SMALL.truth.affine)


def test_a_reader_that_is_off_by_one_in_one_voxel_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_badly(header: Dataset, slice_hu: np.ndarray) -> None:
        read_slice_hu(header, slice_hu)
        slice_hu[3, 4] += header.InstanceNumber == 5

    monkeypatch.setattr(volume, "read_slice_hu", read_badly)
    files = write(tmp_path, [as_file(image, ExplicitVRLittleEndian) for image in small_series(ExplicitVRLittleEndian)])
    with pytest.raises(AssertionError, match="Mismatched elements: 1 / 192"):
        judge(tmp_path, files)
