"""Saliency and boxes: what drove the classification of the diseased slices."""

from dataclasses import replace

from holoscan.core import Fragment

from method.classifier_network import MultiScaleClassifier
from method.explanation import ExplanationRules, explain_slices
from method.lung_segmentation import lung_volumes_ml, reach_border
from method.saliency import IntegratedGradients
from method.types import Findings
from operators.case import Case, CaseOperator, Progress


class SaliencyOperator(CaseOperator):
    """Input: classified_slices. Output: findings."""

    stage = "saliency"
    port_in = "classified_slices"
    port_out = "findings"

    def __init__(
        self,
        fragment: Fragment,
        *conditions: object,
        network: MultiScaleClassifier,
        gradients: IntegratedGradients,
        rules: ExplanationRules,
        progress: Progress,
        name: str,
    ) -> None:
        self._network = network
        self._gradients = gradients
        self._rules = rules
        super().__init__(fragment, *conditions, progress=progress, name=name)

    def work(self, case: Case) -> Case:
        explanation = explain_slices(
            self._network,
            case.volume,
            case.lungs,
            case.inputs,
            case.slices,
            case.label,
            self._gradients,
            self._rules,
            self.report,
            case.probabilities[0],
        )
        right_ml, left_ml = lung_volumes_ml(case.lungs, case.volume)
        findings = Findings(
            case.lungs, right_ml, left_ml, case.label, case.probabilities, explanation.infected_fraction,
            explanation.slices, explanation.saliency, explanation.salient, explanation.boxes, explanation.lesions,
            reach_border(case.lungs, case.volume),
        )  # fmt: skip
        return replace(case, findings=findings)
