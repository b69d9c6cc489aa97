"""8-bit pictures become the classifier's input, whatever their window, crop, border, size and colour mode."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from groundglass.locations import MODEL_FOLDER
from groundglass.method.classifier_network import INPUT_SIZE, MultiScaleClassifier
from groundglass.method.lung_network import LungUNet
from groundglass.method.weights import load_lung_network
from groundglass.phantom.thorax import make_thorax
from training.data.pictures import (
    AERATED_GREY,
    SOFT_GREY,
    Picture,
    PictureRefused,
    find_lungs,
    gather_pictures,
    place_window,
    prepare_picture,
    read_picture,
    trim_borders,
)
from training.engine.inference import predict

WEIGHTS = MODEL_FOLDER / "lungs" / "lungs.safetensors"


@pytest.fixture(scope="module")
def network() -> LungUNet:
    return load_lung_network(WEIGHTS)


@pytest.fixture(scope="module")
def thorax() -> tuple[np.ndarray, np.ndarray]:
    """One slice through the middle of the chest: HU and lungs."""
    volume, truth = make_thorax("covid19", slices=16, size=192)
    return volume.hu[8], truth.lungs[8] > 0


def render(hu: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.rint(np.clip((hu - low) / (high - low), 0, 1) * 255).astype(np.uint8)


def normalised(picture: Picture) -> np.ndarray:
    return gather_pictures([picture])[0].image(0, masked=False)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


@pytest.mark.parametrize("window", [(-1000, 400), (-1350, 150), (-1400, 200), (-1024, 1000)])
def test_lung_and_soft_tissue_get_the_same_greys_under_every_export_window(
    thorax: tuple[np.ndarray, np.ndarray], window: tuple[int, int]
) -> None:
    hu, lung = thorax
    grey = render(hu, *window)
    low, high = place_window(grey, lung)
    scaled = (grey - low) / (high - low)
    assert abs(np.quantile(scaled[lung], 0.2) - AERATED_GREY) < 0.01
    body = ~lung & (hu > -50) & (hu < 90)
    assert abs(np.median(scaled[body]) - SOFT_GREY) < 0.03


def test_lungs_are_found_on_a_whole_slice_and_on_one_cut_to_the_lungs(
    network: LungUNet, thorax: tuple[np.ndarray, np.ndarray]
) -> None:
    hu, lung = thorax
    grey = render(hu, -1350, 150)
    assert dice(find_lungs(network, grey), lung) > 0.9
    rows, columns = (np.nonzero(lung.any(axis=axis))[0] for axis in (1, 0))
    cut = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    assert dice(find_lungs(network, grey[cut]), lung[cut]) > 0.85


def test_a_black_border_changes_next_to_nothing(network: LungUNet, thorax: tuple[np.ndarray, np.ndarray]) -> None:
    grey = render(thorax[0], -1350, 150)
    plain = normalised(prepare_picture(network, grey))
    bordered = normalised(prepare_picture(network, np.pad(grey, ((40, 10), (0, 90)))))
    assert np.abs(plain - bordered).mean() < 0.02


def test_uniform_borders_are_trimmed_and_a_uniform_picture_stays() -> None:
    grey = np.full((30, 40), 255, dtype=np.uint8)
    assert trim_borders(grey).shape == (30, 40)
    grey[5:20, 10:35] = np.arange(15 * 25).reshape(15, 25) % 200
    assert trim_borders(grey).shape == (15, 25)


@pytest.mark.parametrize("shape", [(1, 1), (3, 50), (40, 7), (64, 64)])
def test_pictures_without_lungs_are_kept_whole_and_counted(network: LungUNet, shape: tuple[int, int]) -> None:
    picture = prepare_picture(network, np.full(shape, 90, dtype=np.uint8))
    slices, found = gather_pictures([picture])
    assert not found[0]
    image = slices.image(0, masked=True)
    assert image.shape == (INPUT_SIZE, INPUT_SIZE)
    assert np.isfinite(image).all()
    assert slices.lung.any()


def test_every_colour_mode_gives_the_same_greys(tmp_path: Path, thorax: tuple[np.ndarray, np.ndarray]) -> None:
    grey = Image.fromarray(render(thorax[0], -1000, 400))
    for mode in ("L", "RGB", "RGBA", "LA", "P"):
        path = tmp_path / f"{mode}.png"
        (grey.convert("RGB").quantize(256) if mode == "P" else grey.convert(mode)).save(path)
        assert np.abs(read_picture(path).astype(int) - np.asarray(grey)).max() <= (4 if mode == "P" else 1), mode


def test_transparent_parts_are_black(tmp_path: Path) -> None:
    colours = np.full((8, 8, 4), 255, dtype=np.uint8)
    colours[:4, :, 3] = 0
    Image.fromarray(colours).save(tmp_path / "a.png")
    grey = read_picture(tmp_path / "a.png")
    assert grey[:4].max() == 0
    assert grey[4:].min() == 255


def test_damaged_and_16_bit_pictures_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(PictureRefused, match="can't be read"):
        read_picture(tmp_path / "text.png")
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:1000])
    with pytest.raises(PictureRefused, match="can't be read"):
        read_picture(tmp_path / "cut.png")
    Image.fromarray(np.full((8, 8), 3000, dtype=np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(PictureRefused, match="8 bits"):
        read_picture(tmp_path / "deep.png")


def test_the_classifier_takes_the_pictures(network: LungUNet, thorax: tuple[np.ndarray, np.ndarray]) -> None:
    picture = prepare_picture(network, render(thorax[0], -1000, 400))
    slices, found = gather_pictures([picture, picture])
    probabilities = predict(MultiScaleClassifier(), slices, masked=True)
    assert found.all()
    assert probabilities.shape == (2, 3)
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-3)


@pytest.mark.data
def test_real_archives_come_out_alike(network: LungUNet, data_folder: Path) -> None:
    """LUNA16 (HU as 8 bits), a lung window, and figures of unknown windows: aerated lung and soft tissue agree."""
    luna = sorted((data_folder / "luna_slices").glob("*.png"))
    figures = sorted((data_folder / "lesion_slices" / "image").glob("*.png"))
    with np.load(data_folder / "lesion_volumes" / "case_1.npz") as stored:
        window = list(stored["image"][14:32:8])
    sources = ([read_picture(path) for path in luna[2:6]], [read_picture(path) for path in figures[1:4]], window)
    means = []
    for greys in sources:
        slices, found = gather_pictures([prepare_picture(network, grey) for grey in greys])
        inputs = [slices.image(number, masked=False) for number in np.nonzero(found)[0]]
        lungs = slices.lung[found]
        aerated = [np.quantile(image[lung], 0.2) for image, lung in zip(inputs, lungs, strict=True)]
        soft = [np.median(image[~lung & (image > 0.45)]) for image, lung in zip(inputs, lungs, strict=True)]
        means.append((np.mean(aerated), np.mean(soft)))
    assert np.ptp(means, axis=0).max() < 0.05
    assert np.abs(np.array(means) - (AERATED_GREY, SOFT_GREY)).max() < 0.05
