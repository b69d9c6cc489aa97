"""Proof that the classifier looks at the lungs and not at the scanner.

Two questions, each with a figure. Does the classifier still tell the classes apart when the lungs are blanked out and
only the body, the table and the image's texture are left? It must not: chance is an area under the curve of .5 and a
balanced accuracy of one over the number of classes. And do its features, before the heads, still tell which archive a
healthy slice came from? That figure is reported whatever it is: features may carry the scanner without harm only where
the first answer is chance.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import torch
from sklearn.metrics import recall_score
from torch import Tensor, nn
from tqdm import tqdm

from groundglass.domain.class_names import CLASSES
from groundglass.method.classifier_network import MultiScaleClassifier
from training.data.patients import Patient
from training.data.slices import SliceSet
from training.engine.inference import penultimate_features, predict
from training.reports.markdown import render
from training.reports.metrics import area_under_curve, balanced_accuracy

BLANK_GREY = 0.14
"""Grey of blanked lungs in the classifier's input of 0 to 1: about -845 HU, plain healthy lung without vessels.

It is a grey and not a HU value because the window lies differently from scanner to scanner: one HU value would give
each scanner its own grey. A brighter one would look like disease and drive every slice to the same saturated score.
"""
_SHUFFLES = 500


def blank_lungs(slices: SliceSet) -> SliceSet:
    """The same slices with every pixel of the lung mask at BLANK_GREY; what lies outside the mask is untouched."""
    low, high = slices.window[:, 0], slices.window[:, 1]
    blank_hu = np.rint(low + BLANK_GREY * (high - low)).astype(slices.hu.dtype)
    return replace(slices, hu=np.where(slices.lung, blank_hu[:, None, None], slices.hu))


def blank_lung_report(
    networks_by_patient: Mapping[str, MultiScaleClassifier], patients: Sequence[Patient], masked: bool = False
) -> dict[str, Any]:
    """How well the networks do on blanked slices, beside the same slices intact.

    A diseased patient counts with the infected slices where radiologists marked them, else with all; a healthy one
    with all.

    Args:
        networks_by_patient: for each patient the network of the fold that tests, which never saw the patient.
        patients: with at least one healthy and one diseased patient for some network.
        masked: whether everything outside the lungs is hidden too, so that only their outline is left; by default it
            stays visible, so that a shortcut has every chance to show.

    Returns:
        `intact` and `blanked`, each with `auc` (1 - P(NP), diseased against healthy slices, the mean over the
        networks), `shuffled` (part of the random exchanges of labels between a network's patients that give an AUC at
        least as far from .5) and `balanced_accuracy` (mean sensitivity of the classes); `chance` of each; `grey`,
        `masked` and `patients`, their number by class.

    Raises:
        ValueError: no network tests both healthy and diseased patients.
    """
    report: dict[str, Any] = {
        "grey": BLANK_GREY,
        "masked": masked,
        "patients": {name: sum(patient.label == label for patient in patients) for label, name in enumerate(CLASSES)},
        "chance": {"auc": 0.5, "balanced_accuracy": 1 / len({patient.label for patient in patients})},
    }
    for state in ("intact", "blanked"):
        found = []
        for patient in tqdm(patients, desc=f"{state} lungs", unit="patient"):
            slices = _counted(patient)
            shown = blank_lungs(slices) if state == "blanked" else slices
            found.append(predict(networks_by_patient[patient.name], shown, masked))
        report[state] = _separation(found, patients, [id(networks_by_patient[patient.name]) for patient in patients])
    return report


def _counted(patient: Patient) -> SliceSet:
    """The slices whose class is the patient's."""
    if not patient.label or patient.infected is None or not patient.infected.any():
        return patient.slices
    return SliceSet(**{field: values[patient.infected] for field, values in vars(patient.slices).items()})


def _separation(found: list[np.ndarray], patients: Sequence[Patient], networks: list[int]) -> dict[str, float]:
    """AUC, its share among shuffled labels and balanced accuracy; `networks` tells whose scores may be compared."""
    labels = np.array([patient.label for patient in patients])
    groups = [np.nonzero(np.array(networks) == network)[0] for network in dict.fromkeys(networks)]
    groups = [group for group in groups if 0 < np.count_nonzero(labels[group]) < len(group)]
    if not groups:
        raise ValueError("No network tests both healthy and diseased patients: there is no ROC curve to draw.")
    disease = [1 - rows[:, 0] for rows in found]

    @cache  # few patients can be exchanged in few ways
    def curve(diseased: tuple[bool, ...]) -> float:
        areas = [
            area_under_curve(
                np.concatenate([disease[number] for number in group if diseased[number]]),
                np.concatenate([disease[number] for number in group if not diseased[number]]),
            )
            for group in groups
        ]
        return float(np.mean(areas))

    rng = np.random.default_rng(0)
    area = curve(tuple((labels > 0).tolist()))
    as_far = 0
    for _ in range(_SHUFFLES):
        shuffled = labels > 0
        for group in groups:
            shuffled[group] = rng.permutation(shuffled[group])
        as_far += abs(curve(tuple(shuffled.tolist())) - 0.5) >= abs(area - 0.5) - 1e-12
    truth = np.repeat(labels, [len(rows) for rows in found])
    return {
        "auc": area,
        "shuffled": as_far / _SHUFFLES,
        "balanced_accuracy": balanced_accuracy(truth, np.concatenate(found).argmax(axis=1)),
    }


