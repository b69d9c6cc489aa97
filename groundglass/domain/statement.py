"""What is said of a study in words: the same first lines in every output, in the report as on the pictures."""

from groundglass.domain.class_names import CLASS_NAMES, CLASSES
from groundglass.domain.findings import Findings, Prediction
from groundglass.domain.software import RESEARCH_USE

LIMITS = (
    "Tried on public CT of adults without pneumonia, with community-acquired pneumonia (CAP) or with COVID-19. "
    f"It knows no other disease. {RESEARCH_USE}."
)
"""Stands below every conclusion."""
NO_ADULT = (
    "By its headers this is the CT of a child. The networks know the chests of adults only, so a result may be wrong."
)
SMALL_LUNGS = (
    "The lungs that were found are smaller than those of adults: this is a child, whose chest the networks don't know, "
    "or a part of the lungs was not found."
)
SMALLEST_ADULT_ML = 800.0
"""Both lungs of an adult, whole, hold more, in expiration and with most diseases too."""
_MEANINGS = {
    "absent": "",
    "present": "",
    "indeterminate": "The evidence carries neither answer: the images decide.",
}


def state_words(prediction: Prediction) -> str:
    """The answer to the first question, short enough for a title.

    >>> state_words(Prediction((0.14, 0.4, 0.46), "present", "undetermined"))
    'Pneumonia present'
    """
    return f"Pneumonia {prediction.state}"


def conclusion_words(prediction: Prediction) -> str:
    """State, and the kind where it is named: for a line in a table.

    >>> conclusion_words(Prediction((0.14, 0.4, 0.46), "present", "undetermined"))
    'Pneumonia present'
    >>> conclusion_words(Prediction((0.02, 0.94, 0.04), "present", "cap"))
    'Pneumonia present, CAP'
    """
    named = "" if prediction.kind == "undetermined" else f", {CLASS_NAMES[prediction.kind]}"
    return state_words(prediction) + named


def state_sentence(prediction: Prediction) -> str:
    """The answer with its probability, and what it means where it is none.

    >>> state_sentence(Prediction((0.14, 0.4, 0.46), "present", "undetermined"))
    'Pneumonia present: probability 0.86.'
    """
    answer = f"{state_words(prediction)}: probability {prediction.pneumonia_probability:.2f}."
    return f"{answer} {state_meaning(prediction)}".rstrip()


def state_meaning(prediction: Prediction) -> str:
    """What the answer means where it is none, for those who show answer and probability by themselves; else empty."""
    return _MEANINGS[prediction.state]


def kind_sentence(prediction: Prediction) -> str:
    """Which pneumonia, or that it is not determined; both probabilities in either case, the larger first.

    >>> kind_sentence(Prediction((0.14, 0.4, 0.46), "present", "undetermined"))
    'Kind not determined (COVID-19 0.46, CAP 0.40).'
    """
    kinds = sorted(zip(CLASSES[1:], prediction.probabilities[1:], strict=True), key=lambda item: -item[1])
    figures = ", ".join(f"{CLASS_NAMES[kind]} {probability:.2f}" for kind, probability in kinds)
    if prediction.kind == "undetermined":
        return f"Kind not determined ({figures})."
    return f"Kind: {CLASS_NAMES[prediction.kind]} ({figures})."


def statement(prediction: Prediction) -> tuple[str, ...]:
    """The first lines of every output: state, kind where there may be a pneumonia, and the limits."""
    kind = () if prediction.state == "absent" else (kind_sentence(prediction),)
    return (state_sentence(prediction), *kind, LIMITS)


def warnings_of_patient(is_minor: bool) -> tuple[str, ...]:
    """What a reader must know of a patient of whom nothing was found."""
    return (NO_ADULT,) if is_minor else ()


def warnings_of(is_minor: bool, findings: Findings) -> tuple[str, ...]:
    """What a reader must know where the study is not of the kind that the networks have learned from, or where its
    saliency leaves slices out.
    """
    is_small = not findings.reach_border and findings.volume_ml < SMALLEST_ADULT_ML
    of_lungs = (SMALL_LUNGS,) if is_small and not is_minor else ()
    return (*warnings_of_patient(is_minor), *of_lungs, *warnings_of_saliency(findings))


def warnings_of_saliency(findings: Findings) -> tuple[str, ...]:
    """How many slices were explained, where not all could be that suggest pneumonia."""
    explained = sum(item.explained for item in findings.slices)
    left_out = sum(item.why_not_explained == "budget" for item in findings.slices)
    if not left_out:
        return ()
    return (
        f"Saliency was computed on {explained} of {explained + left_out} slices that suggest pneumonia: "
        "regions were sought on no others, so their volumes may be too small.",
    )
