"""Slice classifier: NP, CAP or COVID-19 for every slice with enough lung, and for the study."""

from dataclasses import replace

from holoscan.core import Fragment

from method.classifier_network import MultiScaleClassifier
from method.slice_classification import StudyRule, classify_slices
from operators.case import Case, CaseOperator, Progress


class SliceClassifierOperator(CaseOperator):
    """Input: seg_image. Output: classified_slices."""

    stage = "classification"
    port_in = "seg_image"
    port_out = "classified_slices"

    def __init__(
        self,
        fragment: Fragment,
        *conditions: object,
        network: MultiScaleClassifier,
        minimum_lung_mm2: float,
        study_rule: StudyRule,
        progress: Progress,
        name: str,
    ) -> None:
        self._network = network
        self._minimum_lung_mm2 = minimum_lung_mm2
        self._study_rule = study_rule
        super().__init__(fragment, *conditions, progress=progress, name=name)

    def work(self, case: Case) -> Case:
        slices = classify_slices(self._network, case.volume, case.inputs, self._minimum_lung_mm2, on_slices=self.report)
        label, probabilities = self._study_rule.apply(slices)
        return replace(case, slices=slices, label=label, probabilities=probabilities)
