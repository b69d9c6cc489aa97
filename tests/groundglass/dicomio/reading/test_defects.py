"""Headers that break the standard: what is wrong is named without the value, and every output is valid all the same."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pydicom
import pytest
from pydicom import Dataset
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from groundglass.dicomio.reading.defects import Defect, find_defects
from groundglass.dicomio.reading.scan import scan_folder
from groundglass.dicomio.writing.analysed_series import AnalysedSeries
from groundglass.dicomio.writing.files import write_dicom
from groundglass.dicomio.writing.key_images import make_key_images
from groundglass.dicomio.writing.parametric_map import make_saliency_map
from groundglass.dicomio.writing.presentation_state import make_presentation_state
from groundglass.dicomio.writing.report import make_refusal_report, make_report
from groundglass.dicomio.writing.segmentation import make_segmentation
from groundglass.dicomio.writing.summary import draw_summary, make_summary
from tests.groundglass.dicomio import ct_samples
from tests.groundglass.dicomio.outputs_fixture import SOFTWARE, dciodvfy_errors, make_case

REQUIRED = {
    "PatientName": "Doe^Jane", "PatientBirthDate": "19500101", "AccessionNumber": "", "ReferringPhysicianName": "",
}  # fmt: skip


def put_raw(header: Dataset, keyword: str, value: bytes, representation: str | None = None) -> None:
    """An attribute as it comes out of a file, whatever is in it."""
    tag = Tag(tag_for_keyword(keyword))
    value += b" " * (len(value) % 2)
    raw = RawDataElement(tag, representation or dictionary_VR(tag), len(value), value, 0, False, True)
    header._dict[tag] = raw


def broken(change: Callable[[Dataset], object]) -> AnalysedSeries:
    case = make_case()
    for source in case.sources:
        for keyword, value in REQUIRED.items():
            setattr(source, keyword, value)
        change(source)
    return case


def written_outputs(case: AnalysedSeries, folder: Path) -> list[pydicom.Dataset]:
    """Everything that is written of a case, read back; each must have passed dciodvfy."""
    segmentation = make_segmentation(case)
    made = [
        segmentation,
        make_report(case, [segmentation]),
        make_refusal_report(case.sources, SOFTWARE, "GAP", "One slice is missing."),
        *make_key_images(case, [2]),
        make_summary(case, draw_summary(case, [2]), [2]),
        make_presentation_state(case),
        make_saliency_map(case),
    ]
    outputs = []
    for number, output in enumerate(made):
        path = folder / f"{number}.dcm"
        write_dicom(output, path)
        assert dciodvfy_errors(path) == [], output.SOPClassUID.name
        outputs.append(pydicom.dcmread(path))
    return outputs


def holds(output: pydicom.Dataset, keyword: str) -> bool:
    """Whether an attribute tells anything: a name with nothing between its carets is nobody's."""
    return bool(output.get(keyword)) and str(output[keyword].value).strip("^") != ""


NOT_REPEATED = [  # attribute, value, and what is said of it
    ("PatientID", b"X" * 70, "is longer than LO allows (64 characters)"),
    ("PatientID", b"SECRET\\OTHER", "has 2 values, not 1"),
    ("PatientName", b"N" * 80, "is longer than PN allows (64 characters)"),
    ("PatientName", b"A^B^C^D^E^F", "has more parts than a person name"),
    ("PatientName", "Müller".encode("latin-1"), "holds characters that its character set doesn't have"),
    ("PatientBirthDate", b"1950-13-45", "is not a date YYYYMMDD"),
    ("PatientSex", b"female", "is not capital letters, digits, spaces and underscores"),
    ("PatientSex", b"FEMALE", "is none of M, F, O"),
    ("PatientAge", b"about 50", "is not an age like 045Y"),
    ("PatientWeight", b"heavy", "is not a decimal number"),
    ("AccessionNumber", b"A" * 30, "is longer than SH allows (16 characters)"),
    ("StudyID", b"1" * 17, "is longer than SH allows (16 characters)"),
    ("StudyDate", b"last Tuesday", "is not a date YYYYMMDD"),
    ("StudyDate", b"20200231", "is not a date YYYYMMDD"),
    ("StudyDate", b"20200101-20200201", "is not a date YYYYMMDD"),
    ("StudyTime", b"10:11:12", "is not a time HHMMSS"),
    ("StudyDescription", b"D" * 65, "is longer than LO allows (64 characters)"),
    ("StudyDescription", b"Thorax\nnative", "holds control characters"),
]


