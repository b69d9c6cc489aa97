"""Bad choices: studies in which the chest CT is not there, not alone, or only one of several."""

from collections.abc import Container
from dataclasses import replace
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    BasicTextSRStorage,
    EnhancedCTImageStorage,
    EnhancedSRStorage,
    RTStructureSetStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
    XRayRadiationDoseSRStorage,
)

from tests.bad_input.case import BadInput, Expected, Make, beside, every, on, reads, refused, rejected, series
from tests.bad_input.series import CHEST, Chest, Edit, write, write_all

THIN = Chest((100, 24, 32), (1.5, 9, 7), series="1.2.3.10")
WHOLE = Chest((60, 24, 32), (5, 15, 12), series="1.2.3.12")
"""As high and as wide as lungs need."""
BASES = Chest((131, 24, 32), (1, 15, 12), series="1.2.3.11")
HEART = Chest((200, 24, 32), (1.2, 6, 5), series="1.2.3.11")
FINE = Chest((120, 24, 32), (2.5, 15, 12), series="1.2.3.11")
THICK = Chest((30, 24, 32), (5, 9, 7), series="1.2.3.11")


def other(number: int, chest: Chest = CHEST, skip: object = (), **values: object) -> Make:
    """Another series of the same study."""
    return series(every(**values), chest=replace(chest, series=f"1.2.3.2{number}"), skip=skip)  # type: ignore[arg-type]


def of_another_study(number: int, skip: object = ()) -> Make:
    """A series of another study."""
    chest = replace(CHEST, study=f"1.2.3.3{number}", series=f"1.2.3.3{number}.1")
    return series(chest=chest, skip=skip)  # type: ignore[arg-type]


def without_pixels(sop_class: str, modality: str) -> Make:
    """An object that is no image."""

    def make(folder: Path) -> None:
        image = CHEST.image(0)
        for keyword in ("PixelData", "Rows", "Columns", "ImagePositionPatient", "PixelSpacing"):
            delattr(image, keyword)
        image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = UID(sop_class)
        image.Modality, image.SeriesInstanceUID, image.SOPInstanceUID = modality, "1.2.3.41", "1.2.3.41.1"
        image.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3.41.1")
        write(image, folder / "object.dcm")

    return make


def mapped(unit: str) -> Edit:
    """Real World Value Mapping to a unit of UCUM."""

    def edit(image: Dataset, index: int) -> None:
        code, mapping = Dataset(), Dataset()
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = unit, "UCUM", "a unit"
        mapping.MeasurementUnitsCodeSequence = [code]
        image.RealWorldValueMappingSequence = [mapping]

    return edit


def in_series(*strays: Edit, skip: Container[int] = (), edit: Edit | None = None) -> Make:
    """Other objects under the UID of the chest's series; each is a slice of it, and then is changed."""

    def make(folder: Path) -> None:
        write_all(folder / "slices", CHEST.images(edit, [index for index in range(24) if index in skip]))
        for number, change in enumerate(strays):
            image = CHEST.image(0)
            image.SOPInstanceUID = UID(f"1.2.3.55.{number}")
            change(image, number)
            image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
            image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
            write(image, folder / f"stray{number}.dcm")

    return make


