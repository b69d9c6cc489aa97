"""The settings as typed objects, which the code uses; `groundglass.app_yaml` says what app.yaml may hold."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from groundglass.app_yaml import AppYaml, WeightsSection
from groundglass.dicomio.reading.rule_language import parse_rules
from groundglass.dicomio.reading.select import SelectionRules
from groundglass.dicomio.writing.key_images import KeyImagesForm
from groundglass.dicomio.writing.segmentation import Form, SegmentationName
from groundglass.locations import SETTINGS_FILE
from groundglass.method.decision import DecisionRule
from groundglass.method.explanation import ExplanationRules
from groundglass.method.lung_segmentation import MultiWindow
from groundglass.method.normalisation import SlidingWindow
from groundglass.method.regions import RegionRules
from groundglass.method.saliency import IntegratedGradients
from groundglass.method.slice_classification import StudyRule
from groundglass.settings_file import check_settings, read_settings


@dataclass(frozen=True)
class Weights:
    """One weight file: its place in the model folder and its SHA-256."""

    file: str
    sha256: str


@dataclass(frozen=True)
class LungSettings:
    """II-C: which windows and planes vote, and on which grid."""

    windows: MultiWindow
    views: tuple[str, ...]
    grid_mm: float


@dataclass(frozen=True)
class ClassificationSettings:
    """II-D: what the classifier sees, and how slices make a study."""

    window: SlidingWindow
    hide_outside_lungs: bool
    minimum_lung_mm2: float
    neighbours_mm: float
    study_rule: StudyRule
    decision: DecisionRule


@dataclass(frozen=True)
class Settings:
    """Everything app.yaml says, units as in the names."""

    device: str
    selection: SelectionRules
    decoding_threads: int
    lungs_weights: Weights
    classifier_weights: Weights
    lungs: LungSettings
    classification: ClassificationSettings
    gradients: IntegratedGradients
    explanation: ExplanationRules
    key_images: int
    key_images_form: KeyImagesForm
    summary_pdf: bool
    segmentation: Form
    segmentations: tuple[SegmentationName, ...]
    rt_structure_set: bool
    saliency_map: bool
    fhir: bool


def load_settings(path: Path = SETTINGS_FILE) -> Settings:
    """Read and check the settings.

    Raises:
        SettingsError: with a line for each fault: the setting, its value, and what is allowed.
    """
    file = check_settings(AppYaml, read_settings(path, path.name), path.name)
    selection, classification, saliency, research = file.selection, file.classification, file.saliency, file.research
    return Settings(
        device=file.device,
        selection=SelectionRules(
            minimum_slices=selection.minimum_slices,
            minimum_extent_mm=selection.minimum_extent_mm,
            maximum_spacing_mm=selection.maximum_spacing_mm,
            selections=parse_rules(selection.rules),
        ),
        decoding_threads=file.volume.threads,
        lungs_weights=_weights(file.models.lungs),
        classifier_weights=_weights(file.models.classifier),
        lungs=LungSettings(
            windows=MultiWindow(tuple(SlidingWindow(*pair) for pair in file.lungs.windows_hu)),
            views=file.lungs.views,
            grid_mm=file.lungs.grid_mm,
        ),
        classification=ClassificationSettings(
            window=SlidingWindow(*classification.window_hu),
            hide_outside_lungs=classification.hide_outside_lungs,
            minimum_lung_mm2=100.0 * classification.minimum_lung_cm2,
            neighbours_mm=classification.neighbours_mm,
            study_rule=StudyRule(classification.study_top_part, classification.study_minimum_slices),
            decision=DecisionRule(classification.absent_below, classification.present_from, classification.kind_above),
        ),
        gradients=IntegratedGradients(
            reading=research.reading,
            rule=research.rule,
            steps=research.steps,
            gradient_power=research.gradient_power,
        ),
        explanation=ExplanationRules(
            maximum_slices=saliency.maximum_slices,
            minimum_disease_probability=saliency.minimum_disease_probability,
            minimum_area_mm2=saliency.minimum_area_mm2,
            closing_mm=saliency.closing_mm,
            regions=RegionRules(saliency.minimum_region_ml, saliency.minimum_region_mm, saliency.maximum_regions),
            spacing_mm=saliency.spacing_mm,
            proved_slices=research.proved_slices,
            joint_factor=research.joint_factor,
            joint_blur_mm=research.joint_blur_mm,
            joint_part=research.joint_part,
        ),
        key_images=file.output.key_images,
        key_images_form=file.output.key_images_form,
        summary_pdf=file.output.summary_pdf,
        segmentation=file.output.segmentation,
        segmentations=file.output.segmentations,
        rt_structure_set=file.output.rt_structure_set,
        saliency_map=file.output.saliency_map,
        fhir=file.output.fhir,
    )


def _weights(section: WeightsSection) -> Weights:
    return Weights(section.file, section.sha256)


def result_settings_sha256(settings: Settings) -> str:
    """SHA-256 of the settings that shape a result.

    Left out are the device and the threads, on which no result depends, and weights, identified by their own hashes.
    """
    values = asdict(settings)
    for name in ("device", "decoding_threads", "lungs_weights", "classifier_weights"):
        del values[name]
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
