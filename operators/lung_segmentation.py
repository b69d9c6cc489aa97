"""Lung segmentation: right and left lung of a case."""

from collections.abc import Callable
from dataclasses import replace

from holoscan.core import Fragment

from method.lung_network import LungUNet
from method.lung_segmentation import MultiWindow, segment_lungs
from method.normalisation import SlidingWindow
from method.slice_input import SliceInputs
from operators.case import Case, CaseOperator, Progress


class LungSegmentationOperator(CaseOperator):
    """Input: image. Output: seg_image."""

    stage = "lungs"
    port_in = "image"
    port_out = "seg_image"

    def __init__(
        self,
        fragment: Fragment,
        *conditions: object,
        network: LungUNet,
        windows: MultiWindow,
        views: tuple[str, ...],
        grid_mm: float,
        classifier_window: SlidingWindow,
        hide_outside_lungs: bool,
        ensure_room: Callable[[Case], None],
        progress: Progress,
        name: str,
    ) -> None:
        self._network = network
        self._windows = windows
        self._views = views
        self._grid_mm = grid_mm
        self._classifier_window = classifier_window
        self._hide_outside_lungs = hide_outside_lungs
        self._ensure_room = ensure_room
        super().__init__(fragment, *conditions, progress=progress, name=name)

    def work(self, case: Case) -> Case:
        self._ensure_room(case)  # the first stage that takes its time is not begun in vain
        lungs = segment_lungs(self._network, case.volume, self._windows, self._grid_mm, self._views, self.report)
        inputs = SliceInputs.of_volume(case.volume, lungs, self._classifier_window, self._hide_outside_lungs)
        return replace(case, lungs=lungs, inputs=inputs)
