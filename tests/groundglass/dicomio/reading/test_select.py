"""The one series of a study that is analysed, and why the others are not."""

from dataclasses import replace

import numpy as np
import pytest
from pydicom.dataset import Dataset

from groundglass.dicomio.reading.rule_language import parse_rules
from groundglass.dicomio.reading.scan import Series
from groundglass.dicomio.reading.select import Selection, SelectionRules, choose_series, judge_series
from groundglass.domain.errors import Refusal
from groundglass.presets import SHIPPED
from tests.groundglass.dicomio.ct_samples import SERIES, STUDY, Edit, Sample, make_series

RULES = SHIPPED.selection
CHEST = Sample()
SMALL = {"rows": 4, "columns": 4}


def series(
    sample: Sample = CHEST,
    edit: Edit | None = None,
    skip: tuple[int, ...] = (),
    damaged: int = 0,
    **attributes: object,
) -> Series:
    def change(image: Dataset, index: int) -> None:
        for keyword, content in attributes.items():
            setattr(image, keyword, content)
        if edit is not None:
            edit(image, index)

    return Series(sample.study, sample.series, tuple(make_series(sample, change, skip)), damaged)


def numbered(suffix: int, slices: int = 150, spacing_mm: float = 1.0, **options: object) -> Series:
    sample = Sample(slices=slices, spacing_mm=(spacing_mm, 7, 7), series=f"{SERIES}.{suffix}", **SMALL)
    return series(sample, **options)


def chosen(*candidates: Series) -> Series | None:
    """The choice, which must be the same in whatever order the candidates come."""
    found = chosen_series(choose_series(candidates, RULES))
    assert chosen_series(choose_series(candidates[::-1], RULES)) is found
    return found


def chosen_series(selection: Selection) -> Series | None:
    return selection.chosen.series if selection.chosen else None


def test_a_chest_ct_is_eligible() -> None:
    assert judge_series(series(), RULES) == []


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"Modality": "MR"}, "modality is MR, not CT"),
        ({"Modality": ""}, "not CT"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "not CT Image Storage"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "30 of 30 images are localizers"),
        ({"ImageType": ["DERIVED", "SECONDARY", "AXIAL"]}, "derived secondary"),
        ({"ImageType": ["DERIVED", "PRIMARY", "AXIAL", "CT_SOM5 MIP"]}, "projections"),
        ({"ImageType": ["DERIVED", "PRIMARY", "MIP"]}, "projections"),
        ({"SliceThickness": 12}, "12.0 mm thick"),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}, "90 degrees off the axial plane"),
    ],
)
def test_what_is_no_chest_ct_is_rejected_with_the_reason(attributes: dict[str, object], reason: str) -> None:
    found = judge_series(series(**attributes), RULES)
    assert len(found) == 1
    assert reason in found[0]


def oblique(degrees: float, is_gantry: bool) -> Edit:
    """Slices of a tilted gantry follow one another along the table, reformatted ones along their normal."""
    sine, cosine = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))

    def edit(image: Dataset, index: int) -> None:
        image.ImageOrientationPatient = [1, 0, 0, 0, round(cosine, 6), round(-sine, 6)]
        step = (0, 0, -5) if is_gantry else (0, -5 * sine, -5 * cosine)
        image.ImagePositionPatient = [round(float(index * length), 4) for length in step]

    return edit


@pytest.mark.parametrize(
    ("degrees", "is_gantry", "told"), [(20, False, "20 degrees off"), (20, True, ""), (35, True, "35 degrees off")]
)
def test_a_tilted_gantry_is_eligible_and_oblique_slices_are_not(degrees: float, is_gantry: bool, told: str) -> None:
    found = judge_series(series(edit=oblique(degrees, is_gantry)), RULES)
    assert len(found) == bool(told)
    assert told in "".join(found)


@pytest.mark.parametrize(
    "image_type",
    [
        ["DERIVED", "PRIMARY", "AXIAL"],
        ["ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM5 SPI"],
        ["DERIVED", "PRIMARY", "MPR"],
        "",
    ],
)
def test_original_and_derived_primary_slices_are_eligible(image_type: list[str] | str) -> None:
    assert judge_series(series(ImageType=image_type), RULES) == []


