"""Everything that is told of the networks of the folds, on slices and patients that each did not train on."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from groundglass.domain.class_names import CLASS_ABBREVIATIONS
from groundglass.domain.findings import STATES
from groundglass.presets import SHIPPED
from training.data.public_slices import BLOCK, COVID19, NP, LabelledSlices
from training.engine.slice_scores import HEALTHY, INFECTED, UNMARKED, SliceScores
from training.reports import calibration
from training.reports.chosen_points import CALLED, MISSED, choose_points
from training.reports.groups import runs_as_studies, slice_groups
from training.reports.markdown import grid, render
from training.reports.marked_patients import (
    RULE_PARTS,
    compare_neighbours,
    compare_rules,
    kind_figures,
    patient_curves,
    study_statements,
)
from training.reports.operating_points import operating_points
from training.reports.public_slices import (
    DISEASED_KINDS,
    HEALTHY_KIND,
    UNLIKE,
    iq_oth_figures,
    likeness,
    mosmed_figures,
    mosmed_floor,
)

ROWS = {
    "shipped": "shipped recipe",
    "without_mosmed": "the same without MosMedData",
    "base": "base network, painted disease alone",
    "imagenet": "EfficientNet-Lite0 from ImageNet's weights, step 2 alone",
}
"""In the order of the tables: the networks of a run, and those whose scores `training.imagenet_row` left in it."""
FIGURES = (
    "calibration", "mosmed", "iq_oth", "iq_oth_unlike", "curves", "neighbours", "studies", "study_rules", "kinds",
    "operating_points",
)  # fmt: skip
"""What the report has of every row."""
RULES = SHIPPED.classification


def sure_slices(scores: Mapping[str, SliceScores]) -> SliceScores:
    """Those whose label is sure, of all patients: CT-0 and CT-2, infected slices, healthy patients' slices.

    Each for itself, without neighbours, of which some are missing here: a temperature is the network's own.
    """
    mosmed, patients = scores.get("mosmed"), scores["patients"]
    parts = [patients.select(np.isin(patients.kind, (HEALTHY, INFECTED, UNMARKED)))]
    if mosmed is not None:
        parts.append(mosmed.select(np.isin(mosmed.label, (NP, COVID19))))
    names = [name for name in vars(patients) if name != "weights"]
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    joined["height_mm"] = np.full(len(joined["label"]), np.nan)
    return SliceScores(**joined, weights=patients.weights)


def score_folds_report(
    rows: Mapping[str, Mapping[str, SliceScores]],
    iq_oth: LabelledSlices,
    mosmed: LabelledSlices | None,
    out: Path,
    started: bool,
) -> dict[str, Any]:
    """All figures by row of ROWS.

    Args:
        rows: scores by row, then by set; the set `mosmed` is left out where the data folder lacks it.
        iq_oth: its slices in the order of their scores, to see which are like some trained on.
        mosmed: its slices, for the floor.
        out: where the reliability diagram of the row `shipped` goes.
        started: whether the networks went on from others than the base network, which saw nothing of these sets.
    """
    report: dict[str, Any] = {name: {} for name in FIGURES} | {"started": started}
    for row, scores in rows.items():
        diagram = out / "calibration.png" if row == "shipped" else None
        calibrated = calibration.calibration_report(sure_slices(scores), diagram)
        report["calibration"][row] = calibrated
        chosen = choose_points(scores, calibrated, RULES.study_rule)
        scaled = {
            name: np.array([chosen.temperature[int(fold)] for fold in part.fold]) for name, part in scores.items()
        }
        if "mosmed" in scores:
            report["mosmed"][row] = mosmed_figures(scores["mosmed"])
        report["iq_oth"][row] = iq_oth_figures(scores["iq_oth"], chosen.of_fold, scaled["iq_oth"])
        unlike = likeness(iq_oth, scores["iq_oth"].fold) < UNLIKE
        report["iq_oth_unlike"][row] = iq_oth_figures(
            scores["iq_oth"].select(unlike), chosen.of_fold, scaled["iq_oth"][unlike]
        )
        patients = scores["patients"]
        report["curves"][row] = patient_curves(patients)
        report["neighbours"][row] = compare_neighbours(patients)
        report["studies"][row] = study_statements(patients, RULES.study_rule, chosen.of_fold, scaled["patients"])
        report["study_rules"][row] = compare_rules(patients, RULES.study_rule)
        report["kinds"][row] = kind_figures(patients, RULES.study_rule)
        runs = runs_as_studies(scores["iq_oth"], RULES.study_rule, scaled["iq_oth"])
        groups = slice_groups(scores, scaled) | runs
        pairs = [
            (diseased, healthy)
            for diseased, healthy in (("CT-2", "CT-0"), ("CT-1", "CT-0"), ("infected", "healthy patients"))
            if diseased in groups and healthy in groups
        ]
        report["operating_points"][row] = operating_points(groups, pairs, chosen)
    if mosmed is not None:
        report["mosmed_floor"] = mosmed_floor(mosmed, rows["shipped"]["mosmed"].fold)
        report["mosmed_patients"] = {
            str(kind): int((mosmed.kind == kind).sum()) for kind in (HEALTHY_KIND, *reversed(DISEASED_KINDS))
        }
    return report


# Markdown


def as_markdown(report: dict[str, Any]) -> str:
    """The report as sections of a model card."""
    curves = report["curves"]
    patients = list(next(iter(curves.values())))
    shipped = report["operating_points"]["shipped"]
    kinds = report["kinds"]["shipped"]
    parts = [
        render(
            "folds",
            report=report,
            unlike=UNLIKE,
            mosmed=_mosmed_table(report) if report["mosmed"] else "",
            iq_oth=_iq_oth_table(report),
            curves=grid(
                ["row", "scales", *(f"{name}, {kind}" for name in patients for kind in ("inside", "against healthy"))],
                [
                    [ROWS[row], title, *(_cell(found[name][output][kind])
                                         for name in patients for kind in ("inside", "against_healthy"))]
                    for row, found in curves.items() for output, title in _titles(found[patients[0]]).items()
                ],
            ),
            neighbours_mm=f"{RULES.neighbours_mm:g}",
            neighbours=grid(
                ["mm", *(f"{name}, {kind}" for name in patients for kind in ("inside", "against healthy"))],
                [
                    [reach, *(_cell(found[name][kind])
                              for name in patients for kind in ("inside", "against_healthy"))]
                    for reach, found in report["neighbours"]["shipped"].items()
                ],
            ),
            studies=grid(
                ["patient", "true", *(ROWS[row] for row in report["studies"])],
                [
                    [name, study["true"], *(_statement(found[name]) for found in report["studies"].values())]
                    for name, study in report["studies"]["shipped"].items()
                ],
            ),
            kinds=kinds,
            study_part=f"{RULES.study_rule.top_part:g}",
            rules=grid(
                ["network", *(f"{part:g}" for part in RULE_PARTS)],
                [
                    [f"{ROWS[row]}, {asked}", *(f"{one[asked]} of {one['patients']}" for one in rules.values())]
                    for row, rules in report["study_rules"].items() for asked in ("label", "diseased or not")
                ],
            ),
        ),
        calibration.as_markdown(report["calibration"]["shipped"]),
        render(
            "operating_points",
            points=shipped,
            missed=_percent(MISSED),
            called=_percent(CALLED),
            block=BLOCK,
            by_fold=[f"fold {int(fold) + 1}: {absent:.2f}, {present:.2f}"
                     for fold, (absent, present) in shipped["by_fold"].items()],
            chosen_from=[
                f"{name} ({found['number']}) {_percent(found['share'])} {side}"
                for side, groups in shipped["chosen_from"].items() for name, found in groups.items()
            ],
            states=grid(
                ["slices, or runs of them as studies", "number", *STATES],
                [
                    [name, str(found["slices"]), *(_percent(found["shares"][state]) for state in STATES)]
                    for name, found in shipped["groups"].items()
                ],
            ),
            pairs=grid(
                ["", "sensitivity of not absent", "specificity (absent)", "sensitivity (present)",
                 "specificity of not present"],
                [
                    [f"{pair['diseased']} against {pair['healthy']}",
                     *(_percent(pair[state][name]) for state in ("absent", "present")
                       for name in ("sensitivity", "specificity"))]
                    for pair in shipped["pairs"]
                ],
            ),
            above=grid(
                ["P(pneumonia) at least", *shipped["groups"]],
                [[point, *(_percent(found[name]) for name in shipped["groups"])]
                 for point, found in shipped["above"].items()],
            ),
        ),
    ]  # fmt: skip
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _titles(outputs: Iterable[str]) -> dict[str, str]:
    """Outputs and what the tables call them."""
    titles = {output: output for output in outputs}
    return titles | {"joint": "all scales" if len(titles) > 1 else "one scale"}


def _mosmed_table(report: dict[str, Any]) -> str:
    lines = []
    for row, found in report["mosmed"].items():
        for output, title in _titles(found).items():
            cells = (cell for kind in DISEASED_KINDS for cell in _area_and_folds(found[output][kind]))
            lines.append([ROWS[row], title, *cells])
    floor = [cell for kind in DISEASED_KINDS for cell in (_area(report["mosmed_floor"][kind]), "–")]
    lines.append(["linear model", "grey statistics", *floor])
    heads = [head for kind in DISEASED_KINDS for head in (f"CT-{kind[-1]} against CT-0", "in each fold")]
    return grid(["row", "scales", *heads], lines)


def _iq_oth_table(report: dict[str, Any]) -> str:
    kinds = list(next(iter(report["iq_oth"].values())))
    lines = []
    for name, title in (("iq_oth", ""), ("iq_oth_unlike", ", unlike those trained on")):
        for row, found in report[name].items():
            cells = []
            for kind in kinds:
                if kind not in found:
                    cells.append("–")
                    continue
                one = found[kind]
                cell = f"{_percent(one['not_called'])} of {one['slices']}, {one['mean_pneumonia']:.2f}"
                # What the network, or the one it started from, has seen stands in brackets: a base network has seen
                # every slice without cancer; networks of --start, and ImageNet's, none of any.
                unlike = name == "iq_oth_unlike"
                started = row == "imagenet" or (report["started"] and row != "base")
                unseen = (unlike and started) or (kind == "malignant" and (unlike or row == "base"))
                cells.append(cell if unseen else f"[{cell}]")
            lines.append([f"{ROWS[row]}{title}", *cells])
    return grid(["row", *kinds], lines)


def _statement(study: dict[str, Any]) -> str:
    """A study's state, its kind where one is named, and its probabilities."""
    kind = "" if study["kind"] == "undetermined" else f" {CLASS_ABBREVIATIONS[study['kind']]}"
    return f"{study['state']}{kind} ({', '.join(f'{value:.2f}' for value in study['probabilities'])})"


def _area(area: dict[str, Any]) -> str:
    return f"{area['value']:.3f} [{area['interval'][0]:.3f}, {area['interval'][1]:.3f}]"


def _area_and_folds(area: dict[str, Any]) -> tuple[str, str]:
    return _area(area), ", ".join(f"{value:.3f}" for value in area["folds"])


def _cell(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
