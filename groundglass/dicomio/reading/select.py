"""Which series of a study is analysed: what makes a series eligible, and which of the eligible ones is best."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pydicom.uid import CTImageStorage

from groundglass.dicomio.reading.attributes import number, quiet_pydicom, text
from groundglass.dicomio.reading.body_part import parts_elsewhere
from groundglass.dicomio.reading.checked_series import CheckedSeries, check_series
from groundglass.dicomio.reading.derived_images import derived_reasons
from groundglass.dicomio.reading.frames import MULTI_FRAME_CT, is_multi_frame_ct, take_apart
from groundglass.dicomio.reading.preference import in_order_of_preference
from groundglass.dicomio.reading.rule_language import NamedSelection, unmet_conditions
from groundglass.dicomio.reading.scan import Series
from groundglass.dicomio.reading.stacking import spacing_and_extent_mm, stacking, thickness_mm
from groundglass.dicomio.reading.strays import without_strays


@dataclass(frozen=True)
class SelectionRules:
    """What an eligible series must have.

    Attributes:
        minimum_slices: fewer are a localizer, a biopsy control or a fragment.
        minimum_extent_mm: from the first to the last slice; less cannot hold the lungs of an adult.
        maximum_spacing_mm: of neighbouring slices, and of their thickness; lungs are not measured through more.
        maximum_angle_degrees: between the normal of the slices and the patient's long axis; of the direction in which
            they follow one another where the gantry was tilted.
        selections: what the site asks for besides; nothing where there are none.
    """

    minimum_slices: int
    minimum_extent_mm: float
    maximum_spacing_mm: float
    maximum_angle_degrees: float = 15.0
    selections: tuple[NamedSelection, ...] = ()


@dataclass(frozen=True)
class Rejection:
    """A series that is not analysed, and every reason why."""

    series_instance_uid: str
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Selection:
    """The series of a study that is analysed, if any is eligible, and all the others."""

    chosen: CheckedSeries | None
    rejected: tuple[Rejection, ...]
    name: str = "chest CT"
    """Of the site's selection that was met."""
    others: tuple[CheckedSeries, ...] = ()
    """The other eligible series, best first; they are among the rejected too."""


@quiet_pydicom()
def judge_series(series: Series, rules: SelectionRules) -> list[str]:
    """Every reason why a series is not eligible, as sentences without patient data; empty where it is eligible.

    An eligible series may still be refused (`checked_series.check_series`, `volume.read_grid`): this asks whether the
    series is meant to be a chest CT, not whether it is sound. What a header does not say is no reason against it.
    """
    images = series.instances
    if not images:
        return [f"None of the {series.damaged} files of the series is complete."]
    reasons = []
    for level, uid in (("Study", series.study_instance_uid), ("Series", series.series_instance_uid)):
        if not uid:
            reasons.append(
                f"{len(images)} images have no {level} Instance UID, or several, so no archive could file their "
                "results. Export them again from their source."
            )

    modalities = {text(image, "Modality") for image in images}
    if modalities != {"CT"}:
        reasons.append(f"The modality is {_code_strings(modalities)}, not CT.")
    sop_classes = {text(image, "SOPClassUID") for image in images}
    if not sop_classes <= {CTImageStorage, *MULTI_FRAME_CT}:
        reasons.append("The SOP class is not CT Image Storage, nor Enhanced or Legacy Converted Enhanced CT.")
    reasons += derived_reasons(images)
    body_parts = parts_elsewhere(images)
    if body_parts:
        reasons.append(f"The body part examined is {_code_strings(body_parts)}, not the chest.")

    slices = len(images) + series.damaged + series.absent
    if slices < rules.minimum_slices:
        have_frames = any((number(image, "NumberOfFrames") or 1) > 1 for image in images)
        as_one = ", each image with several frames counted as one since its SOP class has none" if have_frames else ""
        counted = "one slice" if slices == 1 else f"{slices} slices"
        reasons.append(f"The series has {counted}{as_one}; at least {rules.minimum_slices} are needed.")
    depths_mm, angle_degrees = stacking(images)
    if angle_degrees > rules.maximum_angle_degrees:
        reasons.append(
            f"The slices are up to {angle_degrees:.0f} degrees off the axial plane; "
            f"at most {rules.maximum_angle_degrees:g} are accepted."
        )
        return reasons  # distances along the normal of one slice mean nothing for the others
    spacing_mm, extent_mm = spacing_and_extent_mm(depths_mm)
    if 0 < extent_mm < rules.minimum_extent_mm:
        reasons.append(f"The series covers {extent_mm:.0f} mm; at least {rules.minimum_extent_mm:g} mm are needed.")
    thickest_mm = max(map(thickness_mm, images), default=0.0)
    if max(spacing_mm, thickest_mm) > rules.maximum_spacing_mm:
        found = [f"{spacing_mm:.1f} mm apart"] * (spacing_mm > 0) + [f"{thickest_mm:.1f} mm thick"] * (thickest_mm > 0)
        reasons.append(f"Slices are {' and '.join(found)}; at most {rules.maximum_spacing_mm:g} mm are accepted.")
    return reasons


