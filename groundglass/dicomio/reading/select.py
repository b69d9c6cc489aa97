"""Which series of a study is analysed: what makes a series eligible, and which of the eligible ones is best."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage

from groundglass.dicomio.reading.attributes import quiet_pydicom, text
from groundglass.dicomio.reading.checked_series import CheckedSeries, check_series
from groundglass.dicomio.reading.frames import MULTI_FRAME_CT, is_multi_frame_ct, take_apart
from groundglass.dicomio.reading.measures import measures
from groundglass.dicomio.reading.regular_grid import LARGEST_TILT_DEGREES
from groundglass.dicomio.reading.rule_language import NamedSelection, unmet_conditions
from groundglass.dicomio.reading.scan import Series
from groundglass.domain.arrays import Coordinates
from groundglass.domain.errors import Refusal


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


_CHEST_WORDS = (
    "CHEST", "THORA", "LUNG", "TORA", "TORSO", "TRUNK", "BODY", "POUMON", "POLMON", "PULM", "BRUST",
)  # fmt: skip
_OTHER_PARTS = (
    "HEAD", "BRAIN", "SKULL", "CRANI", "FACE", "SINUS", "NECK", "ABDO", "PELVI", "SPINE", "LUMBAR", "SACRUM",
    "SHOULDER", "ELBOW", "WRIST", "FINGER", "KNEE", "ANKLE", "FEMUR", "THIGH", "TIBIA", "EXTREMITY", "LIVER", "KIDNEY",
    "PANCREAS", "BLADDER", "COLON", "KOPF", "SCHAEDEL", "HALS", "BECKEN", "KNIE",
)  # fmt: skip
_OTHER_PARTS_EXACT = ("ABD", "ARM", "CALF", "EAR", "EYE", "FOOT", "HAND", "HIP", "IAC", "JAW", "LEG", "ORBIT", "TOE")
"""Too short to be looked for inside other words: HEART has an EAR."""

_PROJECTIONS = frozenset({"MIP", "MINIP", "MAXIP", "AIP", "PROJECTION", "VRT", "SSD", "3D"})
"""Words of ImageType that mark images whose pixels are not single slices."""


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
    reasons += _image_type_reasons(images)
    body_parts = {text(image, "BodyPartExamined").upper() for image in images} - {""}
    if body_parts and all(_is_other_part(part) for part in body_parts):
        reasons.append(f"The body part examined is {_code_strings(body_parts)}, not the chest.")

    slices = len(images) + series.damaged + series.absent
    if slices < rules.minimum_slices:
        reasons.append(f"The series has {slices} slices; at least {rules.minimum_slices} are needed.")
    depths_mm, angle_degrees = _stacking(images)
    if angle_degrees > rules.maximum_angle_degrees:
        reasons.append(
            f"The slices are up to {angle_degrees:.0f} degrees off the axial plane; "
            f"at most {rules.maximum_angle_degrees:g} are accepted."
        )
        return reasons  # distances along the normal of one slice mean nothing for the others
    spacing_mm, extent_mm = _spacing_and_extent_mm(depths_mm)
    if 0 < extent_mm < rules.minimum_extent_mm:
        reasons.append(f"The series covers {extent_mm:.0f} mm; at least {rules.minimum_extent_mm:g} mm are needed.")
    thickness_mm = max(map(_thickness_mm, images), default=0.0)
    if max(spacing_mm, thickness_mm) > rules.maximum_spacing_mm:
        reasons.append(
            f"Slices are {spacing_mm:.1f} mm apart and {thickness_mm:.1f} mm thick; "
            f"at most {rules.maximum_spacing_mm:g} mm are accepted."
        )
    return reasons


def choose_series(study_series: Sequence[Series], rules: SelectionRules) -> Selection:
    """The best eligible series of one study, the frames of a multi-frame image each as an image of its own.

    The first of these that differs decides:
    1. sound headers and complete files, before slices to be placed on a regular grid, before what would be refused;
    2. original images, before derived ones such as reformatted slices;
    3. slices 0.5 to 1.5 mm apart and thick, then up to 3 mm, then under 0.5 mm apart (noise, and twice the time), then
       up to 5 mm, then the rest;
    4. a lung or standard kernel, before a bone or edge kernel;
    5. no contrast agent, before the phases with one;
    6. more slices;
    7. more extent, by whole millimetres;
    8. the Series Instance UID that sorts first, so that the choice never depends on the order of the files.

    Where every eligible series would be refused the best of them is still chosen: its refusal is the study's result.
    Where the site asks for selections, the first of them that an eligible series meets decides which series compete.
    """
    with quiet_pydicom():
        study_series = [
            replace(series, instances=take_apart(series.instances))
            if any(map(is_multi_frame_ct, series.instances))
            else series
            for series in study_series
        ]
    reasons = {id(series): judge_series(series, rules) for series in study_series}
    eligible = [series for series in study_series if not reasons[id(series)]]
    name = Selection.name
    if rules.selections:
        name, eligible = _asked_for(eligible, rules.selections, reasons)
    checked = map(check_series, eligible)
    ranked = sorted(((_preference(item), item.series.series_instance_uid, item) for item in checked), key=_rank)
    for preference, _, other in ranked[1:]:
        reasons[id(other.series)] = _why_not(ranked[0][0], preference)
    rejected = tuple(
        Rejection(series.series_instance_uid, tuple(reasons[id(series)]))
        for series in study_series
        if reasons[id(series)]
    )
    return Selection(ranked[0][2] if ranked else None, rejected, name)


def _rank(item: tuple[list[tuple[int, str]], str, CheckedSeries]) -> tuple[list[int], str]:
    return [rank for rank, _ in item[0]], item[1]


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


def _image_type_reasons(images: Sequence[Dataset]) -> list[str]:
    """Reasons from ImageType (PS3.3 C.8.2.1.1.1)."""
    localizers = secondary = projections = 0
    for image in images:
        values = text(image, "ImageType").upper().split("\\")
        localizers += "LOCALIZER" in values
        secondary += values[:2] == ["DERIVED", "SECONDARY"]
        projections += bool(_PROJECTIONS & set(re.split(r"[^A-Z0-9]+", " ".join(values))))
    found = [
        (localizers, "localizers"),
        (secondary, "derived secondary images, not slices of the scanner"),
        (projections, "projections through several slices"),
    ]
    return [f"{count} of {len(images)} images are {what}." for count, what in found if count]


def _is_other_part(body_part: str) -> bool:
    """Whether a body part is clearly not the chest: compound names that hold the chest, and unknown names, are not."""
    if any(word in body_part for word in _CHEST_WORDS):
        return False
    return any(word in body_part for word in _OTHER_PARTS) or body_part in _OTHER_PARTS_EXACT


def _stacking(images: Sequence[Dataset]) -> tuple[Coordinates, float]:
    """Sorted depths of the slices along their normal, in mm, and the largest angle from the axial plane in degrees.

    Images without readable geometry are passed over here; `geometry.check_geometry` refuses them.
    """
    geometry = [(measures(i, "ImageOrientationPatient", 6), measures(i, "ImagePositionPatient", 3)) for i in images]
    readable = [(cosines, position) for cosines, position in geometry if cosines is not None and position is not None]
    if not readable:
        return np.empty(0), 0.0
    cosines = np.array([item[0] for item in readable])
    normals = np.cross(cosines[:, :3], cosines[:, 3:])
    lengths = np.linalg.norm(normals, axis=1)
    is_valid = lengths > 0.5
    if not is_valid.any():
        return np.empty(0), 0.0
    normals = normals[is_valid] / lengths[is_valid, None]
    angles = np.degrees(np.arccos(np.clip(np.abs(normals[:, 2]), 0, 1)))
    positions_mm = np.array([item[1] for item in readable])[is_valid]
    depths_mm = positions_mm @ normals[0]
    way_mm = positions_mm[depths_mm.argmax()] - positions_mm[depths_mm.argmin()]
    length_mm = np.linalg.norm(way_mm)
    if length_mm > 0 and abs(way_mm @ normals[0]) / length_mm > np.cos(np.radians(LARGEST_TILT_DEGREES)):
        # Slices of a tilted gantry follow one another along the table, whichever way they look.
        angles = np.minimum(angles, np.degrees(np.arccos(min(abs(way_mm[2]) / length_mm, 1.0))))
    return np.sort(depths_mm), float(angles.max())


def _thickness_mm(image: Dataset) -> float:
    """Zero where the header doesn't say."""
    found = measures(image, "SliceThickness", 1)
    return found[0] if found else 0.0


