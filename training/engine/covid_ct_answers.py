"""What a row of the COVID-CT benchmark says of every figure, and what two rows say together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit


@dataclass(frozen=True)
class Answers:
    """Figures in (0, 1) for COVID; a half is the border.

    Attributes:
        of_train: by the part of the row that has not learned from a figure's group, `(image,)`.
        of_asked: of other splits, `(image,)` by the split's name.
    """

    of_train: np.ndarray
    of_asked: Mapping[str, np.ndarray]


def join(rows: Sequence[Answers]) -> Answers:
    """The mean of the rows' logits, those of each in units of their deviation over train, so that all count alike."""
    scales = [float(logit(row.of_train).std()) or 1.0 for row in rows]

    def together(answers: Sequence[np.ndarray]) -> np.ndarray:
        return expit(np.mean([logit(answer) / scale for answer, scale in zip(answers, scales, strict=True)], axis=0))

    return Answers(
        together([row.of_train for row in rows]),
        {name: together([row.of_asked[name] for row in rows]) for name in rows[0].of_asked},
    )
