"""Headers that the volume accepts never fail an output: hours of computing would be lost."""

import datetime
import time
from collections.abc import Callable, Iterator

import pytest
from pydicom import DataElement, config
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from groundglass.dicomio.reading.defects import find_defects
from groundglass.dicomio.writing.analysed_series import AnalysedSeries
from groundglass.dicomio.writing.key_images import make_key_images
from groundglass.dicomio.writing.presentation_state import make_presentation_state
from groundglass.dicomio.writing.report import make_refusal_report, make_report
from groundglass.dicomio.writing.segmentation import make_segmentation
from groundglass.dicomio.writing.summary import draw_summary, make_summary, make_summary_pdf
from tests.groundglass.dicomio.outputs_fixture import SOFTWARE, make_case

FRAME = "1.2.3.5"


def outputs(case: AnalysedSeries) -> dict[str, Dataset]:
    find_defects(case.sources)
    segmentation = make_segmentation(case)
    return {
        "seg": segmentation,
        "sr": make_report(case, [segmentation]),
        "summary": make_summary(case, draw_summary(case, [2, 5]), [2, 5]),
        "summary-pdf": make_summary_pdf(case, [2, 5]),
        "key-image": make_key_images(case, [2])[0],
        "boxes": make_presentation_state(case),
        "refusal": make_refusal_report(case.sources, SOFTWARE, "GAP", "Slices are missing."),
    }


def without(keyword: str, *indices: int) -> Callable[[list[Dataset]], None]:
    def spoil(sources: list[Dataset]) -> None:
        for index in indices:
            delattr(sources[index], keyword)

    return spoil


def other(keyword: str, representation: str, value: object) -> Callable[[list[Dataset]], None]:
    def spoil(sources: list[Dataset]) -> None:
        for source in sources:
            element = DataElement(Tag(keyword), representation, value, validation_mode=config.IGNORE)
            source[Tag(keyword)] = element

    return spoil


@pytest.mark.parametrize(
    "spoil",
    [
        without("FrameOfReferenceUID", 5),
        without("FrameOfReferenceUID", 0),
        without("SamplesPerPixel", *range(8)),
        other("SamplesPerPixel", "LO", "none"),
        other("InstanceNumber", "UT", "first"),
        other("StudyInstanceUID", "PN", "1.2.3"),
        other("SeriesInstanceUID", "UT", "1.2.3.4"),
    ],
)
def test_every_output_is_made_and_refers_to_the_one_frame_of_reference(
    spoil: Callable[[list[Dataset]], None],
) -> None:
    case = make_case()
    spoil(case.sources)
    made = outputs(case)
    assert made["seg"].FrameOfReferenceUID == FRAME
    assert {item.StudyInstanceUID for item in made.values()} == {"1.2.3"}
    assert all(item["StudyInstanceUID"].VR == "UI" for item in made.values())


def test_a_frame_of_reference_of_several_values_is_replaced_by_one() -> None:
    case = make_case()
    other("FrameOfReferenceUID", "UI", "1.2\\1.3")(case.sources)
    assert str(outputs(case)["seg"].FrameOfReferenceUID).startswith("2.25.")


def utc_now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)


@pytest.fixture
def machine_in_new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as changed:
        changed.setenv("TZ", "EST5")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("machine_in_new_york")
@pytest.mark.parametrize(
    ("offset", "zone", "hours"),
    [
        ("+0530", "+0530", 5.5),
        ("-1200", "-1200", -12),
        ("+1400", "+1400", 14),
        ("", None, -5),
        *((wrong, None, -5) for wrong in ("+05:30", "-0000", "-1230", "+1430", "+0560", "CET")),
    ],
)
def test_times_are_in_the_time_zone_of_the_source_or_else_of_the_machine(
    offset: str, zone: str | None, hours: float
) -> None:
    before = utc_now()
    case = make_case()
    for source in case.sources:
        source.TimezoneOffsetFromUTC = offset
    made = outputs(case)
    after = utc_now()
    for name, output in made.items():
        assert output.get("TimezoneOffsetFromUTC") == zone, name
        kinds = ("Series", "InstanceCreation", "PresentationCreation" if name == "boxes" else "Content")
        times = [f"{output[f'{kind}Date'].value}{output[f'{kind}Time'].value}" for kind in kinds]
        equipment = output.get("ContributingEquipmentSequence", ())
        times += [str(item.ContributionDateTime) for item in equipment if "ContributionDateTime" in item]
        assert len(times) == (3 if name in ("summary", "summary-pdf", "key-image") else 4), name
        for told in (datetime.datetime.strptime(written, "%Y%m%d%H%M%S.%f") for written in times):
            assert before <= told - datetime.timedelta(hours=hours) <= after, name