def localizer(image: Dataset, index: int) -> None:
    """A scout, with a matrix of its own."""
    image.ImageType, image.ImageOrientationPatient = ["ORIGINAL", "PRIMARY", "LOCALIZER"], [1, 0, 0, 0, 0, -1]
    image.Rows, image.PixelData = 12, image.PixelData[: len(image.PixelData) // 2]


def enhanced_scout(image: Dataset, index: int) -> None:
    """A scout that has none of the attributes of its SOP class."""
    localizer(image, index)
    image.SOPClassUID = EnhancedCTImageStorage


def of_another_patient(image: Dataset, index: int) -> None:
    """Another patient's scout."""
    localizer(image, index)
    image.PatientID = "PLANTED-OTHER"


def under_a_slices_uid(image: Dataset, index: int) -> None:
    """A scout that has the UID of a slice: results that refer to it would be ambiguous."""
    localizer(image, index)
    image.SOPInstanceUID = CHEST.image(3).SOPInstanceUID


def coronal(image: Dataset, index: int) -> None:
    """A reformatted image."""
    image.ImageOrientationPatient, image.ImageType = [1, 0, 0, 0, 0, -1], ["DERIVED", "PRIMARY", "MPR"]
    image.ImagePositionPatient = [-100, -50 + 5 * index, 52]


def page(image: Dataset, index: int) -> None:
    """A colour page of results, with no place in the patient."""
    coloured_page(image, index)
    image.SOPClassUID, image.ImageType = SecondaryCaptureImageStorage, ["DERIVED", "SECONDARY", "OTHER"]


def coloured_page(image: Dataset, index: int) -> None:
    """The same, under the SOP class of CT."""
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope"):
        delattr(image, keyword)
    image.SamplesPerPixel, image.PhotometricInterpretation, image.PlanarConfiguration = 3, "RGB", 0
    image.BitsAllocated, image.BitsStored, image.HighBit = 8, 8, 7
    image.PixelData = bytes(3 * image.Rows * image.Columns)


def grey_page(image: Dataset, index: int) -> None:
    """A page of results as a grey image of another size, with no place in the patient."""
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        delattr(image, keyword)
    smaller(image)


def axial_scout(image: Dataset, index: int) -> None:
    """A scout that claims the plane of the slices."""
    image.ImageType = ["ORIGINAL", "PRIMARY", "SCOUT"]
    smaller(image)


def watcher(image: Dataset, index: int) -> None:
    """One of the images that watch the contrast agent arrive, far below the slices."""
    image.ImagePositionPatient = [-100, -90, -400]
    smaller(image)


def smaller_slice(image: Dataset, index: int) -> None:
    """A slice with fewer rows, at the place of the thirteenth."""
    image.ImagePositionPatient = [-100, -90, 50 - 6 * 12]
    smaller(image)


def smaller(image: Dataset) -> None:
    """Half of the rows."""
    image.Rows, image.PixelData = 12, image.PixelData[: len(image.PixelData) // 2]


def contours(image: Dataset, index: int) -> None:
    """An RT Structure Set."""
    for keyword in ("PixelData", "Rows", "Columns", "ImagePositionPatient", "PixelSpacing"):
        delattr(image, keyword)
    image.SOPClassUID, image.Modality = RTStructureSetStorage, "RTSTRUCT"


def typed(*values: str) -> Make:
    """A series with another image type."""
    return series(every(ImageType=list(values)))


def scout(folder: Path) -> None:
    """Two localizers as a series."""

    def edit(image: Dataset, index: int) -> None:
        image.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
        image.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]

    write_all(folder, replace(CHEST, shape=(2, 24, 32), series="1.2.3.42").images(edit))


def one_of_two(code: str) -> Expected:
    """One study is read, the other refused."""
    return Expected(5, "partial", code, "", (CHEST.truth,))


# fmt: off
CASES = tuple(
    BadInput("selection", name, make, expected)
    for name, make, expected in (
        ("localizers alone", scout, rejected("localizers")),
        ("localizers and the chest", beside(scout, series()), reads(said="localizers")),
        ("a series of maximum projections", typed("DERIVED", "PRIMARY", "AXIAL", "MIP"), rejected("projections")),
        ("projections named with other words", typed("DERIVED", "PRIMARY", "CT_SOM7 MIP THICK"),
         rejected("projections")),
        *((f"projections by the word {word}", typed("DERIVED", "PRIMARY", "AXIAL", word), rejected("projections"))
          for word in ("MAX_IP", "MAXIMUM", "MIN_IP", "MINIMUM", "MEAN", "AVERAGE", "MinIP", "MIP10MM", "THICK MIP",
                       "3D", "MEDIAN", "TMIP", "SMIP")),
        ("a name of three-dimensional noise reduction", typed("ORIGINAL", "PRIMARY", "AXIAL", "AIDR 3D"), reads()),
        *((f"derived images described as {what}", series(every(
            ImageType=["DERIVED", "PRIMARY", "AXIAL"], SeriesDescription=what)), rejected(said))
          for what, said in (("MIP 10/5 ax", "projections"), ("MinIP Lung 5mm", "projections"),
                             ("Iodine 1.0 Qr40", "maps"), ("Perfusion CBF", "maps"),
                             ("Average 5mm", "projections"), ("Volume Rendering", "projections"),
                             ("sMIP 8/2", "projections"), ("Jodkarte", "maps"), ("Lung subtraction", "maps"),
                             ("CaSupp 25", "maps"), ("Contrast map", "maps"), ("HAP(Water)", "names a map"))),
        ("derived images described as a chest", series(every(
            ImageType=["DERIVED", "PRIMARY", "AXIAL"], SeriesDescription="CHEST MPR AX 2.0")), reads()),
        *((f"images calculated from a volume by {technique}", series(
            every(VolumeBasedCalculationTechnique=technique)), rejected("projections"))
          for technique in ("MAX_IP", "MIN_IP", "MEAN_IP", "VOLUME_RENDER", "CURVED_MPR")),
        ("images calculated from a volume by MPR", series(every(VolumeBasedCalculationTechnique="MPR")), reads()),
        *((f"maps by the word {word}", typed("DERIVED", "PRIMARY", "AXIAL", word), rejected("maps"))
          for word in ("IODINE", "MAT_SPECIFIC", "MAT_REMOVED", "EFF_ATOMIC_NUM", "Z_EFF", "ELECTRON_DENSITY", "VNC",
                       "CT_SOM7 DE IODINE", "WATER(IODINE)", "LIVERVNC", "SUBTRACTED",
                       "EFF_ATOMIC_NUMBER", "STD_DEVIATION", "DE_LungPBV", "PERFUSION")),
        *((f"a map by its description, {what}", series(every(SeriesDescription=what)), rejected("names a map"))
          for what in ("Iodine map 1.5", "Iodine Density[mg/ml]", "Z Effective", "LUNG PBV", "Water (Iodine)",
                       "DE_Iodine", "SpectralIodine", "Calcium(Water)", "MD Iodine", "Virtual Native", "Jod-Map",
                       "Calcium Suppression Index 50")),
        *((f"a chest described as {what}", series(every(SeriesDescription=what)), reads())
          for what in ("Score de calcium", "Vue axiale thorax", "Omnipaque 300 mg/ml", "THX 1.0 for MIP")),
        ("derived images described as Vue coronale", series(every(
            ImageType=["DERIVED", "PRIMARY", "AXIAL"], SeriesDescription="Vue coronale thorax")), reads()),
        ("values mapped to other units", series(mapped("mg/cm3")), rejected("other units")),
        ("values mapped to Hounsfield units", series(mapped("[hnsf'U]")), reads()),
        ("a description that names the contrast agent", series(every(SeriesDescription="CHEST W IODINE, FOR MIP")),
         reads()),
        ("virtual monoenergetic images", typed("DERIVED", "PRIMARY", "AXIAL", "VMI"), reads(said="monoenergetic")),
        *((f"monoenergetic images described as {what}", series(every(SeriesDescription=what)),
           reads(said="monoenergetic")) for what in ("MONO(70)", "Virtual mono 70", "Mono+ 55")),
        ("a derived secondary series", typed("DERIVED", "SECONDARY", "AXIAL"), rejected("derived secondary")),
        ("a reformatted series", typed("DERIVED", "PRIMARY", "MPR"), reads()),
        ("no image type", series(every(ImageType=None)), reads()),
        ("an image type of garbage", series(every(ImageType=["?", "\x07", ""])), reads()),
        ("nineteen slices", series(chest=Chest((19, 24, 32), (7, 9, 7))), rejected("19 slices")),
        ("exactly twenty slices", series(chest=Chest((20, 24, 32), (7, 9, 7))),
         reads(Chest((20, 24, 32), (7, 9, 7)).truth)),
        ("a single slice", series(skip=range(1, 24)), rejected("one slice")),
        ("slices that cover too little", series(chest=Chest(spacing_mm=(4, 9, 7))), rejected("92 mm")),
        ("a head", series(every(BodyPartExamined="HEAD")), rejected("HEAD")),
        ("a body part in other letters", series(every(BodyPartExamined="head")), rejected("HEAD")),
        ("a chest called a head, of a study of the chest", series(
            every(BodyPartExamined="HEAD", StudyDescription="CT Thorax Abdomen")), reads()),
        ("a head of a study of head and chest", series(
            every(BodyPartExamined="HEAD", StudyDescription="CT HEAD CHEST")), rejected("HEAD")),
        ("a trunk called abdomen", series(every(BodyPartExamined="ABDOMEN")), reads()),
        ("chest and abdomen", series(every(BodyPartExamined="CHEST_ABDOMEN")), reads()),
        ("no body part", series(every(BodyPartExamined=None)), reads()),
        ("a body part nobody knows", series(every(BodyPartExamined="XYZ\\ABC")), reads()),
        ("a body part that is a sentence", series(every(BodyPartExamined="planted head of the patient")),
         rejected("not readable")),
        ("a dose report beside the chest", beside(series(), without_pixels(XRayRadiationDoseSRStorage, "SR")),
         reads(said="modality is SR")),
        ("a text report alone", without_pixels(BasicTextSRStorage, "SR"), rejected("modality is SR")),
        ("a report that says it is CT", without_pixels(EnhancedSRStorage, "CT"), rejected("SOP class")),
        ("contours beside the chest", beside(series(), without_pixels(RTStructureSetStorage, "RTSTRUCT")),
         reads(said="RTSTRUCT")),
        ("contours in the series of the chest", in_series(contours), reads(said="no CT images")),
        ("a page of results in the series of the chest", in_series(page), reads(said="no CT images")),
        ("a page of results in colour that says it is CT", in_series(coloured_page), reads(said="left out")),
        ("three coronal images in the series of the chest", in_series(coronal, coronal, coronal),
         reads(said="3 of 27 objects of the series show another plane")),
        ("a scout, a page and contours in the series of the chest", in_series(localizer, page, contours),
         reads(said="1 of 27 objects of the series are localizers")),
        ("a page of results without colour that says it is CT", in_series(grey_page),
         reads(said="1 of 25 objects of the series have another matrix")),
        ("a derived page at the place of a slice", in_series(on({0}, ImageType=["DERIVED", "SECONDARY", "OTHER"])),
         reads(said="localizers, pages of results, projections or maps")),
        ("a projection at the place of a slice", in_series(on({0}, ImageType=["DERIVED", "PRIMARY", "AXIAL", "MIP"])),
         reads(said="localizers, pages of results, projections or maps")),
        ("a slice called a projection", series(on({12}, ImageType=["DERIVED", "PRIMARY", "AXIAL", "MIP"])),
         rejected("projections")),
        ("an axial scout, which a vendor's word tells", in_series(axial_scout), reads(said="are localizers")),
        ("an image of another matrix at a place of its own", in_series(watcher), reads(said="another matrix")),
        ("an image of another matrix where a slice is missing", in_series(smaller_slice, skip={12}),
         refused("MATRIX")),
        ("three samples said of a grey slice", series(on({12}, SamplesPerPixel=3)), refused("DAMAGED_FILES")),
        ("a scout in a series with a gap", in_series(localizer, skip={12}), refused("GAP")),
        ("a page of results in a series of two patients", in_series(
            page, edit=on(range(12), PatientID="PLANTED-OTHER")), refused("MIXED_PATIENTS")),
        ("a scout as an enhanced image without frames", in_series(enhanced_scout), reads(said="left out")),
        ("a scout of another patient in the series", in_series(of_another_patient), rejected("localizers")),
        ("a scout that bears the UID of a slice", in_series(under_a_slices_uid), rejected("localizers")),
        ("a slice called a scout", series(on({12}, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])),
         rejected("localizers")),
        ("the last slice called a scout", series(on({23}, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])),
         rejected("localizers")),
        ("the last slice of another SOP class", series(on({23}, SOPClassUID=SecondaryCaptureImageStorage)),
         rejected("SOP class")),
        ("a segmentation without its pixels", without_pixels(SegmentationStorage, "SEG"), rejected("")),
        ("PET beside the chest", beside(series(), other(1, Modality="PT")), reads(said="modality is PT")),
        ("thick slices before thin ones", beside(series(chest=THICK), series(chest=THIN)),
         reads(THIN.truth, said="preferred")),
        ("thin bases of the lungs, and a thick whole chest", beside(series(chest=BASES), series(chest=WHOLE)),
         reads(WHOLE.truth, said="preferred")),
        ("a thin heart, and a thick whole chest", beside(series(chest=HEART), series(chest=WHOLE)),
         reads(WHOLE.truth, said="preferred")),
        ("a thin expiration, and a thick inspiration", beside(
            series(every(SeriesDescription="EXPIRATION 1.0"), chest=FINE), series(chest=WHOLE)),
         reads(WHOLE.truth, said="expiration")),
        ("a thin series at 80 kV, and a thick one", beside(series(every(KVP=80), chest=FINE), series(chest=WHOLE)),
         reads(WHOLE.truth, said="80 kV")),
        ("a contrast agent that is none, before one", beside(
            other(1, ContrastBolusAgent="OMNIPAQUE"), other(2, ContrastBolusAgent="NONE")), reads(said="contrast")),
        ("a bone kernel before a standard one", beside(
            other(1, ConvolutionKernel="BONE"), other(2, ConvolutionKernel="STANDARD")), reads(said="preferred")),
        ("two series that are alike", beside(other(2), other(1)), reads(said="sorts first")),
        ("a broken series before a sound one", beside(other(1, skip={12}), other(2)), reads(said="GAP")),
        ("a thin series with a gap, and a sound thick one", beside(
            series(chest=THIN, skip={50}), series(chest=THICK)), reads(THICK.truth, said="GAP")),
        ("all series of the study broken", beside(other(1, skip={12}), other(2, skip={13})), refused("GAP")),
        ("ten series, one of them eligible", beside(
            *(other(number, Modality="MR") for number in range(9)), series()), reads(said="modality is MR")),
        ("two sound studies", beside(of_another_study(1), of_another_study(2)), reads(CHEST.truth, CHEST.truth)),
        ("a sound study and a broken one", beside(of_another_study(1), of_another_study(2, skip={12})),
         one_of_two("GAP")),
        ("a broken study and a sound one", beside(of_another_study(1, skip={12}), of_another_study(2)),
         one_of_two("GAP")),
        ("two broken studies", beside(of_another_study(1, skip={12}), of_another_study(2, skip={9})), refused("GAP")),
    )
)
# fmt: on

__all__ = ["CASES"]