@pytest.mark.parametrize(
    "body_part",
    [
        "",
        "CHEST",
        "THORAX",
        "LUNG",
        "CHESTABDPELVIS",
        "CHEST_TO_PELVIS",
        "HEADNECKCHEST",
        "WHOLEBODY",
        "HEART",
        "Thorax",
        "OTHER",
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_body_parts_that_may_show_the_chest_are_eligible(body_part: str) -> None:
    assert judge_series(series(BodyPartExamined=body_part), RULES) == []


@pytest.mark.parametrize(
    "body_part", ["ABDOMEN", "ABDOMENPELVIS", "PELVIS", "LSPINE", "NECK", "LIVER", "HEADNECK", "ABD"]
)
def test_a_part_beside_the_chest_rejects_nothing_since_scans_of_the_trunk_are_called_so(body_part: str) -> None:
    assert judge_series(series(BodyPartExamined=body_part), RULES) == []


def test_a_description_that_names_the_chest_outweighs_the_body_part() -> None:
    assert judge_series(series(BodyPartExamined="HEAD", SeriesDescription="Thorax 1.0 Br36"), RULES) == []


@pytest.mark.parametrize("body_part", ["HEAD", "BRAIN", "KNEE", "LEG"])
def test_body_parts_far_from_the_chest_are_rejected(body_part: str) -> None:
    assert judge_series(series(BodyPartExamined=body_part), RULES) == [
        f"The body part examined is {body_part}, not the chest."
    ]


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_a_header_value_that_is_no_code_is_not_repeated() -> None:
    found = judge_series(series(Modality="Doe^John", BodyPartExamined="head of Mr Doe"), RULES)
    assert len(found) == 2
    assert "Doe" not in " ".join(found)


def test_all_reasons_are_given() -> None:
    sample = Sample(slices=5, spacing_mm=(12.0, 7, 7))
    found = judge_series(series(sample, BodyPartExamined="HEAD"), RULES)
    assert [text.split(" ")[-1] for text in found] == ["chest.", "needed.", "needed.", "accepted."]
    assert "5 slices; at least 20" in found[1]
    assert "48 mm; at least 120 mm" in found[2]
    assert "12.0 mm apart" in found[3]


def test_the_rules_decide() -> None:
    lenient = SelectionRules(minimum_slices=3, minimum_extent_mm=10, maximum_spacing_mm=20, maximum_angle_degrees=90)
    assert judge_series(series(Sample(slices=5, spacing_mm=(12.0, 7, 7))), lenient) == []
    assert judge_series(series(ImageOrientationPatient=[1, 0, 0, 0, 0, -1]), lenient) == []


def test_damaged_files_do_not_make_a_chest_ct_ineligible() -> None:
    assert judge_series(series(skip=tuple(range(5, 25)), damaged=20), RULES) == []
    assert judge_series(Series(STUDY, SERIES, (), 4), RULES) == ["None of the 4 files of the series is complete."]


@pytest.mark.parametrize("keyword", ["ImagePositionPatient", "ImageOrientationPatient", "SliceThickness"])
def test_missing_geometry_is_no_reason_for_rejection_but_for_refusal(keyword: str) -> None:
    def drop(image: Dataset, index: int) -> None:
        delattr(image, keyword)

    assert judge_series(series(edit=drop), RULES) == []


def test_thin_slices_are_preferred() -> None:
    thin, thick = numbered(2, 150, 1.0), numbered(1, 30, 5.0)
    assert chosen(thin, thick) is thin


def test_slices_under_half_a_millimetre_are_not_preferred() -> None:
    too_thin, thin, thick = numbered(1, 400, 0.4), numbered(2, 150, 1.0), numbered(3, 30, 5.0)
    assert chosen(too_thin, thin) is thin
    assert chosen(too_thin, thick) is too_thin


@pytest.mark.parametrize("kernel", ["BONEPLUS", "EDGE", "B80s", ["Br84f", "3"], "FC30", "FC81"])
def test_a_bone_kernel_comes_after_the_others(kernel: str | list[str]) -> None:
    bone = numbered(1, 32, 5.0, ConvolutionKernel=kernel)
    for other in ("LUNG", "STANDARD", "B70f", "D40s", "FC51", ["Bl57d", "3"], ""):
        standard = numbered(2, 30, 5.0, ConvolutionKernel=other)
        assert chosen(bone, standard) is standard, other


def test_more_slices_then_more_extent_then_the_uid_decide() -> None:
    assert chosen(numbered(1, 150, 1.1), dense := numbered(2, 160, 1.0)) is dense
    assert chosen(numbered(1, 150, 1.0), wide := numbered(2, 150, 1.05)) is wide
    assert chosen(first := numbered(1), numbered(2)) is first


def test_a_sound_series_is_preferred_to_one_that_would_be_refused() -> None:
    sound = numbered(2, 30, 5.0)
    gap, cut = numbered(1, skip=(70,)), numbered(3, skip=(149,), damaged=1)
    selection = choose_series([gap, sound, cut], RULES)
    assert chosen_series(selection) is sound
    assert "would be refused (GAP)" in selection.rejected[0].reasons[0]
    assert "would be refused (DAMAGED_FILES)" in selection.rejected[1].reasons[0]


def test_a_study_with_only_a_refusable_series_still_chooses_it() -> None:
    assert chosen(gap := numbered(1, skip=(70,))) is gap


def test_the_choice_brings_the_geometry_that_was_checked_or_the_refusal() -> None:
    selection = choose_series([numbered(2, 30, 5.0), numbered(1, skip=(70,))], RULES)
    assert selection.chosen is not None
    assert selection.chosen.grid.shape == (30, 4, 4)
    refused = choose_series([numbered(1, skip=(70,))], RULES).chosen
    assert refused is not None
    with pytest.raises(Refusal, match="GAP"):
        _ = refused.grid


def test_every_series_that_is_not_chosen_has_a_reason() -> None:
    thin, thick, head = numbered(1), numbered(2, 30, 5.0), numbered(3, BodyPartExamined="HEAD")
    selection = choose_series([thick, thin, head], RULES)
    assert chosen_series(selection) is thin
    assert [item.series_instance_uid for item in selection.rejected] == [f"{SERIES}.2", f"{SERIES}.3"]
    assert selection.rejected[0].reasons == (
        "Another series of the study was preferred: "
        "it has 1.00 mm between slices 1.00 mm thick, this one has 5.00 mm between slices 5.00 mm thick.",
        "Another series of the study was preferred: it has 150 slices, this one has 30 slices.",
        "Another series of the study was preferred: it covers 149 mm, this one covers 145 mm.",
    )
    assert selection.rejected[1].reasons == ("The body part examined is HEAD, not the chest.",)


def test_a_study_without_an_eligible_series_has_no_choice() -> None:
    assert choose_series([], RULES) == Selection(None, ())
    selection = choose_series([numbered(1, 5)], RULES)
    assert selection.chosen is None
    assert len(selection.rejected[0].reasons) == 2


def test_original_slices_are_preferred_to_derived_ones_and_no_contrast_to_its_phases() -> None:
    derived = numbered(1, ImageType=["DERIVED", "PRIMARY", "MPR"])
    contrast, plain = numbered(2, ContrastBolusAgent="IODINE"), numbered(3)
    assert chosen(derived, contrast, plain) is plain
    assert chosen(derived, contrast) is contrast
    (reason,) = choose_series([contrast, plain], RULES).rejected[0].reasons
    assert reason.endswith("it names no contrast agent, this one names a contrast agent.")


def test_thick_slices_at_thin_distances_are_not_thin() -> None:
    thin, thick = numbered(2, SliceThickness=1), numbered(1, SliceThickness=5)
    assert chosen(thin, thick) is thin


def site_rules(*selections: dict[str, object]) -> SelectionRules:
    named = [{"name": f"wish {number}", "conditions": wish} for number, wish in enumerate(selections, start=1)]
    return replace(SHIPPED.selection, selections=parse_rules({"selections": named}))


def test_the_first_selection_of_the_site_that_a_series_meets_decides() -> None:
    lung, soft = numbered(2, ConvolutionKernel="LUNG"), numbered(1, ConvolutionKernel="STANDARD")
    selection = choose_series([lung, soft], site_rules({"ConvolutionKernel": "EDGE"}, {"ConvolutionKernel": "LUNG"}))
    assert (chosen_series(selection), selection.name) == (lung, "wish 2")
    assert selection.rejected[0].reasons == (
        "The selection 'wish 1' asks for another ConvolutionKernel.",
        "The selection 'wish 2' asks for another ConvolutionKernel.",
    )


def test_a_selection_of_the_site_does_not_make_a_series_eligible() -> None:
    selection = choose_series([numbered(1, Modality="MR")], site_rules({"Modality": "MR"}))
    assert selection.chosen is None
    assert "modality is MR" in selection.rejected[0].reasons[0]


def test_no_series_is_analysed_where_none_is_asked_for() -> None:
    selection = choose_series([numbered(1)], site_rules({"StudyDescription": "Trial"}))
    assert selection.chosen is None
    assert selection.rejected[0].reasons == ("The selection 'wish 1' asks for another StudyDescription.",)
