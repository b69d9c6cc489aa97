"""Phantoms that the tests of training share: a chest as the lung network's data, and slices for the classifier."""

import numpy as np
import pytest

from groundglass.domain.class_names import CLASSES
from groundglass.domain.volume import CTVolume
from groundglass.method.classifier_network import INPUT_SIZE
from groundglass.method.slice_input import LungSquare
from groundglass.phantom.thorax import Truth, make_thorax
from tests.training.made_up import label_slices, make_patient
from training.data.classifier_data import ClassifierData
from training.data.lung_images import LungImages
from training.data.patients import TrainingSet
from training.data.public_slices import COVID19, NP, WEAK_COVID19
from training.data.slices import SliceSet


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


@pytest.fixture(scope="module")
def slices() -> SliceSet:
    volume, truth = make_thorax("normal", slices=24, size=160)
    lungs = truth.lungs > 0
    square = LungSquare.around(lungs, volume.spacing_mm[1:])
    indices = np.arange(8, 16)
    return SliceSet(
        np.stack([np.rint(square.resize(volume.hu[index], -1024)).astype(np.int16) for index in indices]),
        np.stack([square.resize(lungs[index], 0.0) > 0.5 for index in indices]),
        np.repeat(np.array([[-1040.0, 360.0]]), len(indices), 0),
        np.full(len(indices), square.rows * volume.spacing_mm[1] / INPUT_SIZE),
        indices,
        indices * volume.spacing_mm[0],
    )


@pytest.fixture(scope="module")
def training_set() -> TrainingSet:
    patients = tuple(make_patient(f"{CLASSES[label]}{number}", label) for label in range(3) for number in (1, 2))
    return TrainingSet(patients, "fingerprint", "six made-up patients")


@pytest.fixture
def data(slices: SliceSet, training_set: TrainingSet) -> ClassifierData:
    """Phantom slices as those of MosMedData and IQ-OTH, and phantom patients."""
    of_mosmed = {"ct0": NP, "ct1": WEAK_COVID19, "ct2": COVID19}
    mosmed = label_slices(slices, list(of_mosmed) * 2, of_mosmed)
    of_iq_oth = dict.fromkeys(("normal", "benign", "malignant"), NP)
    return ClassifierData(training_set, slices, label_slices(slices, list(of_iq_oth) * 2, of_iq_oth), mosmed, True)
