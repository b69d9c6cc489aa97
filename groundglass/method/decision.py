"""Two questions to a study's probabilities: pneumonia or none, and, where the evidence carries it, which kind.

The paper has one question of three classes (II-D). On patients of other hospitals the classifier tells disease from
none well and the two kinds badly (model card), so the kind is a word only where a rule allows it.
"""

from dataclasses import dataclass

from groundglass.domain.findings import Kind, Prediction, State


@dataclass(frozen=True)
class DecisionRule:
    """Operating points on a study's probabilities.

    Attributes:
        absent_below: probability of pneumonia below which it is absent; at most 0.5, so that a study is never without
            pneumonia while pneumonia is the more probable.
        present_from: probability of pneumonia from which it is present; between the two it is indeterminate.
        kind_above: share of one kind in both that must be exceeded for it to be named; 1: none is ever named.
    """

    absent_below: float
    present_from: float
    kind_above: float

    def apply(self, probabilities: tuple[float, float, float]) -> Prediction:
        """The conclusion from probabilities `(np, cap, covid19)`.

        >>> DecisionRule(absent_below=0.3, present_from=0.6, kind_above=1.0).apply((0.2, 0.5, 0.3))
        Prediction(probabilities=(0.2, 0.5, 0.3), state='present', kind='undetermined')
        """
        np_, cap, covid19 = probabilities
        pneumonia = 1.0 - np_
        state: State = "indeterminate"
        if pneumonia < self.absent_below:
            state = "absent"
        elif pneumonia >= self.present_from:
            state = "present"
        kind: Kind = "undetermined"
        if state == "present" and max(cap, covid19) > self.kind_above * (cap + covid19):
            kind = "cap" if cap > covid19 else "covid19"
        return Prediction(probabilities, state, kind)