def source_classifier(
    network: MultiScaleClassifier,
    slices_by_source: Mapping[str, SliceSet],
    one_patient: Collection[str] = ("normal001", "normal002"),
    masked: bool = True,
    folds: int = 5,
    seed: int = 0,
) -> dict[str, Any]:
    """How well a linear classifier on the penultimate features names the source of a slice, cross-validated.

    Args:
        network: whose features are judged.
        slices_by_source: healthy slices only, so that disease can't tell the source.
        one_patient: sources that are one patient; in all others every slice is a patient of its own. Such a source
            can't be split by patient: its slices are cut into consecutive runs, and the classifier may know the
            patient again instead of the scanner.
        masked: whether pixels outside the lungs are hidden.
        folds: of the cross-validation.
        seed: of the split.

    Returns:
        `all` and, where two sources or more have several patients, `by_patient` on those alone: each with
        `balanced_accuracy`, `chance` and `sensitivity` by source; and `slices` and `patients` by source, `masked`.

    Raises:
        ValueError: there are fewer than two sources, or one has fewer slices than there are folds.
    """
    if len(slices_by_source) < 2 or min(len(slices.hu) for slices in slices_by_source.values()) < folds:
        raise ValueError(f"Naming the source needs two sources or more, each with at least {folds} slices.")
    rng = np.random.default_rng(seed)
    features, fold = {}, {}
    for name, slices in tqdm(slices_by_source.items(), desc="features", unit="source"):
        features[name] = penultimate_features(network, slices, masked)
        runs = np.arange(len(slices.hu)) * folds // len(slices.hu)
        fold[name] = runs if name in one_patient else rng.permutation(runs)
    several = [name for name in slices_by_source if name not in one_patient]
    report: dict[str, Any] = {
        "masked": masked,
        "slices": {name: len(slices.hu) for name, slices in slices_by_source.items()},
        "patients": {name: 1 if name in one_patient else len(rows) for name, rows in features.items()},
        "all": _name_sources(features, fold, list(slices_by_source)),
    }
    if len(several) > 1:
        report["by_patient"] = _name_sources(features, fold, several)
    return report


def _name_sources(features: dict[str, np.ndarray], fold: dict[str, np.ndarray], names: list[str]) -> dict[str, Any]:
    rows = np.concatenate([features[name] for name in names])
    folds = np.concatenate([fold[name] for name in names])
    truth = np.repeat(np.arange(len(names)), [len(features[name]) for name in names])
    answer = np.empty_like(truth)
    for number in np.unique(folds):
        test = folds == number
        answer[test] = _linear_answers(rows[~test], truth[~test], rows[test], len(names))
    return {
        "balanced_accuracy": balanced_accuracy(truth, answer),
        "chance": 1 / len(names),
        "sensitivity": dict(zip(names, recall_score(truth, answer, average=None).tolist(), strict=True)),
    }


def _linear_answers(train: np.ndarray, truth: np.ndarray, test: np.ndarray, classes: int) -> np.ndarray:
    """Multinomial logistic regression: standardised features, classes weighted equally, ridge, full-batch L-BFGS."""
    centre, spread = train.mean(axis=0), train.std(axis=0) + 1e-6
    known, asked = (torch.from_numpy((part - centre) / spread).float() for part in (train, test))
    target = torch.from_numpy(truth)
    class_weight = len(truth) / (classes * torch.bincount(target, minlength=classes).float())
    model = nn.Linear(known.shape[1], classes)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        ridge = 0.005 * model.weight.square().sum()
        loss = nn.functional.cross_entropy(model(known), target, class_weight) + ridge
        loss.backward()
        return loss

    optimizer.step(closure)
    with torch.no_grad():
        return np.asarray(model(asked).argmax(dim=1).numpy())


def as_markdown(report: Mapping[str, dict[str, Any]]) -> str:
    """Tables of `{"blank_lungs": blank_lung_report(...), "sources": source_classifier(...)}`, or of one of them."""
    parts = []
    if "blank_lungs" in report:
        blank = report["blank_lungs"]
        rows = [
            [state, f"{found['auc']:.3f} ({found['shuffled']:.2f})", f"{found['balanced_accuracy']:.3f}"]
            for state, found in ((state, blank[state]) for state in ("intact", "blanked"))
        ]
        rows.append(["chance", f"{blank['chance']['auc']:.3f}", f"{blank['chance']['balanced_accuracy']:.3f}"])
        parts.append(render("blank_lungs", blank=blank, rows=rows))
    if "sources" in report:
        sources = report["sources"]
        names = list(sources["slices"])
        rows = []
        for key, title in (("all", "all"), ("by_patient", "those of several patients")):
            if key in sources:
                found = sources[key]
                sensitivity = [
                    f"{part:.2f}" if (part := found["sensitivity"].get(n)) is not None else "" for n in names
                ]
                rows.append([title, f"{found['balanced_accuracy']:.3f}", f"{found['chance']:.3f}", *sensitivity])
        parts.append(render("sources", sources=sources, names=names, rows=rows))
    return "\n".join(parts)
