"""Whether recent cases differ from the reference.

Quantities are compared by the two-sample Kolmogorov-Smirnov test, states and outcomes by the chi-square test of
homogeneity with a p-value from random tables of the same margins, which holds for small counts too. Benjamini and
Hochberg's procedure keeps the expected part of false alarms among the alarms. A difference is called drift when it is
both unlikely to be chance and large enough to matter: with thousands of cases every trifle is significant.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from groundglass.quality.observations import QUANTITIES, Sample

Q_VALUE = 0.01
"""Drift needs a q-value (p-value after Benjamini and Hochberg) up to this: one false alarm in a hundred runs."""
EFFECT = 0.1
"""Drift needs a difference of at least this, of the distribution functions or of the shares: a tenth of the cases would
have to change to undo it."""
MINIMUM_REFERENCE, MINIMUM_RECENT = 100, 30
"""Fewer cases than these are not judged."""

_RANDOM_TABLES = 9_999


@dataclass(frozen=True)
class Comparison:
    """One quantity, or the states, or the outcomes.

    Attributes:
        name: as in `QUANTITIES`, or `state` or `outcome`.
        reference, recent: numbers of cases.
        effect: from 0, the same, to 1: the largest difference of the distribution functions (D of Kolmogorov and
            Smirnov), or half the sum of the differences of the shares (total variation). None where there are too few.
        q_value: the p-value after Benjamini and Hochberg's procedure over all that is judged; None as above.
    """

    name: str
    reference: int
    recent: int
    effect: float | None = None
    q_value: float | None = None

    @property
    def is_judged(self) -> bool:
        """Whether there are cases enough."""
        return self.q_value is not None

    @property
    def is_drift(self) -> bool:
        """Whether the difference is beyond chance, and large."""
        return (
            self.q_value is not None and self.effect is not None and self.q_value <= Q_VALUE and self.effect >= EFFECT
        )


def compare(reference: Sample, recent: Sample) -> list[Comparison]:
    """Every quantity, the states and the outcomes."""
    tests = [(name, _by_rank(reference.quantities[name], recent.quantities[name])) for name in QUANTITIES]
    tests.append(("state", _by_share(reference.states, recent.states)))
    tests.append(("outcome", _by_share(reference.outcomes, recent.outcomes)))
    p_values = [test.p_value for _, test in tests if test.p_value is not None]
    q_values = iter(stats.false_discovery_control(p_values) if p_values else ())
    return [
        Comparison(name, test.reference, test.recent)
        if test.p_value is None
        else Comparison(name, test.reference, test.recent, test.effect, float(next(q_values)))
        for name, test in tests
    ]


@dataclass(frozen=True)
class _Test:
    reference: int
    recent: int
    effect: float = 0.0
    p_value: float | None = None

    @property
    def has_enough(self) -> bool:
        return self.reference >= MINIMUM_REFERENCE and self.recent >= MINIMUM_RECENT


def _by_rank(reference: Sequence[float], recent: Sequence[float]) -> _Test:
    counts = _Test(len(reference), len(recent))
    if not counts.has_enough:
        return counts
    found = stats.ks_2samp(reference, recent)
    return _Test(counts.reference, counts.recent, float(found.statistic), float(found.pvalue))


def _by_share(reference: Mapping[str, int], recent: Mapping[str, int]) -> _Test:
    counts = _Test(sum(reference.values()), sum(recent.values()))
    if not counts.has_enough:
        return counts
    kinds = sorted(reference.keys() | recent.keys())
    table = np.array([[sample.get(kind, 0) for kind in kinds] for sample in (reference, recent)])
    effect = float(np.abs(table[0] / counts.reference - table[1] / counts.recent).sum() / 2)
    if len(kinds) == 1:
        return _Test(counts.reference, counts.recent, effect, 1.0)
    # Seeded: the same results give the same page.
    tables = stats.MonteCarloMethod(n_resamples=_RANDOM_TABLES, rng=np.random.default_rng(0))
    found = stats.chi2_contingency(table, correction=False, method=tables)
    return _Test(counts.reference, counts.recent, effect, float(found.pvalue))