def _spacing_and_extent_mm(depths_mm: Coordinates) -> tuple[float, float]:
    """Usual distance of neighbouring slices, and distance of the outermost; zeros where there are less than two."""
    steps_mm = np.diff(depths_mm)
    steps_mm = steps_mm[steps_mm > 0.05]
    if not steps_mm.size:
        return 0.0, 0.0
    return float(np.median(steps_mm)), float(depths_mm[-1] - depths_mm[0])


@quiet_pydicom()
def _preference(checked: CheckedSeries) -> list[tuple[int, str]]:
    """How a series ranks by each criterion of `choose_series`, lowest first, and what to call it."""
    series, outcome = checked.series, checked.outcome
    if isinstance(outcome, Refusal):
        soundness, told = 2, f"would be refused ({outcome.code})"
    elif outcome.placement is not None:
        soundness, told = 1, "has slices to be placed on a regular grid"
    else:
        soundness, told = 0, "is one volume"
    spacing_mm, extent_mm = _spacing_and_extent_mm(_stacking(series.instances)[0])
    first, slices = series.instances[0], len(series.instances)
    is_derived = text(first, "ImageType").upper().startswith("DERIVED")
    thickness_mm = _thickness_mm(first)
    is_sharp, has_contrast = _has_bone_kernel(first), bool(text(first, "ContrastBolusAgent"))
    return [
        (soundness, told),
        (int(is_derived), "has derived images" if is_derived else "has original images"),
        (
            _spacing_rank(spacing_mm, thickness_mm),
            f"has {spacing_mm:.2f} mm between slices {thickness_mm:.2f} mm thick",
        ),
        (1 if is_sharp else 0, "has a bone or edge kernel" if is_sharp else "has a lung or standard kernel"),
        (int(has_contrast), "has a contrast agent" if has_contrast else "has no contrast agent"),
        (-slices, f"has {slices} slices"),
        (-round(extent_mm), f"covers {extent_mm:.0f} mm"),
    ]


