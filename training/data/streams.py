"""What the batches that train the classifier are made of: streams of samples, in turn, so that classes are balanced.

No class comes from one source: where a source has healthy slices, both diseases are painted into them.
"""

from collections.abc import Sequence

import numpy as np

from groundglass.domain.class_names import CLASSES
from training.data.drawing import (
    Draw,
    half_and_half,
    in_turn,
    painted_draw,
    patients_draw,
    slices_draw,
)
from training.data.patients import Patient
from training.data.public_slices import CAP, COVID19, NP, WEAK_COVID19, LabelledSlices
from training.data.slices import SliceSet


def base_draw(bases: SliceSet, seed: int) -> Draw:
    """No pneumonia and both diseases in the same slices, in turn."""
    return painted_draw(bases, seed, range(len(CLASSES)))


def real_draw(
    mosmed: LabelledSlices | None,
    iq_oth: LabelledSlices,
    bases: SliceSet,
    patients: Sequence[Patient],
    suspects: dict[str, np.ndarray],
    seed: int,
) -> Draw:
    """Sixteen samples: six NP, six COVID-19 and four CAP, real or painted, and each source gives two classes or three.

    Args:
        mosmed: its slices to train on; without it patients and painted slices stand in for its own, the classes stay
            as many.
        iq_oth: its slices to train on.
        bases: healthy slices of other sources.
        patients: those to train on.
        suspects: the slices of each patient that may carry the patient's label.
        seed: of all random choices.
    """
    plain = healthy_of(iq_oth)

    def painted(base: SliceSet, label: int, place: int) -> Draw:
        return _named(painted_draw(base, seed + place, [label]), label)

    def of_patients(label: int, place: int = 0) -> Draw:
        return _named(patients_draw(patients, suspects, seed + place, [label]), label)

    if mosmed is None:
        healthy = bases
        covid19 = [of_patients(COVID19, 1), painted(bases, COVID19, 6), painted(bases, COVID19, 7)]
    else:
        healthy = mosmed.select(mosmed.label == NP).slices
        weak = mosmed.select(mosmed.label == WEAK_COVID19).slices
        covid19 = [
            slices_draw(mosmed.select(mosmed.label == COVID19).slices, COVID19, seed),
            slices_draw(weak, WEAK_COVID19, seed),
            slices_draw(weak, WEAK_COVID19, seed + 3),
        ]
    return in_turn(
        [
            slices_draw(healthy, NP, seed),
            *covid19[:2],
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
            covid19[2],
            slices_draw(healthy, NP, seed + 4),
            slices_draw(plain, NP, seed + 5),
        ]
    )


def own_draw(patients: Sequence[Patient], suspects: dict[str, np.ndarray], bases: SliceSet, seed: int) -> Draw:
    """A hospital's own patients, of two classes or three, and painted slices, half each.

    Args:
        patients: those to train on.
        suspects: the slices of each patient that may carry the patient's label.
        bases: healthy slices.
        seed: of all random choices.
    """
    present = sorted({patient.label for patient in patients})
    of_present = patients_draw(patients, suspects, seed, present)

    def real(iteration: int, n: int) -> tuple[np.ndarray, int]:
        image, position = of_present(iteration, n)
        return image, present[position]

    return half_and_half(real, painted_draw(bases, seed + 1, range(len(CLASSES))))


def healthy_of(iq_oth: LabelledSlices) -> SliceSet:
    """Its slices without cancer, into which disease may be painted."""
    return iq_oth.select(iq_oth.kind != "malignant").slices


def _named(draw: Draw, label: int) -> Draw:
    """A draw of one class, whose position in a list of one is 0, with its own label."""
    return lambda iteration, n: (draw(iteration, n)[0], label)