def choose_series(study_series: Sequence[Series], rules: SelectionRules) -> Selection:
    """The best eligible series of one study, the frames of a multi-frame image each as an image of its own.

    `preference.in_order_of_preference` has what decides. What headers can't tell, whether the lungs are whole, is seen
    once they are found: `Selection.others` are taken instead then (`run.Run.segment`).

    Where every eligible series would be refused the best of them is still chosen: its refusal is the study's result.
    Where the site asks for selections, the first of them that an eligible series meets decides which series compete.
    """
    with quiet_pydicom():
        study_series = [
            without_strays(
                replace(series, instances=take_apart(series.instances))
                if any(map(is_multi_frame_ct, series.instances))
                else series
            )
            for series in study_series
        ]
    reasons = {id(series): judge_series(series, rules) for series in study_series}
    eligible = [series for series in study_series if not reasons[id(series)]]
    name = Selection.name
    if rules.selections:
        name, eligible = _asked_for(eligible, rules.selections, reasons)
    ranked = in_order_of_preference([check_series(series) for series in eligible])
    for other in ranked[1:]:
        reasons[id(other.checked.series)] = ranked[0].why_not(other)
    rejected = tuple(
        Rejection(series.series_instance_uid, tuple(reasons[id(series)]))
        for series in study_series
        if reasons[id(series)]
    )
    in_order = tuple(item.checked for item in ranked)
    return Selection(in_order[0] if in_order else None, rejected, name, in_order[1:])


@quiet_pydicom()
def _asked_for(
    eligible: Sequence[Series], selections: Sequence[NamedSelection], reasons: dict[int, list[str]]
) -> tuple[str, list[Series]]:
    """The series that meet the first selection which any of them meets; the others get their reasons."""
    unmet = {
        id(series): [unmet_conditions(selection, series.instances[0]) for selection in selections]
        for series in eligible
    }
    met = [number for number in range(len(selections)) if any(not unmet[id(series)][number] for series in eligible)]
    first = met[0] if met else None
    for series in eligible:
        own = unmet[id(series)]
        if first is None or own[first]:
            reasons[id(series)] = [
                f"The selection '{selection.name}' asks for another {' and '.join(keywords)}."
                for selection, keywords in zip(selections, own, strict=True)
                if keywords
            ]
    kept = [] if first is None else [series for series in eligible if not unmet[id(series)][first]]
    return Selection.name if first is None else selections[first].name, kept


def _code_strings(values: set[str]) -> str:
    """Values for a reason; a value that is no code string (PS3.5 6.2) might be anything, so it is not repeated."""
    valid = [item if re.fullmatch(r"[A-Z0-9_ ]{1,16}", item) else "not readable" for item in values]
    return " and ".join(sorted(set(valid)))
