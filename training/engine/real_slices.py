"""Training the classifier on real image-level labels of many patients, each scale for itself and all together."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from groundglass.method.classifier_network import MultiScaleClassifier
from training.data.drawing import Draw, hard_negatives_draw, in_turn, painted_draw, patients_draw, slices_draw
from training.data.patients import Patient
from training.data.public_slices import CAP, COVID19, NP, WEAK_COVID19, LabelledSlices
from training.data.slices import SliceSet
from training.engine.loop import Plan

NOISE_RATE = 0.35
"""Part of the CT-1 slices of MosMedData that are taken to show no disease."""
BOTH_PLAN = Plan(
    iterations=2500, batch=16, learning_rate=5e-4, betas=(0.9, 0.99), cosine=True, average_decay=0.995,
    validate_every=10**9,
)  # fmt: skip


class EveryScale(nn.Module):
    """The classifier with the scores of each scale as its output, `(batch, scale, class)`."""

    def __init__(self, network: MultiScaleClassifier) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Global Max Pooling of each scale's score map (II-D)."""
        return self.network.score_maps(images).scores().transpose(0, 1)


def weak_label_loss(scores: Tensor, target: Tensor, gamma: float = 1.0) -> Tensor:
    """Eq. 1 for classes drawn equally often, where a label may say that a slice shows COVID-19 or, rarer, nothing.

    The probability of the label WEAK_COVID19 is (1 - NOISE_RATE) P(COVID-19) + NOISE_RATE P(NP): the label is corrected
    on the way forward (Patrini et al., CVPR 2017), so that a slice without disease may be called so at little cost.

    Args:
        scores: `(batch, class)`.
        target: index into CLASSES, or WEAK_COVID19, `(batch,)`.
        gamma: Eq. 1's.
    """
    log_class = scores.float().log_softmax(1)
    weak = torch.logaddexp(
        log_class[:, COVID19] + float(np.log(1 - NOISE_RATE)), log_class[:, NP] + float(np.log(NOISE_RATE))
    )
    log_label = torch.cat([log_class, weak[:, None]], 1).gather(1, target[:, None])[:, 0]
    # The best that a weak label can be told is 1 - NOISE_RATE, and counts as 1.
    best = torch.where(target == WEAK_COVID19, 1 - NOISE_RATE, 1.0)
    focal = (1.0 - log_label.exp() / best).clamp(1e-8, 1.0) ** gamma
    return -(focal * log_label).mean()


def scale_loss(scores: Tensor, target: Tensor) -> Tensor:
    """The loss of the aggregated scores, and the mean of those of each scale alone, half each.

    With the aggregated scores alone Conv5 learns to balance the other two and sees nothing by itself.
    """
    each = torch.stack([weak_label_loss(scores[:, scale], target) for scale in range(scores.shape[1])]).mean()
    return (weak_label_loss(scores.sum(1), target) + each) / 2


def base_draw(bases: Sequence[SliceSet], seed: int) -> Draw:
    """Both diseases and no pneumonia in the same slices, of each source in turn: four samples a source."""
    draws = []
    for number, base in enumerate(bases):
        draws.append(painted_draw(base, seed + number, [NP]))
        draws.append(_named(painted_draw(base, seed + number, [CAP]), CAP))
        draws.append(_named(painted_draw(base, seed + number, [COVID19]), COVID19))
        draws.append(hard_negatives_draw(base, NP, seed + number))
    return in_turn(draws)


def _named(draw: Draw, label: int) -> Draw:
    """A draw of one class, whose position in a list of one is 0, with its own label."""
    return lambda iteration, n: (draw(iteration, n)[0], label)


def real_draw(
    mosmed: LabelledSlices,
    iq_oth: LabelledSlices,
    bases: SliceSet,
    patients: Sequence[Patient],
    suspects: dict[str, np.ndarray],
    seed: int,
) -> Draw:
    """Sixteen samples: six NP, six COVID-19 and four CAP; every source gives NP and both diseases, painted or real.

    Args:
        mosmed, iq_oth: their slices to train on.
        bases: healthy slices of other sources.
        patients: those to train on.
        suspects: the slices of each patient that may carry the patient's label.
        seed: of all random choices.
    """
    healthy = mosmed.select(mosmed.label == NP).slices
    plain = iq_oth.select(iq_oth.kind != "malignant").slices

    def painted(base: SliceSet, label: int, place: int) -> Draw:
        return _named(painted_draw(base, seed + place, [label]), label)

    def of_patients(label: int) -> Draw:
        return _named(patients_draw(patients, suspects, seed, [label]), label)

    return in_turn(
        [
            slices_draw(healthy, NP, seed),
            slices_draw(mosmed.select(mosmed.label == COVID19).slices, COVID19, seed),
            slices_draw(mosmed.select(mosmed.label == WEAK_COVID19).slices, WEAK_COVID19, seed),
            painted(healthy, CAP, 1),
            painted(healthy, COVID19, 2),
            slices_draw(iq_oth.slices, NP, seed + 1),
            painted(plain, CAP, 3),
            painted(plain, COVID19, 4),
            slices_draw(bases, NP, seed + 2),
            of_patients(CAP),
            of_patients(COVID19),
            of_patients(NP),
            painted(bases, CAP, 5),
            slices_draw(mosmed.select(mosmed.label == WEAK_COVID19).slices, WEAK_COVID19, seed + 3),
            hard_negatives_draw(healthy, NP, seed + 4),
            hard_negatives_draw(plain, NP, seed + 5),
        ]
    )
