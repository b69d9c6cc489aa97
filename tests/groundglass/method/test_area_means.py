"""Against PyTorch's own, which takes twice as long."""

import numpy as np
import pytest
import torch

from groundglass.method.area_means import area_means


@pytest.mark.parametrize(
    ("size", "shape"),
    [((512, 480), (224, 224)), ((300, 700), (224, 192)), ((224, 224), (224, 224)), ((90, 60), (70, 80))],
)
def test_means_over_areas_are_those_of_pytorch(size: tuple[int, int], shape: tuple[int, int]) -> None:
    hu = np.random.default_rng(0).integers(-1024, 3000, size).astype(np.float32)
    for plane, apart in ((hu, 0.0), (hu * np.float32(0.37), 1e-3)):
        theirs = torch.nn.functional.interpolate(torch.from_numpy(plane)[None, None], shape, mode="area")[0, 0].numpy()
        ours = area_means(plane, shape)
        assert ours.dtype == np.float32
        assert ours.flags.c_contiguous
        assert np.abs(ours - theirs).max() <= apart


def test_a_constant_image_stays_as_it_is() -> None:
    assert (area_means(np.full((401, 333), -900.0, np.float32), (224, 224)) == -900).all()
