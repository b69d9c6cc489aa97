import numpy as np
import pytest

from groundglass.method.normalisation import SlidingWindow, scale_to_window


def covered(values: np.ndarray, low: float, width: float) -> int:
    return int(((values >= low) & (values < low + width)).sum())


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", [np.int16, np.float32])
def test_no_other_position_covers_more_values(seed: int, kind: type) -> None:
    rng = np.random.default_rng(seed)
    values = np.concatenate([rng.normal(-850, 80, 4000), rng.normal(40, 60, 6000), rng.uniform(200, 1500, 500)])
    values = values.astype(kind).reshape(100, 105)
    window = SlidingWindow(400.0, 20.0)
    low, high = window.place(values)
    assert high - low == 400.0
    positions = np.arange(np.floor(values.min() / 20) * 20 - 400, values.max() + 400, 20.0)
    assert covered(values, low, 400.0) == max(covered(values, position, 400.0) for position in positions)


def test_values_are_clipped_to_the_window_and_scaled_to_one() -> None:
    values = np.array([[-3000, -1000, -300, 400, 3000]], dtype=np.int16)
    assert scale_to_window(values, -1000, 400).tolist() == [[0.0, 0.0, 0.5, 1.0, 1.0]]


def test_integers_and_floats_of_the_same_values_get_the_same_window() -> None:
    values = np.random.default_rng(3).integers(-1024, 1500, (64, 64)).astype(np.int16)
    window = SlidingWindow(1400.0, 20.0)
    assert window.place(values) == window.place(values.astype(np.float32))


def test_a_few_stray_values_do_not_move_the_window_far() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([np.full(5000, -1000), rng.integers(-900, 100, 5000)]).astype(np.int16)
    stray = np.concatenate([values, np.full(3, 3000, dtype=np.int16)])
    assert abs(SlidingWindow(1400.0, 20.0).place(values)[0] - SlidingWindow(1400.0, 20.0).place(stray)[0]) <= 20.0


def test_images_without_hounsfield_units_take_a_fraction_of_their_range() -> None:
    image = np.arange(256, dtype=np.uint8).reshape(16, 16)
    window = SlidingWindow.for_range(image, 0.5, 0.01)
    assert window.width == pytest.approx(127.5)
    normalised = window.normalise(image)
    assert normalised.min() == 0.0
    assert normalised.max() == 1.0


def test_a_constant_image_is_normalised_without_nan() -> None:
    assert np.isfinite(SlidingWindow(1400.0, 20.0).normalise(np.full((8, 8), -1024, dtype=np.int16))).all()


def test_a_step_wider_than_the_window_is_refused() -> None:
    with pytest.raises(ValueError, match="0 < step <= width"):
        SlidingWindow(100.0, 200.0)
