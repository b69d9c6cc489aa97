"""Lung segmentation: right and left lung of a case."""

from holoscan.core import Fragment

from groundglass.run import Run
from operators.case_operator import CaseOperator


class LungSegmentationOperator(CaseOperator):
    """Input: image. Output: seg_image."""

    port_in = "image"
    port_out = "seg_image"

    def __init__(self, fragment: Fragment, *conditions: object, run: Run, name: str) -> None:
        super().__init__(fragment, *conditions, step=run.segment, name=name)
