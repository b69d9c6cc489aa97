"""The lung network's training and its tables, on phantom slices and tiny made-up inputs."""

from pathlib import Path

import numpy as np
import pytest
import torch

from groundglass.domain.volume import LEFT_LUNG, RIGHT_LUNG, CTVolume
from groundglass.method.lung_network import LungUNet
from groundglass.phantom.thorax import Truth, make_thorax
from training.checkpoint import export_weights
from training.loop import Plan
from training.lung_data import (
    NORMALISATIONS,
    LungImages,
    ScoredSet,
    consolidated_planes,
    draw_sample,
    lung_samples,
    paint_held_out,
    threshold_images,
    threshold_lungs,
)
from training.lung_tables import (
    SHIPPED,
    as_markdown,
    describe_weights,
    draw_overlay,
    find_weights,
    load_scored_sets,
    score_all,
    score_masks,
)
from training.lungs import dice_score, find_lungs, hausdorff_95_mm, mean_over_patients, score_held_out, train_lungs
from training.options import DATA_FOLDER

PLAN = Plan(iterations=2, batch=1, learning_rate=1e-3, betas=(0.9, 0.999), cosine=True, average_decay=0.9, save_every=1)


@pytest.fixture(scope="module")
def phantom() -> tuple[CTVolume, Truth]:
    return make_thorax("normal", slices=24, size=128)


@pytest.fixture(scope="module")
def chest(phantom: tuple[CTVolume, Truth]) -> LungImages:
    volume, truth = phantom
    return LungImages(volume.hu, truth.lungs > 0, volume.spacing_mm)


@pytest.fixture(scope="module")
def chest_8_bit(chest: LungImages) -> LungImages:
    image = np.clip((chest.image + 1350.0) / 1500.0 * 255.0, 0, 255).astype(np.uint8)
    return LungImages(image, chest.lung, chest.spacing_mm)


@pytest.fixture(scope="module")
def tiny(chest: LungImages) -> LungImages:
    """A few voxels of the chest: enough to pass through every view."""
    return LungImages(chest.image[10:14, ::4, ::4], chest.lung[10:14, ::4, ::4], (2.0, 2.0, 2.0))


@pytest.fixture(scope="module")
def sources(chest: LungImages, chest_8_bit: LungImages) -> dict[str, list[LungImages]]:
    return {"lung_slices": [chest], "lesion_masks": [chest_8_bit], "volumes": [chest]}