def _spacing_rank(spacing_mm: float, thickness_mm: float) -> int:
    if spacing_mm < 0.5 and thickness_mm <= 1.5:
        return 2
    largest_mm = max(spacing_mm, thickness_mm)
    return 0 if largest_mm <= 1.5 else 1 if largest_mm <= 3.0 else 3 if largest_mm <= 5.0 else 4


def _has_bone_kernel(image: Dataset) -> bool:
    """Whether the kernel is made for bone, by the names of the vendors.

    GE says BONE, BONEPLUS or EDGE; Siemens B75 or higher, whatever the letters; Canon FC30 to FC39 and FC80 to FC89.
    """
    kernel = text(image, "ConvolutionKernel").upper()
    if "BONE" in kernel or "EDGE" in kernel or re.match(r"FC[38]\d", kernel):
        return True
    siemens = re.match(r"[A-Z]{1,2}(\d\d)[A-Z]?(\\|$)", kernel)
    return siemens is not None and int(siemens[1]) >= 75


def _why_not(best: list[tuple[int, str]], other: list[tuple[int, str]]) -> list[str]:
    """All in which the chosen series is better, what decided first."""
    reasons = [
        f"Another series of the study was preferred: it {best_text}, this one {other_text}."
        for (best_rank, best_text), (other_rank, other_text) in zip(best, other, strict=True)
        if best_rank < other_rank
    ]
    equal = "Another series of the study was preferred: the two are equal, and its Series Instance UID sorts first."
    return reasons or [equal]
