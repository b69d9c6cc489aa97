"""Training the lung network survives a kill."""

from pathlib import Path

import numpy as np
import pytest
import torch

from groundglass.method.lung_network import LungUNet
from training.data.lung_images import LungImages
from training.data.lung_samples import lung_samples
from training.data.normalisation import NORMALISATIONS
from training.engine.loop import Plan
from training.engine.lung_training import train_lungs

PLAN = Plan(iterations=2, batch=1, learning_rate=1e-3, betas=(0.9, 0.999), cosine=True, average_decay=0.9, save_every=1)


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
        patch.setattr("training.engine.lung_training.lung_samples", lasts_one_iteration)
        with pytest.raises(Killed):
            train("broken")
    resumed = train("broken")
    assert all(torch.equal(resumed[key], unbroken[key]) for key in unbroken)
    torch.manual_seed(3)
    untrained = LungUNet().state_dict()
    assert not torch.equal(unbroken["head.weight"], untrained["head.weight"])