def at_once() -> Iterator[dict[str, tuple[bytes, str]]]:
    """NOT_REPEATED as headers with as many wrong attributes as can be wrong together."""
    rounds: list[dict[str, tuple[bytes, str]]] = []
    for keyword, value, problem in NOT_REPEATED:
        free = next((wrong for wrong in rounds if keyword not in wrong), None)
        if free is None:
            rounds.append(free := {})
        free[keyword] = (value, problem)
    yield from rounds


@pytest.mark.parametrize("wrong", list(at_once()), ids=lambda wrong: ",".join(wrong))
def test_invalid_values_are_named_and_neither_repeated_nor_shortened(
    wrong: dict[str, tuple[bytes, str]], tmp_path: Path
) -> None:
    def change(source: Dataset) -> None:
        for keyword, (value, _) in wrong.items():
            put_raw(source, keyword, value)

    case = broken(change)
    assert {Defect(keyword, problem) for keyword, (_, problem) in wrong.items()} <= set(find_defects(case.sources))
    for output in written_outputs(case, tmp_path):
        assert [keyword for keyword in wrong if holds(output, keyword)] == []
        assert output.StudyInstanceUID == "1.2.3"


@pytest.mark.parametrize(
    ("charset", "encoding", "name"),
    [
        ("ISO_IR 100", "latin-1", "Müller^Jörg"),
        ("ISO_IR 192", "utf-8", "Wang^XiaoDong=王^小东"),
        ("GB18030", "gb18030", "Wang^XiaoDong=王^小东"),
        ("\\ISO 2022 IR 149", "euc_kr", None),
    ],
)
def test_multi_byte_names_are_taken_over_exactly(charset: str, encoding: str, name: str, tmp_path: Path) -> None:
    # Korean with escape sequences is the example of PS3.5 I.2.
    korean = b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf"
    value = korean if name is None else name.encode(encoding)

    def change(source: Dataset) -> None:
        put_raw(source, "SpecificCharacterSet", charset.encode())
        put_raw(source, "PatientName", value)

    case = broken(change)
    assert find_defects(case.sources) == ()
    for output in written_outputs(case, tmp_path):
        assert output.PatientName == case.sources[0].PatientName
        assert output.PatientName.original_string.strip() == value.strip()


def test_lengths_are_counted_in_characters() -> None:
    """PS3.5 6.2; the dciodvfy of Debian 12 counts bytes, so it is not asked here."""

    def change(source: Dataset) -> None:
        source.SpecificCharacterSet = "ISO_IR 192"
        source.PatientID = "東" * 64

    case = broken(change)
    assert find_defects(case.sources) == ()
    assert make_segmentation(case).PatientID == "東" * 64


def test_text_in_an_unknown_character_set_is_named_and_only_its_ascii_is_repeated(tmp_path: Path) -> None:
    def change(source: Dataset) -> None:
        put_raw(source, "SpecificCharacterSet", b"KLINGON")
        put_raw(source, "PatientName", "Müller".encode())

    case = broken(change)
    assert set(find_defects(case.sources)) == {
        Defect("SpecificCharacterSet", "is no character set of the standard"),
        Defect("PatientName", "holds characters that its character set doesn't have"),
    }
    for output in written_outputs(case, tmp_path):
        assert "SpecificCharacterSet" not in output
        assert (output.PatientID, holds(output, "PatientName")) == ("P-1", False)


def test_a_wrong_value_representation_is_named_and_set_right(tmp_path: Path) -> None:
    case = broken(lambda source: put_raw(source, "PatientID", b"P-1", "SH"))
    assert find_defects(case.sources) == (Defect("PatientID", "has the value representation SH, not LO"),)
    assert {(output["PatientID"].VR, output.PatientID) for output in written_outputs(case, tmp_path)} == {("LO", "P-1")}


def test_missing_attributes_are_named_and_written_empty(tmp_path: Path) -> None:
    missing = ("PatientID", "PatientName", "PatientBirthDate", "StudyDate", "StudyTime", "StudyID", "AccessionNumber")

    def change(source: Dataset) -> None:
        for keyword in (*missing, "FrameOfReferenceUID"):
            delattr(source, keyword)

    case = broken(change)
    defects = {Defect(keyword, "is missing") for keyword in (*missing, "FrameOfReferenceUID")}
    assert set(find_defects(case.sources)) == defects
    for output in written_outputs(case, tmp_path):
        assert all(keyword in output and not holds(output, keyword) for keyword in missing)


