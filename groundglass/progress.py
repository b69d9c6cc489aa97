"""How far the work is: bars for a person at a terminal, one line a stage for a log."""

import logging
import sys

from tqdm import tqdm

_TITLES = {
    "volume": ("reading slices", "slices"),
    "lungs": ("segmenting lungs", "planes"),
    "classification": ("classifying slices", "slices"),
    "saliency": ("explaining slices", "slices"),
    "writing": ("writing results", "files"),
}
"""What each stage does, and what it counts: the lungs are segmented in the planes of several views and windows."""


class ProgressReporter:
    """Called with the stage, units done and units in all: by the operators, and by `Pipeline.analyse`.

    >>> findings = pipeline.analyse(volume, ProgressReporter(with_bars=True))

    Args:
        with_bars: bars, or lines in the log; None takes bars where the standard error is a terminal.
    """

    def __init__(self, with_bars: bool | None = None) -> None:
        self._with_bars = sys.stderr.isatty() if with_bars is None else with_bars
        self._log = logging.getLogger("groundglass")
        self._bar: tqdm | None = None
        self._stage = ""

    def __call__(self, stage: str, done: int, total: int) -> None:
        if not self._with_bars:
            if done >= total:
                title, unit = _TITLES[stage]
                self._log.info("%s: all %d %s done", title, total, unit)
            return
        if self._bar is None or self._stage != stage:
            self.close()
            self._stage = stage
            title, unit = _TITLES[stage]
            form = f"{{desc}} {{bar:40}} {{n_fmt}} of {{total_fmt}} {unit}, {{elapsed}}"
            self._bar = tqdm(total=total, desc=f"{title:<18}", bar_format=form)
        self._bar.update(done - self._bar.n)
        if done >= total:
            self.close()

    def close(self) -> None:
        """End the bar that is open."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
