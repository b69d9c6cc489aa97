"""Of the series of a study that which shows the whole lungs comes first, then that which shows them best."""

from dataclasses import replace

import pytest

from groundglass.dicomio.reading.checked_series import check_series
from groundglass.dicomio.reading.preference import in_order_of_preference
from groundglass.dicomio.reading.scan import Series
from tests.groundglass.dicomio.ct_samples import SERIES, Sample, make_series

WIDE_MM = 90.0
"""Of a pixel, so that four of them are as wide as a chest."""


def series(name: str, slices: int = 60, step_mm: float = 5.0, pixel_mm: float = WIDE_MM, **values: object) -> Series:
    """A series of 300 mm by 360 mm, unless something else is asked for."""
    sample = Sample(slices, 4, 4, (step_mm, pixel_mm, pixel_mm), series=f"{SERIES}.{ord(name)}")

    def change(image: object, index: int) -> None:
        for keyword, content in values.items():
            setattr(image, keyword, content)

    return Series(sample.study, sample.series, tuple(make_series(sample, change)))


def best(*candidates: Series) -> Series:
    found = in_order_of_preference([check_series(each) for each in candidates])[0]
    assert in_order_of_preference([check_series(each) for each in candidates[::-1]])[0].checked.series is (
        found.checked.series
    )
    return found.checked.series


@pytest.mark.parametrize(
    "cut",
    [
        series("a", slices=88, step_mm=1.5),
        series("a", slices=200, step_mm=1.0),
        series("a", slices=280, step_mm=1.0, pixel_mm=43),
        series("a", slices=280, step_mm=1.0, pixel_mm=60),
    ],
    ids=["131 mm", "199 mm", "a heart", "one lung"],
)
def test_thin_slices_of_a_part_come_after_thick_ones_of_the_whole(cut: Series) -> None:
    assert best(cut, whole := series("b")) is whole


def test_what_reaches_beyond_the_lungs_is_no_advantage() -> None:
    trunk, chest = series("a", slices=140, pixel_mm=125), series("b", slices=281, step_mm=1.0, pixel_mm=85)
    assert best(trunk, chest) is chest


def test_where_all_are_cut_the_one_that_shows_most_comes_first() -> None:
    assert best(series("a", slices=131, step_mm=1.0), larger := series("b", slices=40)) is larger


@pytest.mark.parametrize(
    "values",
    [
        {"SeriesDescription": "Abdomen 1.0 Br40"},
        {"SeriesDescription": "LIVER portal"},
        {"BodyPartExamined": "ABDOMEN"},
        {"SeriesDescription": "Thorax EXP 1.0"},
        {"SeriesDescription": "Lunge Exspiration"},
        {"SeriesDescription": "CHEST EXPIRATORY"},
        {"KVP": "80"},
        {"SeriesDescription": "Mono 40 keV"},
        {"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL", "VMI"]},
    ],
    ids=str,
)
def test_what_tags_say_against_a_thinner_series_puts_it_behind(values: dict[str, object]) -> None:
    assert best(series("a", slices=281, step_mm=1.0, **values), other := series("b")) is other


@pytest.mark.parametrize(
    "values",
    [
        {"SeriesDescription": "Thorax Abdomen 1.0", "BodyPartExamined": "ABDOMEN"},
        {"SeriesDescription": "Surface 1.0"},
        {"SeriesDescription": "Thorax INSP/EXP 1.0"},
        {"ProtocolName": "Thorax insp exp"},
        {"SeriesDescription": "expert review"},
        {"SeriesDescription": "Respiratory gated 50%"},
        {"KVP": "100"},
        {"KVP": ""},
        {"ContrastBolusAgent": "NONE"},
    ],
    ids=str,
)
def test_what_says_nothing_against_it_leaves_it_in_front(values: dict[str, object]) -> None:
    assert best(thin := series("b", slices=281, step_mm=1.0, **values), series("a")) is thin


@pytest.mark.parametrize(
    "agent",
    [
        "NONE",
        "none.",
        "No",
        "W/O CONTRAST",
        "Without",
        "ohne KM",
        "nativ",
        "N/A",
        "-",
        "0",
        "0 ml",
        "IV: none",
        "not given",
        "N.A.",
    ],
)
def test_words_for_no_contrast_agent_are_none(agent: str) -> None:
    plain, contrast = series("b", ContrastBolusAgent=agent), series("a", ContrastBolusAgent="OMNIPAQUE 300")
    assert best(plain, contrast) is plain


@pytest.mark.parametrize("agent", ["NONIONIC", "Iopamidol", "APPLIED", "NORMAL SALINE"])
def test_other_words_are_an_agent(agent: str) -> None:
    assert best(series("a", ContrastBolusAgent=agent), plain := series("b")) is plain


def test_the_acquisition_that_would_be_analysed_is_what_counts() -> None:
    """A whole chest beside a series of a short acquisition that was repeated."""
    once, whole = series("a", slices=131, step_mm=1.0), series("b")
    again = replace(once, instances=(*once.instances, *make_series(Sample(131, 4, 4, (1.0, 90, 90), series="1.2.3"))))
    assert best(again, whole) is whole


def test_reasons_hold_where_headers_say_nothing() -> None:
    """No kernel is no standard one, no thickness not 0.00 mm, no voltage not a high one."""
    bare = {"ConvolutionKernel": "", "SliceThickness": None, "KVP": None, "ImageType": None}
    worse = {"ConvolutionKernel": "BONE", "SliceThickness": None, "KVP": "80", "ImageType": ["DERIVED", "PRIMARY"]}
    ranked = in_order_of_preference(
        [check_series(series("a", **worse)), check_series(series("b", slices=120, step_mm=2.5, **bare))]
    )
    assert ranked[0].why_not(ranked[1]) == [
        f"Another series of the study was preferred: it {own}, this one {other}."
        for own, other in (
            ("names no voltage below 100 kV", "was made at 80 kV"),
            ("isn't said to have derived images", "has derived images"),
            (
                "has 2.50 mm between slices of unknown thickness",
                "has 5.00 mm between slices of unknown thickness",
            ),
            ("names no bone or edge kernel", "has a bone or edge kernel"),
            ("has 120 slices", "has 60 slices"),
            ("covers 298 mm", "covers 295 mm"),
        )
    ]


def test_a_size_that_headers_do_not_tell_is_not_told_as_zero() -> None:
    nowhere = series("a", PixelSpacing=None)
    ranked = in_order_of_preference([check_series(nowhere), check_series(series("b"))])
    assert "this one has images of unknown width over 295 mm." in " ".join(ranked[0].why_not(ranked[1]))