def weights_of(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in network.state_dict().items()}


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_weights(
    tmp_path: Path, sources: dict[str, list[LungImages]], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def train(folder: str) -> dict[str, torch.Tensor]:
        return weights_of(train_lungs(tmp_path / folder, sources, NORMALISATIONS["sliding"], PLAN, seed=3))

    def lasts_one_iteration(*arguments: object) -> object:
        draw = lung_samples(*arguments)  # type: ignore[arg-type]

        def dying(iteration: int, n: int) -> tuple[np.ndarray, np.ndarray]:
            if iteration > 0:
                raise Killed
            return draw(iteration, n)

        return dying

    unbroken = train("unbroken")
    with monkeypatch.context() as patch:
        patch.setattr("training.lungs.lung_samples", lasts_one_iteration)
        with pytest.raises(Killed):
            train("broken")
    resumed = train("broken")
    assert all(torch.equal(resumed[key], unbroken[key]) for key in unbroken)
    torch.manual_seed(3)
    untrained = LungUNet().state_dict()
    assert not torch.equal(unbroken["head.weight"], untrained["head.weight"])


def test_a_lung_sample_keeps_its_mask_where_disease_is_painted(sources: dict[str, list[LungImages]]) -> None:
    filled = []
    for seed in range(12):
        planes, mask = draw_sample(sources, 3, NORMALISATIONS["sliding"], np.random.default_rng(seed))
        assert planes.shape == (3, *mask.shape)
        assert planes.dtype == mask.dtype == np.float32
        if mask.sum() > 500:
            filled.append(planes[1][mask > 0].max())
    assert filled
    assert max(filled) > 0.8  # something dense lies where the mask still says lung


def test_a_sample_depends_on_seed_iteration_and_number_alone(sources: dict[str, list[LungImages]]) -> None:
    draw = lung_samples(sources, 3, NORMALISATIONS["sliding"], seed=1)
    first = draw(5, 2)
    draw(0, 0)
    again = lung_samples(sources, 3, NORMALISATIONS["sliding"], seed=1)(5, 2)
    assert np.array_equal(first[0], again[0])
    assert not np.array_equal(first[0], draw(5, 3)[0])


@pytest.mark.parametrize(
    ("name", "hu", "scaled"),
    [("none", [-1024, 3071], [0, 1]), ("fixed", [-1350, -600, 150, 900], [0, 0.5, 1, 1])],
)
def test_a_fixed_normalisation_scales_every_image_alike(name: str, hu: list[int], scaled: list[float]) -> None:
    (view,) = NORMALISATIONS[name].windows(np.zeros(1, np.int16)).views_of(np.array(hu, dtype=np.float32))
    assert np.allclose(view, scaled)


@pytest.mark.parametrize(("name", "scaled"), [("none", [0, 0.5, 1]), ("fixed", [50 / 255, 100 / 255, 150 / 255])])
def test_8_bit_images_keep_their_values_or_use_their_own_range(name: str, scaled: list[float]) -> None:
    image = np.array([50, 100, 150], dtype=np.uint8)
    (view,) = NORMALISATIONS[name].windows(image).views_of(image)
    assert np.allclose(view, scaled)


def test_a_sliding_normalisation_follows_the_image_and_votes() -> None:
    image = np.arange(-900, -300, dtype=np.int16)
    windows = NORMALISATIONS["sliding"].windows(image)
    moved = windows.views_of(image + np.int16(200))
    assert len(moved) == 2
    assert all(np.allclose(a, b) for a, b in zip(windows.views_of(image), moved, strict=True))


@pytest.mark.parametrize("name", NORMALISATIONS)
def test_every_normalisation_draws_samples_of_every_source(name: str, sources: dict[str, list[LungImages]]) -> None:
    draw = lung_samples(sources, 3, NORMALISATIONS[name], seed=0)
    for n in range(6):
        planes, _ = draw(0, n)
        assert 0 <= planes.min() < planes.max() <= 1


def test_the_threshold_finds_healthy_lungs_in_hu_and_in_8_bit(chest: LungImages, chest_8_bit: LungImages) -> None:
    assert dice_score(threshold_lungs(chest.image, chest.spacing_mm), chest.lung) > 0.93
    assert dice_score(threshold_images(chest_8_bit), chest.lung) > 0.9


def test_a_painted_slice_is_consolidated_and_a_threshold_misses_it(chest: LungImages) -> None:
    single = LungImages(chest.image[12:13], chest.lung[12:13], chest.spacing_mm)
    painted = paint_held_out([single])
    (item,) = painted.patients
    assert np.array_equal(item.lung, single.lung)
    assert np.array_equal(single.image, chest.image[12:13])  # the original stays as it was
    assert dice_score(threshold_images(item), item.lung) < dice_score(threshold_images(single), single.lung) - 0.02


def test_planes_with_enough_dense_lesion_are_consolidated() -> None:
    lung = np.ones((3, 10, 10), dtype=bool)
    hu = np.full(lung.shape, -800, dtype=np.int16)
    lesion = np.zeros_like(lung)
    hu[0, :2], lesion[0, :2] = 0, True  # a fifth of the lung, dense
    hu[1, :1], lesion[1, :1] = 0, True  # a tenth: not more than a tenth
    hu[2, :5], lesion[2, :5] = -600, True  # half of it, ground glass
    assert consolidated_planes(LungImages(hu, lung, (1.0, 1.0, 1.0)), lesion).tolist() == [True, False, False]


def test_the_hausdorff_distance_is_in_millimetres_along_each_axis() -> None:
    true = np.zeros((12, 20, 20), dtype=bool)
    true[2:6, 5:15, 5:15] = True
    assert hausdorff_95_mm(true, true, (8.0, 1.5, 1.5)) == 0
    assert hausdorff_95_mm(np.roll(true, 2, 0), true, (8.0, 1.5, 1.5)) == pytest.approx(16.0)
    assert hausdorff_95_mm(np.roll(true, 2, 1)[3:4], true[3:4], (8.0, 1.5, 1.5)) == pytest.approx(3.0)
    assert hausdorff_95_mm(np.zeros_like(true), true, (1.0, 1.0, 1.0)) is None


def test_the_mean_has_an_interval_from_two_patients_on() -> None:
    figures = mean_over_patients([0.9, 0.8, None, 1.0])
    assert figures["patients"] == 3
    assert figures["without_value"] == 1
    assert figures["mean"] == pytest.approx(0.9)
    assert 0.8 <= figures["interval"][0] < 0.9 < figures["interval"][1] <= 1.0
    assert figures == mean_over_patients([0.9, 0.8, None, 1.0])
    assert mean_over_patients([0.7])["interval"] is None
    assert mean_over_patients([None])["mean"] is None


def test_consolidated_slices_are_scored_apart_from_the_others() -> None:
    lung = np.zeros((2, 8, 8), dtype=bool)
    lung[:, 2:6, 2:6] = True
    found = lung.copy()
    found[1, 2:4] = False  # half of the consolidated slice is missed
    image = np.zeros(lung.shape, dtype=np.int16)
    patient = LungImages(image, lung, (1.0, 1.0, 1.0))
    scored = ScoredSet("made up", (patient, patient), (np.array([False, True]), np.zeros(2, dtype=bool)))
    figures = score_masks([found, lung], scored)
    assert figures["dice_consolidated"]["mean"] == pytest.approx(2 / 3)
    assert figures["dice_consolidated"]["patients"] == figures["dice_consolidated"]["slices"] == 1
    assert figures["dice"]["mean"] == pytest.approx((2 * 24 / 56 + 1) / 2)


def test_a_volume_with_no_lungs_scores_as_nothing_found(tiny: LungImages) -> None:
    network = LungUNet().eval()
    torch.nn.init.constant_(network.head.bias, -50.0)
    assert not find_lungs(network, NORMALISATIONS["fixed"], tiny, ("axial", "coronal")).any()


def test_the_report_of_a_training_names_patients_mean_and_worst(chest: LungImages, chest_8_bit: LungImages) -> None:
    middle = slice(11, 13)
    held_out = {
        "lung_slices": [LungImages(chest.image[middle], chest.lung[middle], chest.spacing_mm)],
        "lesion_masks": [LungImages(chest_8_bit.image[middle], chest.lung[middle], chest.spacing_mm)],
    }
    report = score_held_out(LungUNet().eval(), held_out, NORMALISATIONS["sliding"])
    assert report["patients"] == 2
    each = [item["mean"] for item in report["held_out_dice"].values()]
    assert report["mean_dice"] == pytest.approx(np.mean(each))
    assert all(item["worst"] <= item["mean"] for item in report["held_out_dice"].values())


def test_the_tables_say_what_is_missing_and_who_was_scored(tmp_path: Path, tiny: LungImages) -> None:
    export_weights(LungUNet(), tmp_path / "shipped.safetensors")
    export_weights(LungUNet(), tmp_path / "run" / "fixed" / "lungs.safetensors")
    (tmp_path / "run" / "fixed" / "report.json").write_text('{"iterations": 7}')
    weights = find_weights(tmp_path / "run", tmp_path / "shipped.safetensors")
    assert list(weights) == ["fixed window", SHIPPED]
    single = LungImages(tiny.image[2:3], tiny.lung[2:3], tiny.spacing_mm)
    sets = {
        "single": ScoredSet("one slice", (single, single), (np.ones(1, dtype=bool),) * 2),
        "volumes": ScoredSet("a chest", (tiny,), (np.zeros(len(tiny.image), dtype=bool),)),
    }
    networks = {row: (LungUNet().eval(), normalisation) for row, (_, normalisation) in weights.items()}
    part = score_all(networks, sets)
    part["weights"] = {row: describe_weights(path) for row, (path, _) in weights.items()}
    assert "single" not in part["figures"][SHIPPED]["multi-view voting"]
    text = as_markdown({"shipped_sha256": "0", "dice": part})
    assert "left out: no normalisation, sliding window" in text
    assert "fixed window, 7 iterations" in text
    assert "single: 2 consolidated slices" in text
    threshold = part["figures"]["thresholding"][""]["volumes"]["dice"]["mean"]
    assert f"{threshold:.3f} (n = 1)" in text


def test_bad_sides_and_refused_volumes_stay_in_the_tables() -> None:
    sides = {"FFS": {"right": 0.1, "left": 0.2, "right_called_left": 0.9, "left_called_right": 0.8}}
    overlays = {
        "a": {"refused": "No lungs were found."},
        "b": {"right_ml": 2001.0, "left_ml": 1802.0, "picture": "overlay_b.png"},
    }
    text = as_markdown({"shipped_sha256": "0", "sides": sides, "overlays": overlays})
    assert "| FFS | 0.100 | 0.200 | 0.900 | 0.800 |" in text
    assert "| a | – | – | refused: No lungs were found. |" in text
    assert "| b | 2001 | 1802 | ![lungs of b](overlay_b.png) |" in text


def test_an_overlay_outlines_right_in_red_and_left_in_blue(tmp_path: Path, phantom: tuple[CTVolume, Truth]) -> None:
    from PIL import Image

    volume, truth = phantom
    draw_overlay(volume, truth.lungs, "phantom", tmp_path / "both.png")
    draw_overlay(volume, np.where(truth.lungs == RIGHT_LUNG, truth.lungs, 0), "phantom", tmp_path / "right.png")

    def coloured(name: str) -> tuple[int, int]:
        pixels = np.asarray(Image.open(tmp_path / name).convert("RGB")).astype(int)
        difference = pixels[..., 0] - pixels[..., 2]
        return int((difference > 100).sum()), int((difference < -100).sum())

    assert (truth.lungs == LEFT_LUNG).any()
    assert min(coloured("both.png")) > 200
    assert coloured("right.png")[0] > 200
    assert coloured("right.png")[1] == 0


@pytest.mark.data
@pytest.mark.skipif(not DATA_FOLDER.is_dir(), reason=f"the CT data folder {DATA_FOLDER} is missing")
def test_the_public_patients_that_are_scored_never_trained() -> None:
    sets = load_scored_sets(DATA_FOLDER)
    assert {name: len(scored.patients) for name, scored in sets.items() if "painted" not in name} == {
        "lung_slices": 40,
        "lesion_masks": 1,
        "lesion_volumes": 4,
    }
    for scored in sets.values():
        if scored.is_volumes:  # from the apex downwards, lungs end with more or with the wider section
            for item in scored.patients:
                widths = item.lung.any(axis=1).sum(axis=1)
                assert widths[len(widths) // 6] <= widths[len(widths) // 2]
