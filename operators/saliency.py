"""Saliency and boxes: what drove the classification of the diseased slices."""

from holoscan.core import Fragment

from groundglass.run import Run
from operators.case_operator import CaseOperator


class SaliencyOperator(CaseOperator):
    """Input: classified_slices. Output: findings."""

    port_in = "classified_slices"
    port_out = "findings"

    def __init__(self, fragment: Fragment, *conditions: object, run: Run, name: str) -> None:
        super().__init__(fragment, *conditions, step=run.explain, name=name)
