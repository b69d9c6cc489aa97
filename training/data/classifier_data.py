"""What the classifier learns from, as one: patients, single slices of many patients, and healthy slices to paint."""

from dataclasses import dataclass, replace
from pathlib import Path

from groundglass.method.lung_network import LungUNet
from training.data.patients import TrainingSet, read_covid_ct_md, read_training_set, split_patients
from training.data.public_slices import LabelledSlices, read_iq_oth, read_mosmed
from training.data.slices import SliceSet, prepare_bases


@dataclass(frozen=True)
class ClassifierData:
    """What the classifier learns from.

    Attributes:
        patients: of a hospital's own, or the six public ones.
        bases: healthy slices to paint disease into.
        iq_oth: slices of lungs that are healthy or ill in other ways.
        mosmed: slices with and without COVID-19; None for a training without them.
        public: whether the patients are the public ones.
    """

    patients: TrainingSet
    bases: SliceSet
    iq_oth: LabelledSlices
    mosmed: LabelledSlices | None
    public: bool

    @property
    def folds(self) -> tuple[tuple[str, ...], ...]:
        """The names of the patients that each fold tests."""
        return split_patients(self.patients.patients)

    @property
    def networks(self) -> tuple[str, ...]:
        """The names of the networks after the base: `all`, and one for each fold, `fold1` and so on."""
        return "all", *(f"fold{fold + 1}" for fold in range(len(self.folds)))

    def of_network(self, name: str) -> "ClassifierData":
        """What the network of this name learns from."""
        return self if name == "all" else self.trained_on(int(name.removeprefix("fold")) - 1)

    def trained_on(self, fold: int) -> "ClassifierData":
        """What is left to train on where fold `fold`, from 0, is tested."""
        tested, folds = self.folds[fold], len(self.folds)
        kept = tuple(patient for patient in self.patients.patients if patient.name not in tested)
        return replace(
            self,
            patients=replace(self.patients, patients=kept),
            iq_oth=self.iq_oth.fold(fold, folds, tested=False),
            mosmed=self.mosmed.fold(fold, folds, tested=False) if self.mosmed else None,
        )

    @property
    def record(self) -> dict[str, str | None]:
        """What tells this data from other data, for the record of a run."""
        return {
            "fingerprint": self.patients.fingerprint,
            "iq_oth": self.iq_oth.fingerprint,
            "mosmed": self.mosmed.fingerprint if self.mosmed else None,
        }


def read_classifier_data(
    data: Path, cache: Path, lungs: LungUNet, training_set: Path | None = None, mosmed: bool = True
) -> ClassifierData:
    """All that the classifier learns from.

    Args:
        data: the CT data folder.
        cache: keeps the prepared slices.
        lungs: in evaluation mode.
        training_set: a hospital's own, class/patient/*.dcm; None for the public patients.
        mosmed: whether MosMedData is read.

    Raises:
        TrainingSetError: the hospital's training set can't be used as it is.
        NoPictures: a set of pictures is missing.
    """
    public = training_set is None
    patients = read_training_set(training_set, cache, lungs) if training_set else read_covid_ct_md(data, cache, lungs)
    split_patients(patients.patients)  # refuses what can't be cross-validated before hours of training, not after
    return ClassifierData(
        patients,
        prepare_bases(data, cache, lungs),
        read_iq_oth(data, cache, lungs),
        read_mosmed(data, cache, lungs) if mosmed else None,
        public,
    )
