"""Bad identity: of patient, study, series, image, and of what the images are."""

from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from tests.bad_input.case import BadInput, Make, beside, every, on, reads, refused, rejected, series
from tests.bad_input.series import CHEST, ROOT, Chest, set_raw, write_all

ALL, ONE, HALF = range(24), {12}, range(12)
LONG_UID = ROOT + ".1" * 40
TRAVERSAL = "../../../../tmp/escaped"


def split_series(folder: Path) -> None:
    """One series sent as two, half of the slices each."""
    write_all(folder, CHEST.images(on(HALF, SeriesInstanceUID="1.2.3.1")))


def shared_series_uid(folder: Path) -> None:
    """Two studies whose series have one and the same UID; each is whole."""
    for number in range(2):
        write_all(folder / f"{number}", Chest(study=f"1.2.3.{number}").images(every(PatientID=f"PLANTED-{number}")))


def padded_numbers(image: Dataset, index: int) -> None:
    """Every second image pads the patient's ID with a space, which means nothing (PS3.5 6.2)."""
    set_raw(image, "PatientID", "PLANTED-ID" + " " * (index % 2))


def each_and_tilted(image: Dataset, index: int) -> None:
    """Images that no longer say they lie in one room, and do not lie one behind the other."""
    image.FrameOfReferenceUID = f"1.2.3.{index}"
    x, y, z = image.ImagePositionPatient
    image.ImagePositionPatient = [x, y + index, z]


def uids(pattern: str) -> Make:
    """Other UIDs for study, series and images, all made from one pattern."""
    values = {
        "StudyInstanceUID": pattern.format("1"),
        "SeriesInstanceUID": pattern.format("2"),
        "SOPInstanceUID": lambda index: pattern.format(f"3.{index}"),
    }
    return series(every(**values))


def nameless(folder: Path) -> None:
    """A name whose bytes its character set doesn't have."""
    for path in series(every(SpecificCharacterSet="ISO_IR 192"))(folder):
        path.write_bytes(path.read_bytes().replace(b"Planted^Patient", b"Pl\xffnted^\xfe\xa5tient"))


