"""Which studies are still to be analysed, and how often each has been tried."""

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass

from groundglass.cohort.results import Study


@dataclass(frozen=True)
class Outcome:
    """A study that has been worked through.

    Attributes:
        study: its name.
        status: of its result.json; None where there is none.
        reason: why there is none.
    """

    study: str
    status: str | None
    reason: str | None = None


class Queue:
    """Studies in their order; one that failed comes again, last, until it has been tried often enough."""

    def __init__(self, studies: Iterable[Study], attempts: int) -> None:
        self._waiting = deque(studies)
        self._attempts = attempts
        self._failures: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._waiting)

    def take(self) -> Study:
        """The next study."""
        return self._waiting.popleft()

    def failed(self, study: Study, reason: str) -> list[Outcome]:
        """Put a study back; one that has been tried often enough is an outcome instead."""
        self._failures[study.name] += 1
        if self._failures[study.name] < self._attempts:
            self._waiting.append(study)
            return []
        return [Outcome(study.name, None, f"tried {self._attempts} times, at last {reason}")]
