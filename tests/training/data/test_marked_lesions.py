"""Pictures of patients with marked lesions, drawn from a phantom."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from groundglass.locations import MODEL_FOLDER
from groundglass.method.lung_network import LungUNet
from groundglass.method.weights import load_lung_network
from groundglass.phantom.thorax import make_thorax
from training.data.marked_lesions import SINGLE_SLICES, read_marked_lesions


@pytest.fixture(scope="module")
def network() -> LungUNet:
    return load_lung_network(MODEL_FOLDER / "lungs" / "lungs.safetensors")


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    """Four slices with lungs of a chest in a lung window, and one of nothing."""
    volume, _ = make_thorax("normal", slices=24, size=160)
    grey = np.clip((volume.hu[10:14] + 1350.0) / 1500.0 * 255.0, 0, 255).astype(np.uint8)
    return np.concatenate([np.zeros_like(grey[:1]), grey])


def store(data: Path, pictures: np.ndarray) -> None:
    lesion = np.zeros(pictures.shape, dtype=bool)
    lesion[3, 70, 40] = True
    for source in ("lesion_volumes", "lesion_masks"):
        (data / source).mkdir(parents=True, exist_ok=True)
        np.savez(data / source / "case_1.npz", image=pictures, lung=lesion, lesion=lesion)
    (data / SINGLE_SLICES / "image").mkdir(parents=True, exist_ok=True)
    Image.fromarray(pictures[2]).save(data / SINGLE_SLICES / "image" / "a.png")


def test_slices_with_lungs_are_kept_with_what_is_marked_on_them(
    network: LungUNet, pictures: np.ndarray, tmp_path: Path
) -> None:
    store(tmp_path, pictures)
    found = read_marked_lesions(tmp_path, tmp_path / "cache", network)
    assert [item.name for item in found] == ["lesion_volumes case_1", "lesion_masks case_1", SINGLE_SLICES]
    assert found[0].slices.index.tolist() == [1, 2, 3, 4]
    assert found[0].lesion.tolist() == [False, False, True, False]
    assert found[2].lesion.tolist() == [True]


def test_other_pictures_under_the_same_name_are_prepared_anew(
    network: LungUNet, pictures: np.ndarray, tmp_path: Path
) -> None:
    store(tmp_path, pictures)
    before = read_marked_lesions(tmp_path, tmp_path / "cache", network)[0]
    store(tmp_path, pictures[:, :, ::-1])
    after = read_marked_lesions(tmp_path, tmp_path / "cache", network)[0]
    assert not np.array_equal(before.slices.hu, after.slices.hu)


def test_a_data_folder_without_the_sets_has_nothing_to_tell(network: LungUNet, tmp_path: Path) -> None:
    assert read_marked_lesions(tmp_path, tmp_path / "cache", network) == []