# fmt: off
CASES = tuple(
    BadInput("identity", name, make, expected)
    for name, make, expected in (
        ("no Study Instance UID", series(every(StudyInstanceUID=None)), rejected("no Study Instance UID")),
        ("an empty Series Instance UID", series(every(SeriesInstanceUID="")), rejected("no Series Instance UID")),
        ("no Series Instance UID in one image", series(on(ONE, SeriesInstanceUID=None)), refused("GAP")),
        ("no Study Instance UID in one image", series(on(ONE, StudyInstanceUID=None)), refused("GAP")),
        ("no SOP Instance UID in one image", series(on(ONE, SOPInstanceUID=None)), refused("GAP")),
        ("no SOP Instance UID at all", series(every(SOPInstanceUID=None)), rejected("no SOP Instance UID")),
        ("no UID at all", series(every(StudyInstanceUID=None, SeriesInstanceUID=None, SOPInstanceUID=None)),
         rejected("no readable Study and Series")),
        ("one SOP Instance UID for all images", series(every(SOPInstanceUID="1.2.3")),
         refused("SHARED_SOP_INSTANCE_UID")),
        ("one SOP Instance UID for two images", series(on({3, 4}, SOPInstanceUID="1.2.3")),
         refused("SHARED_SOP_INSTANCE_UID")),
        ("UIDs of letters", uids("groundglass.{}"), reads()),
        ("UIDs with leading zeros", uids("1.02.003.{}"), reads()),
        ("UIDs of a hundred characters", uids(LONG_UID + ".{}"), reads()),
        ("UIDs of many kilobytes", uids("1.2." + "3" * 5000 + ".{}"), reads()),
        ("UIDs that are paths", uids(TRAVERSAL + "/{}"), reads()),
        ("UIDs that are absolute paths", uids("/etc/passwd{}"), reads()),
        ("UIDs with a null byte inside", uids("1.2.\0{}"), reads()),
        ("UIDs with line breaks", uids("1.2\r\n.{}"), reads()),
        ("UIDs of shell commands", uids("1.2;$(reboot).{}"), reads()),
        ("UIDs with markup", uids("<script>{}</script>"), reads()),
        ("a UID of several values", series(every(StudyInstanceUID=["1.2", "1.3"])), rejected("or several")),
        ("a SOP Instance UID of several values", series(on(ONE, SOPInstanceUID=["1.2", "1.3"])), refused("GAP")),
        ("UIDs with spaces behind", uids("1.2.3.{}  "), reads()),
        ("two patients", series(on(HALF, PatientID="PLANTED-OTHER")), refused("MIXED_PATIENTS")),
        ("the patient's ID missing in some images", series(on(HALF, PatientID="")), refused("MIXED_PATIENTS")),
        ("the patient's ID missing in all images", series(every(PatientID=None)), reads()),
        ("the patient's ID padded in some images", series(padded_numbers), reads()),
        ("a patient's ID of ten thousand characters", series(every(PatientID="PLANTED" * 1500)), reads()),
        ("a patient's name of a megabyte", series(on(ONE, PatientName="P" * 2**20)), reads()),
        ("a name in bytes that are no text", nameless, reads()),
        ("a character set that does not exist", series(every(SpecificCharacterSet="ISO_IR 999")), reads()),
        ("the character set of another language", series(every(SpecificCharacterSet="ISO_IR 13")), reads()),
        ("dates that are no dates", series(every(StudyDate="31/12/99", PatientBirthDate="unknown", StudyTime="noon")),
         reads()),
        ("an age, a weight and a sex that are none", series(every(PatientAge="old", PatientWeight="heavy",
                                                                  PatientSex="unknown")), reads()),
        ("control characters in descriptions", series(every(StudyDescription="a\x1b[2Jb\0c", SeriesDescription="\x07")),
         reads()),
        ("one series sent as two halves", split_series, rejected("12 slices")),
        ("one series UID in two studies", shared_series_uid, reads(CHEST.truth, CHEST.truth)),
        ("two frames of reference", series(on(HALF, FrameOfReferenceUID="1.2.3.9")), refused("FRAME_OF_REFERENCE")),
        ("a frame of reference of its own for each image", series(every(FrameOfReferenceUID="1.2.3.{}".format)),
         reads(said="one even stack")),
        ("a frame of reference of its own for each image, one of them missing", series(
            every(FrameOfReferenceUID="1.2.3.{}".format), skip={12}), refused("GAP")),
        ("a frame of reference of its own for each image, and a tilted gantry", series(
            each_and_tilted, chest=Chest((24, 96, 32), (6, 1, 7))), refused("FRAME_OF_REFERENCE")),
        ("two frames of reference in two images, and none in the others", series(
            every(FrameOfReferenceUID=lambda index: f"1.2.3.{index}" if index < 2 else None)),
         refused("FRAME_OF_REFERENCE")),
        ("a frame of reference of its own for every second image, and none in the others", series(
            every(FrameOfReferenceUID=lambda index: f"1.2.3.{index}" if index % 2 else None)),
         reads(said="12 images that have one")),
        ("no frame of reference", series(every(FrameOfReferenceUID=None)), reads()),
        ("an MR series", series(every(Modality="MR")), rejected("modality is MR")),
        ("no modality", series(every(Modality=None)), rejected("modality")),
        ("a modality that is no code", series(every(Modality="planted modality\n")), rejected("not readable")),
        ("one image of another modality", series(on(ONE, Modality="PT")), rejected("PT")),
        ("secondary captures of a CT", series(every(SOPClassUID=SecondaryCaptureImageStorage)), rejected("SOP class")),
        ("no SOP class", series(every(SOPClassUID=None)), rejected("SOP class")),
        ("a SOP class that does not exist", series(every(SOPClassUID="1.2.3.4")), rejected("SOP class")),
        ("instance numbers against the order of the slices", series(every(InstanceNumber=lambda index: 99 - index)),
         reads()),
        ("one instance number for all", series(every(InstanceNumber=7)), reads()),
        ("no instance numbers", series(every(InstanceNumber=None)), reads()),
        ("instance numbers that are no numbers", series(every(InstanceNumber="first")), reads()),
        ("the whole study twice, once under other UIDs",
         beside(series(), series(chest=Chest(study="1.2.3.1", series="1.2.3.2"))), reads(CHEST.truth, CHEST.truth)),
    )
)
# fmt: on

__all__ = ["CASES"]
