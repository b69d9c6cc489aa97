"""Slice classifier: NP, CAP or COVID-19 for every slice with enough lung, and for the study."""

from holoscan.core import Fragment

from groundglass.run import Run
from operators.case_operator import CaseOperator


class SliceClassifierOperator(CaseOperator):
    """Input: seg_image. Output: classified_slices."""

    port_in = "seg_image"
    port_out = "classified_slices"

    def __init__(self, fragment: Fragment, *conditions: object, run: Run, name: str) -> None:
        super().__init__(fragment, *conditions, step=run.classify, name=name)