def test_a_source_with_nothing_but_what_is_required_is_enough(tmp_path: Path) -> None:
    optional = ("PatientSex", "StudyDescription", "SliceThickness", "SeriesNumber", "InstanceNumber", "Manufacturer")

    def change(source: Dataset) -> None:
        for keyword in optional:
            delattr(source, keyword)
        source.PatientSex = ""

    case = broken(change)
    assert find_defects(case.sources) == ()
    assert "PatientOrientation" not in case.sources[0]
    assert written_outputs(case, tmp_path)


def test_private_attributes_are_neither_judged_nor_repeated(tmp_path: Path) -> None:
    def change(source: Dataset) -> None:
        source.private_block(0x0011, "SECRET VENDOR", create=True).add_new(1, "DA", "not a date")
        source.private_block(0x0009, "X" * 70, create=True).add_new(1, "LO", "Y" * 90)

    case = broken(change)
    assert find_defects(case.sources) == ()
    for output in written_outputs(case, tmp_path):
        assert not [element for element in output if element.tag.is_private]


def test_a_defect_inside_a_sequence_is_named_with_its_place(tmp_path: Path) -> None:
    def change(source: Dataset) -> None:
        item = Dataset()
        put_raw(item, "PatientID", b"Z" * 65)
        item.TypeOfPatientID = "TEXT"
        source.OtherPatientIDsSequence = [item]
        code = Dataset()
        code.CodeValue, code.CodingSchemeDesignator = "CT", "99LOCAL"
        source.ProcedureCodeSequence = [code]

    case = broken(change)
    assert set(find_defects(case.sources)) == {
        Defect("OtherPatientIDsSequence.PatientID", "is longer than LO allows (64 characters)"),
        Defect("ProcedureCodeSequence", "has an item without code value or meaning"),
    }
    for output in written_outputs(case, tmp_path):
        assert "OtherPatientIDsSequence" not in output
        assert "ProcedureCodeSequence" not in output


def test_geometry_with_more_digits_than_allowed_is_written_with_fewer(tmp_path: Path) -> None:
    case = broken(lambda source: put_raw(source, "PixelSpacing", b"1.2500000000000000001\\1.5000000000000000001"))
    assert find_defects(case.sources) == (Defect("PixelSpacing", "is longer than DS allows (16 characters)"),)
    assert written_outputs(case, tmp_path)


def test_a_defect_of_some_images_says_of_how_many(tmp_path: Path) -> None:
    case = broken(lambda source: None)
    for source in case.sources[:3]:
        put_raw(source, "KVP", b"many")
    assert find_defects(case.sources) == (Defect("KVP", "is not a decimal number (in 3 of 8 images)"),)


@pytest.mark.parametrize(("keyword", "value", "problem"), NOT_REPEATED)
def test_a_defect_is_named_and_never_quotes_the_header(keyword: str, value: bytes, problem: str) -> None:
    case = broken(lambda source: put_raw(source, keyword, value))
    defects = find_defects(case.sources)
    assert Defect(keyword, problem) in defects
    told = " ".join(f"{defect.attribute} {defect.problem}" for defect in defects)
    assert value.decode("latin-1").strip() not in told


def test_headers_of_files_are_judged_without_reading_their_pixels(tmp_path: Path) -> None:
    def edit(image: Dataset, index: int) -> None:
        image.StudyDate = image.StudyTime = image.StudyID = image.AccessionNumber = ""
        image.PatientBirthDate = image.PatientSex = image.ReferringPhysicianName = ""

    images = ct_samples.make_series(ct_samples.Sample(slices=4, rows=64, columns=64), edit)
    ct_samples.write_series(tmp_path, images)
    (series,) = scan_folder(tmp_path).series
    assert find_defects(series.instances) == ()
    pixels = [header.get_item("PixelData", keep_deferred=True) for header in series.instances]
    assert all(element.value is None for element in pixels)  # still in the file


@pytest.mark.parametrize(
    ("offset", "is_wrong"),
    [("+0100", False), ("-1200", False), ("", False), ("0100", True), ("+1500", True), ("CET", True)],
)
def test_a_time_zone_that_there_is_not_is_named(offset: str, is_wrong: bool) -> None:
    case = broken(lambda source: setattr(source, "TimezoneOffsetFromUTC", offset))
    named = Defect("TimezoneOffsetFromUTC", "is no time zone like +0100")
    assert find_defects(case.sources) == ((named,) if is_wrong else ())
