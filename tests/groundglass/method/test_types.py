import itertools

import numpy as np
import pytest

from groundglass.domain.volume import CTVolume

AXES = [np.array([0.0, 0, 1]), np.array([0.0, 1, 0]), np.array([1.0, 0, 0])]
ORIENTATIONS = [
    [sign * AXES[axis] for sign, axis in zip(signs, order, strict=True)]
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]


@pytest.mark.parametrize("directions", ORIENTATIONS)
def test_canonical_view_runs_from_head_to_feet_front_to_back_right_to_left(directions: list[np.ndarray]) -> None:
    volume = CTVolume(
        np.arange(60, dtype=np.int16).reshape(3, 4, 5),
        (2.0, 0.7, 0.9),
        np.array([5.0, -3.0, 8.0]),
        np.array(directions),
    )
    indices = np.stack(np.meshgrid(*map(np.arange, (3, 4, 5)), indexing="ij"), axis=-1)
    positions = indices @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    x, y, z = (volume.to_canonical(positions[..., axis]) for axis in range(3))
    assert (np.diff(z, axis=0) < 0).all()
    assert (np.diff(y, axis=1) > 0).all()
    assert (np.diff(x, axis=2) > 0).all()
    assert np.allclose(np.abs(np.diff(z, axis=0)), volume.canonical_spacing_mm[0])


@pytest.mark.parametrize("directions", ORIENTATIONS)
def test_from_canonical_undoes_to_canonical(directions: list[np.ndarray]) -> None:
    hu = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    volume = CTVolume(hu, (2.0, 0.7, 0.9), np.zeros(3), np.array(directions))
    assert np.array_equal(volume.from_canonical(volume.to_canonical(hu)), hu)
