"""What a check is, and what comes of it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

Verdict = Literal["passed", "failed", "not applicable"]

Subject = TypeVar("Subject")
"""What is looked at: the installed copy, or the runs of its application."""


@dataclass(frozen=True)
class Measured:
    """What a check found: whether that is as it must be, and the figures in words, without a patient's data."""

    as_expected: bool
    figures: str


class NotApplicable(Exception):
    """The check has nothing to look at here; the text is the reason."""


@dataclass(frozen=True)
class Check(Generic[Subject]):
    """One line of the catalogue.

    Attributes:
        id: never used again for another check, so that reports of different versions can be compared.
        requirements: ids of those that it covers.
        title: what is looked at.
        expected: what must be found, with its limits.
        measure: finds it; raises NotApplicable where there is nothing to look at.
    """

    id: str
    requirements: tuple[str, ...]
    title: str
    expected: str
    measure: Callable[[Subject], Measured]


@dataclass(frozen=True)
class Outcome:
    """A check that was carried out; `measured` holds the reason where it was not applicable."""

    id: str
    requirements: tuple[str, ...]
    title: str
    expected: str
    verdict: Verdict
    measured: str
    seconds: float


def carry_out(check: Check[Subject], subject: Subject) -> Outcome:
    """Measure; a check that can't come to its end has failed, since then nothing is proved."""
    start = time.monotonic()
    verdict: Verdict
    try:
        measured = check.measure(subject)
        verdict, text = "passed" if measured.as_expected else "failed", measured.figures
    except NotApplicable as reason:
        verdict, text = "not applicable", str(reason)
    except Exception as error:  # whatever it is, it stands in the report
        verdict, text = "failed", f"The check could not be carried out: {type(error).__name__}: {error}"
    return Outcome(
        check.id, check.requirements, check.title, check.expected, verdict, text, round(time.monotonic() - start, 1)
    )


def listed(problems: list[str], otherwise: str, shown: int = 8) -> Measured:
    """As expected without problems; the first of them otherwise."""
    if not problems:
        return Measured(True, otherwise)
    more = f"; and {len(problems) - shown} more" if len(problems) > shown else ""
    return Measured(False, "; ".join(problems[:shown]) + more)
