"""The method as one call: a CT volume in; lungs, classes, saliency and boxes out."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from groundglass.analysis import Analysis
from groundglass.device import DeviceError, choose_device
from groundglass.dicomio.reading.volume import ReadSeries
from groundglass.domain.arrays import LabelMap
from groundglass.domain.errors import UsageError
from groundglass.domain.findings import Findings, Prediction, SliceFinding
from groundglass.domain.software import NAME, VERSION, SoftwareIdentity
from groundglass.domain.volume import CTVolume, Face
from groundglass.locations import MODEL_FOLDER, SETTINGS_FILE
from groundglass.method.classifier_network import MultiScaleClassifier
from groundglass.method.explanation import explain_slices
from groundglass.method.folding import folded
from groundglass.method.lung_network import LungUNet
from groundglass.method.lung_segmentation import faces_that_cut, lung_volumes_ml, segment_lungs
from groundglass.method.precision import fast_precision
from groundglass.method.slice_classification import classify_slices
from groundglass.method.slice_input import SliceInputs
from groundglass.method.weights import WeightsRefused, load_classifier, load_lung_network
from groundglass.nifti import NiftiVolume
from groundglass.settings import Settings, load_settings, result_settings_sha256

LOG = logging.getLogger("groundglass")

OnProgress = Callable[[int, int], None]
"""Called with units done and units in all."""
OnStage = Callable[[str, int, int], None]
"""Called with the stage, units done and units in all."""


def tell_nobody(done: int, total: int) -> None:
    """Progress that nobody looks at."""


@dataclass(frozen=True)
class SegmentedLungs:
    """What the lung segmentation finds (II-C).

    Attributes:
        labels: uint8 `(slice, row, col)` on the grid of the volume: BACKGROUND, RIGHT_LUNG or LEFT_LUNG.
        right_ml, left_ml: lung volumes.
        cut_at: the outer planes of the volume at which the images cut the lungs.
    """

    labels: LabelMap
    right_ml: float
    left_ml: float
    cut_at: tuple[Face, ...]


@dataclass(frozen=True)
class ClassifiedSlices:
    """What the classifier finds (II-D).

    Attributes:
        inputs: the slices as the classifier sees them.
        slices: the classified ones, in slice order.
        prediction: the study's.
    """

    inputs: SliceInputs
    slices: tuple[SliceFinding, ...]
    prediction: Prediction


@dataclass(frozen=True)
class Pipeline:
    """Settings, and both networks on the device that computes. One pipeline takes study after study.

    >>> pipeline = Pipeline.load()
    >>> sorted(pipeline.software.weights_sha256)
    ['classifier', 'lungs']
    """

    settings: Settings
    lung_network: LungUNet
    classifier: MultiScaleClassifier
    software: SoftwareIdentity

    @classmethod
    def load(cls, settings: Settings | Path | str = SETTINGS_FILE, models: Path | str = MODEL_FOLDER) -> "Pipeline":
        """Choose the device and load the weights.

        Args:
            settings: as loaded, or the file that holds them; by default those that come with the library.
            models: folder of the weights; by default those that come with the library.

        Raises:
            UsageError: the settings, the device or a weight file can't be used; the sentence says what to do.
        """
        if not isinstance(settings, Settings):
            settings = load_settings(Path(settings))
        models = Path(models)
        lungs, classifier = settings.lungs_weights, settings.classifier_weights
        try:
            device = choose_device(settings.device)
            if settings.device == "auto" and device == "cpu":
                LOG.info(
                    "No usable GPU was found: the CPU computes. To refuse such a run, set device to cuda in app.yaml."
                )
            lung_network = load_lung_network(models / lungs.file, lungs.sha256)
            lung_network = folded(lung_network, fast_precision(torch.device(device))).to(device)
            slice_classifier = load_classifier(models / classifier.file, classifier.sha256).to(device)
        except (DeviceError, WeightsRefused) as error:
            raise UsageError(str(error)) from error
        hashes = {"lungs": lungs.sha256, "classifier": classifier.sha256}
        software = SoftwareIdentity(NAME, VERSION, hashes, device, result_settings_sha256(settings))
        return cls(settings, lung_network, slice_classifier, software)

    def segment(self, volume: CTVolume, on_planes: OnProgress = tell_nobody) -> SegmentedLungs:
        """Find the lungs (II-C).

        >>> lungs = pipeline.segment(volume)
        >>> lungs.labels.shape == volume.hu.shape, lungs.right_ml > 0
        (True, True)

        Raises:
            Refusal: no lungs can be found.
        """
        lungs = self.settings.lungs
        labels = segment_lungs(self.lung_network, volume, lungs.windows, lungs.grid_mm, lungs.views, on_planes)
        return SegmentedLungs(labels, *lung_volumes_ml(labels, volume), faces_that_cut(labels, volume))

    def classify(
        self, volume: CTVolume, lungs: SegmentedLungs, on_slices: OnProgress = tell_nobody
    ) -> ClassifiedSlices:
        """Classify every slice with enough lung, and the study (II-D).

        >>> classified = pipeline.classify(volume, pipeline.segment(volume))
        >>> classified.prediction.state, round(sum(classified.prediction.probabilities), 3)
        ('present', 1.0)

        Raises:
            Refusal: no slice shows enough lung.
        """
        rules = self.settings.classification
        inputs = SliceInputs.of_volume(volume, lungs.labels, rules.window, rules.hide_outside_lungs)
        slices = classify_slices(
            self.classifier, volume, inputs, rules.minimum_lung_mm2, rules.neighbours_mm, on_slices=on_slices
        )
        return ClassifiedSlices(inputs, slices, rules.decision.apply(rules.study_rule.apply(slices)))

    def explain(
        self,
        volume: CTVolume,
        lungs: SegmentedLungs,
        classified: ClassifiedSlices,
        on_slices: OnProgress = tell_nobody,
    ) -> Findings:
        """Find what drove the classification of the diseased slices (II-F), and put all findings together.

        >>> lungs = pipeline.segment(volume)
        >>> findings = pipeline.explain(volume, lungs, pipeline.classify(volume, lungs))
        >>> all(item.slice_index < len(volume.hu) for item in findings.boxes)
        True
        """
        explanation = explain_slices(
            self.classifier,
            volume,
            lungs.labels,
            classified.inputs,
            classified.slices,
            classified.prediction,
            self.settings.gradients,
            self.settings.explanation,
            on_slices,
        )
        return Findings(
            lungs=lungs.labels,
            right_ml=lungs.right_ml,
            left_ml=lungs.left_ml,
            prediction=classified.prediction,
            salient_fraction=explanation.salient_fraction,
            slices=explanation.slices,
            saliency=explanation.saliency,
            salient=explanation.salient,
            boxes=explanation.boxes,
            regions=explanation.regions,
            unlisted_regions=explanation.unlisted_regions,
            zones=explanation.zones,
            reach_border=bool(lungs.cut_at),
        )

    def analyse(
        self, source: CTVolume | ReadSeries | NiftiVolume, progress: OnStage = lambda stage, done, total: None
    ) -> Analysis:
        """All stages of one volume.

        >>> pipeline.analyse(volume).save(out)[:2]
        ['findings.json', 'preview.png']

        Args:
            source: an array (`CTVolume.from_array`), a DICOM series (`read_study`) or a NIfTI file (`read_nifti`).
            progress: called with the stage, units done and units in all.

        Raises:
            Refusal: no lungs, or too little of them, can be found in it.
        """
        volume = source if isinstance(source, CTVolume) else source.volume
        lungs = self.segment(volume, partial(progress, "lungs"))
        classified = self.classify(volume, lungs, partial(progress, "classification"))
        findings = self.explain(volume, lungs, classified, partial(progress, "saliency"))
        series = source if isinstance(source, ReadSeries) else None
        nifti = source if isinstance(source, NiftiVolume) else None
        return Analysis(volume, findings, self.software, self.settings, series, nifti)
