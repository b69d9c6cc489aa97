"""What a classifier says of slices."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from groundglass.method.classifier_network import MultiScaleClassifier
from tests.training.made_up import make_patient
from training.data.drawing import patients_draw
from training.data.patients import TrainingSet
from training.data.slices import SliceSet
from training.engine.inference import find_suspects, predict, score_scales
from training.engine.scale_loss import EveryScale


def test_prediction_averages_a_slice_and_its_mirror_image(slices: SliceSet) -> None:
    torch.manual_seed(0)
    network = MultiScaleClassifier().eval()
    slices = SliceSet(*(values[:2] for values in vars(slices).values()))
    mirrored = replace(slices, hu=slices.hu[..., ::-1], lung=slices.lung[..., ::-1])
    assert np.allclose(predict(network, slices, True), predict(network, mirrored, True), atol=0.01)


@pytest.mark.slow
def test_the_scores_of_scales_are_of_a_slice_and_of_its_mirror_image(slices: SliceSet) -> None:
    torch.manual_seed(0)
    network = MultiScaleClassifier().eval()
    scores = score_scales(EveryScale(network), slices, masked=True)
    assert scores.shape == (8, 2, 3, 3)
    image = torch.from_numpy(slices.image(3, True))[None, None]
    with torch.no_grad():
        for view, shown in enumerate((image, image.flip(3))):
            expected = network.score_maps(shown).scores()[:, 0].numpy()
            np.testing.assert_allclose(scores[3, view], expected, atol=0.05)  # bfloat16 where the processor has it


def test_healthy_patients_lend_all_slices_and_diseased_ones_the_suspicious(training_set: TrainingSet) -> None:
    torch.manual_seed(0)
    patients = [make_patient("np1", 0, 5), make_patient("cap1", 1, 5)]
    suspects = find_suspects(MultiScaleClassifier().eval(), patients)
    assert len(suspects["np1"]) == 5
    assert len(suspects["cap1"]) == 2
    draw = patients_draw(patients, suspects, 0, (0, 1), contrast=True)
    assert [draw(0, n)[1] for n in range(4)] == [0, 1, 0, 1]
    assert not np.array_equal(draw(0, 0)[0], draw(1, 0)[0])
