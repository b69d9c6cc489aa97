import numpy as np
import pytest

from groundglass.phantom.painted_lesions import Lesion, Pattern, paint_lesion, paint_pattern, sample_lesions

SPACING_MM = (2.5, 1.4, 1.4)


def lungs() -> tuple[np.ndarray, np.ndarray]:
    """Two aerated ellipsoids in soft tissue: HU and mask."""
    slices, rows, columns = np.ogrid[:40, :120, :160]
    mask = np.zeros((40, 120, 160), dtype=bool)
    for centre in (45, 115):
        mask |= ((slices - 20) / 16) ** 2 + ((rows - 60) / 40) ** 2 + ((columns - centre) / 28) ** 2 < 1
    hu = np.where(mask, -850, 40).astype(np.int16)
    return hu, mask


def test_a_lesion_lies_where_it_was_put_and_is_about_as_large() -> None:
    hu, mask = lungs()
    centre, radii = (50.0, 84.0, 63.0), (12.0, 15.0, 12.0)
    painted = paint_lesion(hu, mask, SPACING_MM, Lesion(centre, radii, "consolidation"), np.random.default_rng(0))
    positions = np.argwhere(painted) * SPACING_MM
    assert np.allclose(positions.mean(axis=0), centre, atol=4.0)
    volume_mm3 = painted.sum() * np.prod(SPACING_MM)
    assert volume_mm3 == pytest.approx(4 / 3 * np.pi * np.prod(radii), rel=0.35)


@pytest.mark.parametrize(("kind", "low", "high"), [("ground_glass", -750, -300), ("consolidation", -250, 150)])
def test_a_lesion_has_the_density_of_its_kind(kind: str, low: float, high: float) -> None:
    hu, mask = lungs()
    lesion = Lesion((50.0, 84.0, 63.0), (12.0, 15.0, 12.0), kind)  # type: ignore[arg-type]
    painted = paint_lesion(hu, mask, SPACING_MM, lesion, np.random.default_rng(1))
    assert low < np.median(hu[painted]) < high


def test_nothing_is_painted_outside_the_lungs_and_nothing_gets_darker() -> None:
    hu, mask = lungs()
    before = hu.copy()
    paint_pattern(hu, mask, SPACING_MM, "covid19", np.random.default_rng(2))
    assert np.array_equal(hu[~mask], before[~mask])
    assert (hu >= before).all()
    assert (hu > before).any()


@pytest.mark.parametrize("pattern", ["cap", "covid19"])
def test_the_same_seed_paints_the_same(pattern: Pattern) -> None:
    results = []
    for _ in range(2):
        hu, mask = lungs()
        paint_pattern(hu, mask, SPACING_MM, pattern, np.random.default_rng(7))
        results.append(hu)
    assert np.array_equal(*results)


def sides(pattern: Pattern, draws: int = 60) -> float:
    """Part of the draws with lesions on both sides."""
    mask = lungs()[1][:, ::2, ::2]  # half as fine: where lesions lie needs no small pixels
    spacing_mm = (SPACING_MM[0], 2 * SPACING_MM[1], 2 * SPACING_MM[2])
    middle = 80 * SPACING_MM[2]
    both = 0
    for seed in range(draws):
        lesions = sample_lesions(pattern, mask, spacing_mm, np.random.default_rng(seed))
        columns = [lesion.centre_mm[2] for lesion in lesions]
        both += any(c < middle for c in columns) and any(c > middle for c in columns)
    return both / draws


@pytest.mark.slow
def test_covid_19_is_on_both_sides_more_often_than_cap() -> None:
    assert sides("covid19") > sides("cap") + 0.2


def test_one_slice_is_enough() -> None:
    hu, mask = lungs()
    painted = paint_pattern(hu[20:21], mask[20:21], (5.0, 1.4, 1.4), "covid19", np.random.default_rng(0))
    assert painted.any()


def test_a_slice_without_lung_stays_as_it_is() -> None:
    hu = np.full((1, 32, 32), 40, dtype=np.int16)
    assert not paint_pattern(hu, np.zeros_like(hu, dtype=bool), SPACING_MM, "cap", np.random.default_rng(0)).any()


def test_a_lesion_beyond_the_image_paints_nothing() -> None:
    hu, mask = lungs()
    far = Lesion((5000.0, 0.0, 0.0), (10.0, 10.0, 10.0), "consolidation")
    assert not paint_lesion(hu, mask, SPACING_MM, far, np.random.default_rng(0)).any()
