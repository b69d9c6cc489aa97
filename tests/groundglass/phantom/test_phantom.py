"""The phantom: a plausible chest, a truth that fits it, and a DICOM study that says the same."""

import json
from pathlib import Path

import numpy as np
import pydicom
import pytest
from scipy import ndimage

from groundglass.domain.class_names import CLASSES
from groundglass.domain.volume import BACKGROUND, LEFT_LUNG, RIGHT_LUNG, CTVolume
from groundglass.phantom.__main__ import main
from groundglass.phantom.study import STORED_AXES, PhantomFolderError, write_study, write_truth
from groundglass.phantom.thorax import PRESETS, Truth, make_thorax

SLICES, SIZE, SEED = 24, 128, 3

Phantom = tuple[CTVolume, Truth]


@pytest.fixture(scope="module")
def phantoms() -> dict[str, Phantom]:
    return {preset: make_thorax(preset, slices=SLICES, size=SIZE, seed=SEED) for preset in PRESETS}


@pytest.fixture(params=list(PRESETS))
def phantom(request: pytest.FixtureRequest, phantoms: dict[str, Phantom]) -> Phantom:
    return phantoms[request.param]


def read_patient_hu(path: Path, points_mm: np.ndarray) -> np.ndarray:
    """HU at patient positions (x, y, z) of one file, by PS3.3 equation C.7.6.2.1-1."""
    dataset = pydicom.dcmread(path)
    row_cosine, column_cosine = np.array(dataset.ImageOrientationPatient, dtype=float).reshape(2, 3)
    offset = points_mm - np.array(dataset.ImagePositionPatient, dtype=float)
    col = offset @ row_cosine / float(dataset.PixelSpacing[1])
    row = offset @ column_cosine / float(dataset.PixelSpacing[0])
    np.testing.assert_allclose(offset @ np.cross(row_cosine, column_cosine), 0, atol=1e-4)
    np.testing.assert_allclose(row, np.rint(row), atol=1e-4)
    np.testing.assert_allclose(col, np.rint(col), atol=1e-4)
    stored = dataset.pixel_array[np.rint(row).astype(int), np.rint(col).astype(int)]
    return stored * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)


def test_each_preset_carries_its_class(phantom: Phantom) -> None:
    _, truth = phantom
    assert truth.label in CLASSES
    assert bool(truth.lesion_list) == (truth.label != "np")


def test_lungs_have_the_volume_of_an_adults_and_the_right_is_larger(phantom: Phantom) -> None:
    volume, truth = phantom
    assert 4000 < truth.right_ml + truth.left_ml < 5000
    assert 1.02 < truth.right_ml / truth.left_ml < 1.4
    assert truth.right_ml == pytest.approx((truth.lungs == RIGHT_LUNG).sum() * volume.voxel_volume_ml)


def test_each_lung_is_one_piece_on_its_own_side(phantom: Phantom) -> None:
    volume, truth = phantom
    x = volume.origin_mm[0] + np.arange(SIZE) * volume.spacing_mm[2]
    for side, sign in ((RIGHT_LUNG, -1), (LEFT_LUNG, 1)):
        lung = truth.lungs == side
        labels, _ = ndimage.label(lung, np.ones((3, 3, 3)))
        assert np.bincount(labels[lung]).max() > 0.995 * lung.sum()
        assert sign * (lung.sum(axis=(0, 1)) @ x) > 0
        assert (sign * x[lung.any(axis=(0, 1))]).min() > -30


def test_whole_lungs_lie_within_the_scan(phantom: Phantom) -> None:
    _, truth = phantom
    for end in (truth.lungs[0], truth.lungs[-1], truth.lungs[:, 0], truth.lungs[:, -1], truth.lungs[..., 0]):
        assert not end.any()


def test_tissues_have_the_density_ct_shows(phantoms: dict[str, Phantom]) -> None:
    volume, truth = phantoms["normal"]
    lungs = truth.lungs > 0
    parenchyma = volume.hu[lungs & (volume.hu < -700)]
    assert -900 < np.median(parenchyma) < -820
    assert np.median(volume.hu[:, :6]) < -1000  # air before the chest
    solid = volume.hu[(volume.hu > -300) & ~lungs]
    assert 0.1 < ((solid > -140) & (solid < -60)).mean() < 0.45  # fat
    assert 0.3 < ((solid > 0) & (solid < 100)).mean() < 0.8  # muscle, blood and organs
    assert 0.01 < (solid > 250).mean() < 0.12  # bone
    assert volume.hu.dtype == np.int16


