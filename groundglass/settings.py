"""app.yaml as checked, typed settings."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from groundglass.dicomio.reading.rule_language import NamedSelection, parse_rules
from groundglass.dicomio.reading.select import SelectionRules
from groundglass.dicomio.writing.segmentation import Form
from groundglass.domain.errors import UsageError
from groundglass.locations import SETTINGS_FILE
from groundglass.method.explanation import ExplanationRules
from groundglass.method.lung_segmentation import VIEWS, MultiWindow
from groundglass.method.normalisation import SlidingWindow
from groundglass.method.saliency import IntegratedGradients
from groundglass.method.slice_classification import StudyRule


class SettingsError(UsageError):
    """app.yaml is missing, not YAML, or holds a value that is not allowed."""


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
    study_rule: StudyRule


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
    segmentation: Form
    saliency_map: bool


class _Section:
    """One mapping of the file; every key is read once, and what is left over is refused."""

    def __init__(self, values: Any, path: str) -> None:
        if not isinstance(values, dict):
            raise SettingsError(f"app.yaml: '{path}' must hold named settings.")
        self._values = dict(values)
        self._path = path

    def take(self, key: str, kind: type | tuple[type, ...], low: float | None = None, high: float | None = None) -> Any:
        where = f"{self._path}.{key}".lstrip(".")
        if key not in self._values:
            raise SettingsError(f"app.yaml: the setting '{where}' is missing.")
        value: Any = self._values.pop(key)
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if not self._fits(value, kinds):
            names = " or ".join(item.__name__ for item in kinds)
            raise SettingsError(f"app.yaml: the setting '{where}' must be of type {names}, not {value!r}.")
        # Written so that a NaN, which is neither below nor above, is refused.
        if (low is not None and not value >= low) or (high is not None and not value <= high):
            raise SettingsError(f"app.yaml: the setting '{where}' must lie between {low} and {high}, not be {value!r}.")
        return value

    @staticmethod
    def _fits(value: Any, kinds: tuple[type, ...]) -> bool:
        # In Python a bool is an int; in a settings file "threads: true" is a mistake.
        return isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))

    def choose(self, key: str, allowed: tuple[str, ...]) -> str:
        value = self.take(key, str)
        if value not in allowed:
            raise SettingsError(f"app.yaml: '{self._path}.{key}' must be one of {', '.join(allowed)}, not {value!r}.")
        return str(value)

    def section(self, key: str) -> "_Section":
        return _Section(self.take(key, dict), f"{self._path}.{key}".lstrip("."))

    def end(self) -> None:
        if self._values:
            raise SettingsError(
                f"app.yaml: unknown settings under '{self._path}': {', '.join(map(str, self._values))}."
            )


_NUMBER = (int, float)
WIDEST_WINDOW_HU = 4096.0
"""All that 12 bits, what scanners make, tell apart."""


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice, of which YAML's own loader would take the last without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for (key, _), name in zip(node.value, keys, strict=True):
            if keys.count(name) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"'{name}' is given twice", key.start_mark)
        return super().construct_mapping(node, deep)


def load_settings(path: Path = SETTINGS_FILE) -> Settings:
    """Read and check the settings.

    Raises:
        SettingsError: with the setting's name and what is allowed.
    """
    try:
        content = _Loader(path.read_text(encoding="utf-8")).get_single_data()
    except OSError as error:
        raise SettingsError(f"The settings file '{path.name}' can't be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"The settings file '{path.name}' is not text in UTF-8.") from error
    except yaml.YAMLError as error:
        raise SettingsError(f"The settings file '{path.name}' is not valid YAML: {error}") from error
    root = _Section(content, "")
    selection, volume, models = root.section("selection"), root.section("volume"), root.section("models")
    lungs, classification = root.section("lungs"), root.section("classification")
    saliency, output, research = root.section("saliency"), root.section("output"), root.section("research")
    _check_package(root.section("package"))
    windows = tuple(_window(pair, "lungs.windows_hu") for pair in lungs.take("windows_hu", list))
    if not windows:
        raise SettingsError("app.yaml: 'lungs.windows_hu' must name a window.")
    views = tuple(lungs.take("views", list))
    if not views or not all(isinstance(view, str) and view in VIEWS for view in views):
        raise SettingsError(f"app.yaml: 'lungs.views' must name some of {', '.join(VIEWS)}.")
    settings = Settings(
        device=root.choose("device", ("auto", "cpu", "cuda")),
        selection=SelectionRules(
            minimum_slices=selection.take("minimum_slices", int, 3, 10_000),
            minimum_extent_mm=float(selection.take("minimum_extent_mm", _NUMBER, 10, 2_000)),
            maximum_spacing_mm=float(selection.take("maximum_spacing_mm", _NUMBER, 0.5, 20)),
            selections=_rules(selection.take("rules", dict)),
        ),
        decoding_threads=volume.take("threads", int, 1, 64),
        lungs_weights=_weights(models.section("lungs")),
        classifier_weights=_weights(models.section("classifier")),
        lungs=LungSettings(MultiWindow(windows), views, float(lungs.take("grid_mm", _NUMBER, 1, 5))),
        classification=ClassificationSettings(
            window=_window(classification.take("window_hu", list), "classification.window_hu"),
            hide_outside_lungs=classification.take("hide_outside_lungs", bool),
            minimum_lung_mm2=100.0 * classification.take("minimum_lung_cm2", _NUMBER, 1, 500),
            study_rule=StudyRule(
                float(classification.take("study_top_part", _NUMBER, 0.001, 1)),
                classification.take("study_minimum_slices", int, 1, 1_000),
            ),
        ),
        gradients=IntegratedGradients(
            reading=research.choose("reading", ("score", "score_map")),  # type: ignore[arg-type]
            rule=research.choose("rule", ("riemann_right", "midpoint", "gauss_legendre")),  # type: ignore[arg-type]
            steps=research.take("steps", int, 1, 1_000),
            gradient_power=float(research.take("gradient_power", _NUMBER, 0, 10)),
        ),
        explanation=ExplanationRules(
            maximum_slices=saliency.take("maximum_slices", int, 1, 10_000),
            minimum_disease_probability=float(saliency.take("minimum_disease_probability", _NUMBER, 0, 1)),
            minimum_area_mm2=float(saliency.take("minimum_area_mm2", _NUMBER, 0, 10_000)),
            closing_mm=float(saliency.take("closing_mm", _NUMBER, 0, 50)),
            minimum_lesion_ml=float(saliency.take("minimum_lesion_ml", _NUMBER, 0, 1_000)),
            joint_factor=research.choose("joint_factor", ("attribution", "gradient")),  # type: ignore[arg-type]
            joint_blur_mm=float(research.take("joint_blur_mm", _NUMBER, 0, 50)),
            joint_part=research.choose("joint_part", ("absolute", "positive")),  # type: ignore[arg-type]
        ),
        key_images=output.take("key_images", int, 1, 100),
        segmentation=output.choose("segmentation", ("binary", "labelmap")),  # type: ignore[arg-type]
        saliency_map=output.take("saliency_map", bool),
    )
    for section in (root, selection, volume, models, lungs, classification, saliency, output, research):
        section.end()
    return settings


def result_settings_sha256(settings: Settings) -> str:
    """SHA-256 of the settings that shape a result.

    Left out are the device and the threads, on which no result depends, and the weights, which are named by their own.
    """
    values = asdict(settings)
    for name in ("device", "decoding_threads", "lungs_weights", "classifier_weights"):
        del values[name]
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _rules(rules: Any) -> tuple[NamedSelection, ...]:
    try:
        return parse_rules(rules)
    except ValueError as error:
        raise SettingsError(f"app.yaml: 'selection.rules': {error}.") from error


def _check_package(section: _Section) -> None:
    """What the image's manifests are made of: checked here with the rest, used when the image is built."""
    section.take("cpus", int, 1, 1_024)
    section.take("memory_gib", int, 1, 4_096)
    section.take("shared_memory_mib", int, 1, 1_048_576)
    section.take("timeout_s", int, 0, 604_800)
    section.end()


def _weights(section: _Section) -> Weights:
    weights = Weights(section.take("file", str), section.take("sha256", str))
    section.end()
    return weights


def _window(pair: Any, where: str) -> SlidingWindow:
    try:
        width, step = (float(value) for value in pair)
        if not 1 <= step <= width <= WIDEST_WINDOW_HU:
            raise ValueError
        return SlidingWindow(width, step)
    except (TypeError, ValueError) as error:
        raise SettingsError(
            f"app.yaml: '{where}' must hold a width and a step in HU, 1 <= step <= width <= {WIDEST_WINDOW_HU:g}."
        ) from error
