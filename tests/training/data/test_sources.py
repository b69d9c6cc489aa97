"""What a card says of the data is counted, and every source is named with its licence."""

import numpy as np

from tests.training.made_up import make_slices
from training.data.classifier_data import ClassifierData
from training.data.patients import TrainingSet
from training.data.public_slices import LabelledSlices
from training.data.sources import SOURCES, count_sources


def test_slices_and_patients_are_counted_by_kind(training_set: TrainingSet) -> None:
    slices = make_slices(3, 0)
    names = np.array(["a", "b", "c"])
    mosmed = LabelledSlices(slices, np.zeros(3), names, np.array(["ct0", "ct1", "ct1"]))
    iq_oth = LabelledSlices(slices, np.zeros(3), names, np.array(["normal", "malignant", "normal"]))
    data = ClassifierData(training_set, slices, iq_oth, mosmed, True)
    assert count_sources(data, {"luna": slices}) == {
        "luna": "3 slices",
        "iq_oth": "3 slices: 1 malignant, 2 normal",
        "mosmed": "3 patients, a slice each: 1 ct0, 2 ct1",
        "patients": "6 patients, 18 slices: 2 NP, 2 CAP, 2 COVID-19",
    }


def test_every_source_of_the_classifier_can_be_counted_and_every_source_has_a_page() -> None:
    counted = {"luna", "lung_slices", "lung_dx_A0001", "iq_oth", "mosmed", "patients"}
    assert {source.key for source in SOURCES if source.role} == counted
    assert all(source.url.startswith("https://") and source.licence for source in SOURCES)