def test_lungs_hold_as_much_vessel_as_ct_of_healthy_adults_shows() -> None:
    volume, truth = make_thorax("normal", slices=8, size=256, seed=SEED, spacing_mm=(2.5, 1.44, 1.44))
    deep = volume.hu[ndimage.binary_erosion(truth.lungs > 0, np.ones((1, 9, 9)))]
    # Two healthy adults of COVID-CT-MD: 8 % above -700 HU, 2.4 and 3.1 % above -400 HU.
    assert 0.05 < (deep > -700).mean() < 0.12
    assert 0.015 < (deep > -400).mean() < 0.05


def test_lung_is_denser_towards_the_back(phantoms: dict[str, Phantom]) -> None:
    volume, truth = phantoms["normal"]
    parenchyma = (truth.lungs > 0) & (volume.hu < -780)
    rows = np.nonzero(parenchyma.any(axis=(0, 2)))[0]
    third = len(rows) // 3
    front, back = (np.median(volume.hu[:, part][parenchyma[:, part]]) for part in (rows[:third], rows[-third:]))
    assert 20 < back - front < 80


def test_trachea_is_air_outside_the_lungs(phantoms: dict[str, Phantom]) -> None:
    volume, truth = phantoms["normal"]
    inside_body = ndimage.binary_erosion(ndimage.binary_fill_holes(volume.hu[7] > -300), iterations=5)
    airway = (volume.hu[7] < -900) & (truth.lungs[7] == BACKGROUND) & inside_body
    assert 80 < airway.sum() * volume.pixel_area_mm2 < 500


def test_lesions_lie_inside_the_lungs_and_each_has_voxels(phantom: Phantom) -> None:
    _, truth = phantom
    assert not truth.lesions[truth.lungs == BACKGROUND].any()
    assert sorted(np.unique(truth.lesions[truth.lesions > 0])) == list(range(1, len(truth.lesion_list) + 1))


def test_lesions_are_where_the_truth_says(phantom: Phantom) -> None:
    volume, truth = phantom
    for number, lesion in enumerate(truth.lesion_list, start=1):
        places = np.argwhere(truth.lesions == number) * np.array(volume.spacing_mm)
        relative = np.linalg.norm((places - lesion.centre_mm) / lesion.radii_mm, axis=1)
        assert relative.max() < 2.0


def test_covid19_is_bilateral_and_near_the_pleura(phantoms: dict[str, Phantom]) -> None:
    volume, truth = phantoms["covid19"]
    depth = np.stack([ndimage.distance_transform_edt(plane, volume.spacing_mm[1:]) for plane in truth.lungs > 0])
    assert len(truth.lesion_list) == 8
    for side in (RIGHT_LUNG, LEFT_LUNG):
        assert 0.02 < (truth.lesions[truth.lungs == side] > 0).mean() < 0.3
    depth_of = [depth[truth.lesions == number] for number in range(1, 9)]
    assert all(inside.min() < 5.0 for inside in depth_of)
    assert np.median(np.concatenate(depth_of)) < 20.0


def test_cap_consolidates_one_lung_alone(phantoms: dict[str, Phantom]) -> None:
    volume, truth = phantoms["cap"]
    affected = np.unique(truth.lungs[truth.lesions > 0])
    assert len(affected) == 1
    core = [lesion.kind for lesion in truth.lesion_list].index("consolidation") + 1
    assert np.median(volume.hu[truth.lesions == core]) > -250


def test_presets_of_one_seed_differ_in_their_lesions_alone(phantoms: dict[str, Phantom]) -> None:
    normal, truth = phantoms["normal"]
    for preset in ("cap", "covid19"):
        diseased, its_truth = phantoms[preset]
        np.testing.assert_array_equal(its_truth.lungs, truth.lungs)
        np.testing.assert_array_equal(diseased.hu[truth.lungs == BACKGROUND], normal.hu[truth.lungs == BACKGROUND])
        lesion = its_truth.lesions > 0
        assert np.mean(diseased.hu[lesion]) > np.mean(normal.hu[lesion]) + 100


@pytest.mark.slow
def test_a_seed_is_a_chest_at_every_resolution() -> None:
    _, coarse = make_thorax("normal", slices=16, size=64, seed=4)
    _, fine = make_thorax("normal", slices=32, size=128, seed=4)
    assert coarse.right_ml == pytest.approx(fine.right_ml, rel=0.03)
    assert coarse.left_ml == pytest.approx(fine.left_ml, rel=0.03)


@pytest.mark.slow
def test_spacing_covers_the_chest_unless_it_is_given() -> None:
    volume, _ = make_thorax("normal", slices=10, size=64, seed=4)
    assert volume.spacing_mm == pytest.approx((30.0, 5.76, 5.76))
    volume, _ = make_thorax("normal", slices=10, size=64, seed=4, spacing_mm=(5.0, 4.0, 4.0))
    assert volume.spacing_mm == (5.0, 4.0, 4.0)


