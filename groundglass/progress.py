"""How far the work is: bars for a person at a terminal, one line a stage for a log."""

import logging
import sys

from tqdm import tqdm

_TITLES = {
    "volume": "reading slices",
    "lungs": "segmenting lungs",
    "classification": "classifying slices",
    "saliency": "explaining slices",
    "writing": "writing DICOM",
}


class ProgressReporter:
    """Called by the operators with the stage, units done and units in all."""

    def __init__(self, with_bars: bool | None = None) -> None:
        self._with_bars = sys.stderr.isatty() if with_bars is None else with_bars
        self._log = logging.getLogger("groundglass")
        self._bar: tqdm | None = None
        self._stage = ""

    def __call__(self, stage: str, done: int, total: int) -> None:
        if not self._with_bars:
            if done >= total:
                self._log.info("%s: %d done", _TITLES[stage], total)
            return
        if self._bar is None or self._stage != stage:
            self.close()
            self._stage = stage
            self._bar = tqdm(
                total=total, desc=f"{_TITLES[stage]:<18}", bar_format="{desc} {bar:40} {n_fmt}/{total_fmt} {elapsed}"
            )
        self._bar.update(done - self._bar.n)
        if done >= total:
            self.close()

    def close(self) -> None:
        """End the bar that is open."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