@pytest.mark.slow
def test_same_seed_gives_the_same_bytes_and_another_seed_does_not(tmp_path: Path) -> None:
    folders = {}
    for name, seed in (("one", SEED), ("again", SEED), ("other", 4)):
        volume, _ = make_thorax("covid19", slices=8, size=64, seed=seed)
        folders[name] = write_study(volume, tmp_path / name, preset="covid19", seed=seed)
    first, again, other = ([path.read_bytes() for path in paths] for paths in folders.values())
    assert first == again
    assert all(a != b for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("position", list(STORED_AXES))
def test_study_has_the_same_hu_at_the_same_patient_position(
    position: str, phantoms: dict[str, Phantom], tmp_path: Path
) -> None:
    volume, _ = phantoms["covid19"]
    paths = write_study(volume, tmp_path / "study", preset="covid19", seed=SEED, patient_position=position)
    assert [path.name for path in paths] == [f"IM{number:04d}.dcm" for number in range(1, SLICES + 1)]
    rng = np.random.default_rng(0)
    for index in (0, 11, SLICES - 1):
        rows, cols = rng.integers(0, SIZE, (2, 200))
        indices = np.stack([np.full(200, index), rows, cols, np.ones(200)])
        points_mm = (volume.affine @ indices)[:3].T
        np.testing.assert_array_equal(read_patient_hu(paths[index], points_mm), volume.hu[index, rows, cols])


def test_study_is_one_series_from_head_to_feet(phantoms: dict[str, Phantom], tmp_path: Path) -> None:
    volume, _ = phantoms["cap"]
    files = [pydicom.dcmread(path) for path in write_study(volume, tmp_path / "study", preset="cap", seed=SEED)]
    assert len({file.SOPInstanceUID for file in files}) == SLICES
    for attribute in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "PatientID"):
        assert len({file[attribute].value for file in files}) == 1
    assert files[0].PatientID == f"PHANTOM-cap-{SEED}"
    heights = [float(file.ImagePositionPatient[2]) for file in files]
    assert np.diff(heights) == pytest.approx(-volume.spacing_mm[0], abs=1e-5)
    assert [file.InstanceNumber for file in files] == list(range(1, SLICES + 1))
    assert all(str(file.SOPInstanceUID).startswith("2.25.") for file in files)


@pytest.mark.slow
def test_truth_reads_back_and_stays_away_from_the_dicom_files(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out, truth_folder = tmp_path / "dicom", tmp_path / "truth"
    sizes = ["--slices", "10", "--size", "64", "--seed", "4"]
    assert main(["--preset", "covid19", "--out", str(out), "--truth", str(truth_folder), *sizes]) == 0
    assert {path.suffix for path in out.iterdir()} == {".dcm"}
    _, truth = make_thorax("covid19", slices=10, size=64, seed=4)
    with np.load(truth_folder / "truth.npz", allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["lungs"], truth.lungs)
        np.testing.assert_array_equal(arrays["lesions"], truth.lesions)
    facts = json.loads((truth_folder / "truth.json").read_text(encoding="utf-8"))
    assert facts["label"] == "covid19"
    assert facts["right_ml"] == pytest.approx(truth.right_ml)
    assert [lesion["kind"] for lesion in facts["lesions"]] == [lesion.kind for lesion in truth.lesion_list]

    inside = tmp_path / "new"
    assert main(["--preset", "cap", "--out", str(inside), "--truth", str(inside / "truth"), *sizes]) == 2
    assert "outside --out" in capsys.readouterr().err
    assert not inside.exists()


def test_folder_with_files_is_refused_and_left_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "mine.txt").write_text("keep", encoding="utf-8")
    assert main(["--preset", "normal", "--out", str(tmp_path), "--slices", "10", "--size", "64"]) == 2
    assert "is not empty" in capsys.readouterr().err
    volume, truth = make_thorax("normal", slices=8, size=64, seed=4)
    with pytest.raises(PhantomFolderError, match="not empty"):
        write_study(volume, tmp_path, preset="normal", seed=0)
    with pytest.raises(PhantomFolderError, match="not empty"):
        write_truth(truth, volume, tmp_path, preset="normal", seed=0)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"preset": "flu"}, "no preset 'flu'"),
        ({"preset": "cap", "slices": 2}, "at least 8 slices"),
        ({"preset": "cap", "size": 32}, "at least 8 slices"),
        ({"preset": "cap", "seed": -1}, "seed of 0 or more"),
        ({"preset": "cap", "spacing_mm": (2.0, 0.0, 1.0)}, "more than 0 mm"),
    ],
)
def test_impossible_phantoms_are_refused_with_a_reason(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_thorax(**arguments)  # type: ignore[arg-type]
