"""Bad geometry: slices that are missing, doubled, tilted, uneven or of several kinds, and what only looks bad."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import UID

from groundglass.domain.volume import CTVolume
from tests.bad_input.case import BadInput, Make, every, on, part, reads, refused, rejected, series
from tests.bad_input.series import CHEST, Chest, Edit, set_stored, write_all

ALL, ONE, HALF, EVEN = range(24), {12}, range(12), range(0, 24, 2)
SLICES = CHEST.shape[0]
NAN, INFINITE = "NaN", "1e999"


def moved(by_mm: tuple[float, float, float], indices: range | set[int] = ALL, each: bool = False) -> Edit:
    """Images lie elsewhere; `each`: the farther down, the more."""

    def edit(image: Dataset, index: int) -> None:
        if index in indices:
            shift = np.asarray(by_mm) * (index if each else 1)
            position_mm = np.array(image.ImagePositionPatient, float) + shift
            image.ImagePositionPatient = [round(float(x), 6) for x in position_mm]

    return edit


def jittered(by_mm: float) -> Edit:
    """Slices a little off their places, up and down by turns."""

    def edit(image: Dataset, index: int) -> None:
        moved((0, 0, by_mm if index % 2 else -by_mm))(image, index)

    return edit


def turned(degrees: float, axis: str = "x") -> Chest:
    """A series whose slices are turned about one of the patient's axes, stacked along their own normal."""
    angle = np.radians(degrees)
    c, s = round(float(np.cos(angle)), 9), round(float(np.sin(angle)), 9)
    return replace(CHEST, orientation=(1, 0, 0, 0, c, s) if axis == "x" else (c, s, 0, -s, c, 0))


def doubled(indices: range, *, acquisition: int = 2, same_pixels: bool = False, shift_mm: float = 0.0) -> Make:
    """Slices a second time under UIDs of their own, as when a scan is repeated."""

    def edit(image: Dataset, index: int) -> None:
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = UID(f"1.2.3.77.{index}")
        image.AcquisitionNumber = acquisition
        moved((0, 0, shift_mm))(image, index)
        if not same_pixels:
            set_stored(image, np.full(CHEST.shape[1:], 1000))

    def make(folder: Path) -> None:
        write_all(folder / "once", CHEST.images())
        write_all(folder / "again", CHEST.images(edit, [i for i in range(SLICES) if i not in indices]))

    return make


def acquisitions(*chests: Chest) -> Make:
    """Acquisitions in one series, each with its number."""

    def make(folder: Path) -> None:
        for number, chest in enumerate(chests, start=1):

            def edit(image: Dataset, index: int, number: int = number) -> None:
                image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = UID(f"1.2.3.{90 + number}.{index}")
                image.AcquisitionNumber = number

            write_all(folder / str(number), chest.images(edit))

    return make


WHOLE = Chest((48, 24, 32))
LIVER = Chest((40, 24, 32), origin_mm=(-100, -90, -130))
"""From within the lower part of WHOLE to below it."""
BETWEEN = replace(LIVER, origin_mm=(-100, -90, -132))
WHOLE_BETWEEN = replace(WHOLE, origin_mm=(-100, -90, 47.4))
UPPER, LOWER = Chest((30, 24, 32)), Chest((30, 24, 32), origin_mm=(-100, -90, -100))
LOWER_BETWEEN = replace(LOWER, origin_mm=(-100, -90, -103))


def with_scout(folder: Path) -> None:
    """The localizer under the UID of the series."""
    write_all(folder / "series", CHEST.images())
    scout = CHEST.image(0)
    scout.SOPInstanceUID = scout.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3.88")
    scout.ImageType, scout.ImageOrientationPatient = ["ORIGINAL", "PRIMARY", "LOCALIZER"], [1, 0, 0, 0, 0, -1]
    write_all(folder / "scout", [scout])


def geometry(**values: object) -> Make:
    """Attributes of all images."""
    return series(every(**values))


def stretched(image: Dataset, index: int) -> None:
    """From slice 16 on the distances are twice as long."""
    moved((0, 0, -6 * max(0, index - 15)))(image, index)


def below_zero(image: Dataset, index: int) -> None:
    """Rows and columns with a sign, both negative: their product is what it should be."""
    rows, columns = CHEST.shape[1:]
    image.add_new("Rows", "SS", -rows)
    image.add_new("Columns", "SS", -columns)


def set_upright() -> CTVolume:
    """A tilted series on a regular grid: each slice one row farther down, exactly, and no measurement around it."""
    hu = np.full((24, 96 + 23, 32), -1024, np.int16)
    for index, plane in enumerate(FINE.hu):
        hu[index, index : index + 96] = plane
    return replace(FINE.truth, hu=hu)


DENSE = Chest((60, 24, 32), (2.5, 9, 7))
FINE = Chest((24, 96, 32), (6, 1, 7))
UPRIGHT = set_upright()
ROUNDED = replace(CHEST, orientation=(1, 1e-4, 0, -1e-4, 1, 0))
JITTERED = replace(CHEST.truth, spacing_mm=(6 - 0.1 / 23, 9.0, 7.0), origin_mm=np.array([-100, -90, 49.95]))

# fmt: off
CASES = tuple(
    BadInput("geometry", name, make, expected)
    for name, make, expected in (
        ("a slice missing in the middle", series(skip={12}), refused("GAP")),
        ("the second slice missing", series(skip={1}), refused("GAP")),
        ("the last but one missing", series(skip={22}), refused("GAP")),
        ("three slices missing side by side", series(skip={10, 11, 12}), refused("GAP")),
        ("every third slice missing, of very many",
         series(skip=range(0, 60, 3), chest=DENSE), refused("GAP")),
        ("every second slice missing", series(skip=range(1, 60, 2), chest=DENSE),
         reads(replace(DENSE.truth, hu=DENSE.hu[::2], spacing_mm=(5, 9, 7)), said="29 numbers")),
        ("the upper slices never sent", series(skip={0, 1}), reads(part(CHEST.truth, slice(2, None)))),
        ("the lower slices never sent", series(skip={22, 23}), reads(part(CHEST.truth, slice(0, 22)))),
        ("files from feet to head", lambda folder: write_all(folder, CHEST.images()[::-1]), reads()),
        ("no position in one image", series(on(ONE, ImagePositionPatient=None)), refused("MISSING_GEOMETRY")),
        ("no position at all", geometry(ImagePositionPatient=None), refused("MISSING_GEOMETRY")),
        ("a position of two numbers", series(on(ONE, ImagePositionPatient=[1, 2])), refused("MISSING_GEOMETRY")),
        ("a position in words", series(on(ONE, ImagePositionPatient=["a", "b", "c"])), refused("MISSING_GEOMETRY")),
        ("a position with decimal commas", series(on(ONE, ImagePositionPatient=["-100,0", "-90,0", "-22,0"])),
         refused("MISSING_GEOMETRY")),
        ("a position that is not a number", series(on(ONE, ImagePositionPatient=[NAN] * 3)),
         refused("MISSING_GEOMETRY")),
        ("a position at infinity", series(on(ONE, ImagePositionPatient=[0, 0, INFINITE])), refused("MISSING_GEOMETRY")),
        ("a position beyond the horizon", series(on(ONE, ImagePositionPatient=[0, 0, "1e30"])),
         refused("MISSING_GEOMETRY")),
        ("positions at both ends of the numbers there are",
         series(on(ALL, ImagePositionPatient=lambda index: [0, 0, ("1e308", "-1e308", 0)[min(index, 2)]])),
         refused("MISSING_GEOMETRY")),
        ("positions with sixteen digits and more",
         geometry(ImagePositionPatient=lambda index: ["-100.000000000000000", "-90.000000000000000",
                                                      f"{50 - 6 * index}.000000000000000"]), reads()),
        ("no orientation", geometry(ImageOrientationPatient=None), refused("MISSING_GEOMETRY")),
        ("an orientation of five numbers", geometry(ImageOrientationPatient=[1, 0, 0, 0, 1]),
         refused("MISSING_GEOMETRY")),
        ("an orientation of zeros", geometry(ImageOrientationPatient=[0] * 6), refused("ORIENTATION")),
        ("direction cosines twice as long", geometry(ImageOrientationPatient=[2, 0, 0, 0, 2, 0]),
         refused("ORIENTATION")),
        ("rows and columns that are not at right angles", geometry(ImageOrientationPatient=[1, 0, 0, 0.6, 0.8, 0]),
         refused("ORIENTATION")),
        ("rows along columns", geometry(ImageOrientationPatient=[1, 0, 0, 1, 0, 0]), refused("ORIENTATION")),
        ("one image in another plane", series(on(ONE, ImageOrientationPatient=[1, 0, 0, 0, 0, -1])), rejected("axial")),
        ("one image mirrored", series(on(ONE, ImageOrientationPatient=[-1, 0, 0, 0, 1, 0])), refused("ORIENTATION")),
        ("direction cosines that are rounded", series(chest=ROUNDED), reads(ROUNDED.truth)),
        ("all images at one place", geometry(ImagePositionPatient=[0, 0, 0]), refused("DUPLICATE_POSITION")),
        ("one image at the place of another", series(on(ONE, ImagePositionPatient=[-100, -90, -16])),
         refused("DUPLICATE_POSITION")),
        ("a scan repeated in part, as another acquisition", doubled(range(8, 12)), reads(said="4 images left out")),
        ("a scan repeated in part, and nothing says so", doubled(range(8, 12), acquisition=1),
         refused("DUPLICATE_POSITION")),
        ("a chest with two phases of the liver that reach lower", acquisitions(WHOLE, LIVER, replace(LIVER, slope=2)),
         reads(WHOLE.truth, said="80 images left out")),
        ("a chest with a phase of the liver whose slices lie between its own", acquisitions(WHOLE, BETWEEN),
         reads(WHOLE.truth, said="40 images left out")),
        ("a chest twice, the slices of one scan between those of the other", acquisitions(WHOLE, WHOLE_BETWEEN),
         reads(WHOLE.truth, said="48 images left out")),
        ("a scan whose numbers change every sixteen slices", series(
            every(AcquisitionNumber=lambda index: index // 16 % 2), chest=WHOLE), reads(WHOLE.truth)),
        ("two passes that overlap, the slices of one between those of the other", acquisitions(UPPER, LOWER_BETWEEN),
         refused("GAP")),
        ("two passes that overlap", acquisitions(UPPER, LOWER),
         refused("DUPLICATE_POSITION", "AcquisitionNumber tells 2 acquisitions apart")),
        ("slices between the slices", doubled(range(8, 12), shift_mm=2.5), refused("GAP")),
        ("the same images again under other UIDs", doubled(range(SLICES), acquisition=1, same_pixels=True),
         reads(said="24 images left out")),
        ("slices off their places by rounding", series(jittered(0.05)), reads(JITTERED)),
        ("slices off their places by a third", series(jittered(1.0)), refused("GAP")),
        ("the spacing doubles on the way", series(stretched), refused("GAP")),
        ("a gantry tilted by nine degrees", series(moved((0, 1, 0), each=True), chest=FINE),
         reads(UPRIGHT, said="tilted")),
        ("one slice moved sideways", series(moved((0, 3, 0), {12})), refused("TILT")),
        ("coronal slices", geometry(ImageOrientationPatient=[1, 0, 0, 0, 0, -1]), rejected("axial")),
        ("sagittal slices", geometry(ImageOrientationPatient=[0, 1, 0, 0, 0, -1]), rejected("axial")),
        ("oblique slices, thirty degrees", series(chest=turned(30)), rejected("30 degrees")),
        ("oblique slices, ten degrees", series(chest=turned(10)), reads(turned(10).truth)),
        ("turned in the plane", series(chest=turned(20, "z")), reads(turned(20, "z").truth)),
        ("prone", series(chest=replace(CHEST, orientation=(-1, 0, 0, 0, -1, 0))),
         reads(replace(CHEST, orientation=(-1, 0, 0, 0, -1, 0)).truth)),
        ("on the side", series(chest=replace(CHEST, orientation=(0, 1, 0, -1, 0, 0))),
         reads(replace(CHEST, orientation=(0, 1, 0, -1, 0, 0)).truth)),
        ("viewed from the head", series(chest=replace(CHEST, orientation=(-1, 0, 0, 0, 1, 0))),
         reads(replace(CHEST, orientation=(-1, 0, 0, 0, 1, 0)).truth)),
        ("far from the scanner's origin", series(chest=replace(CHEST, origin_mm=(9000, -9000, 90000))),
         reads(replace(CHEST, origin_mm=(9000, -9000, 90000)).truth)),
        ("one image of another size", series(on(ONE, Rows=12)), refused("MATRIX")),
        ("no number of rows", geometry(Rows=None), refused("MISSING_GEOMETRY")),
        ("no rows at all", geometry(Rows=0), refused("TOO_LARGE")),
        ("rows and columns below zero", series(below_zero), refused("TOO_LARGE")),
        ("rows that are too many for the pixels", geometry(Rows=48), rejected("complete")),
        ("no pixel spacing", geometry(PixelSpacing=None), refused("MISSING_GEOMETRY")),
        ("no pixel spacing, but that of the detector", geometry(PixelSpacing=None, ImagerPixelSpacing=[9, 7]),
         refused("MISSING_GEOMETRY")),
        ("a pixel spacing of zero", geometry(PixelSpacing=[0, 0]), refused("MISSING_GEOMETRY")),
        ("a negative pixel spacing", geometry(PixelSpacing=[-9, 7]), refused("MISSING_GEOMETRY")),
        ("a pixel spacing of one number", geometry(PixelSpacing=9), refused("MISSING_GEOMETRY")),
        ("a pixel spacing that is no number", geometry(PixelSpacing=["nine", "seven"]), refused("MISSING_GEOMETRY")),
        ("a pixel spacing in micrometres", geometry(PixelSpacing=[700, 700]), refused("TOO_LARGE")),
        ("another pixel spacing in one image", series(on(ONE, PixelSpacing=[9, 7.5])), refused("PIXEL_SPACING")),
        ("slices twelve millimetres apart", series(chest=Chest(spacing_mm=(12, 9, 7))), rejected("12.0 mm apart")),
        ("slices twenty millimetres thick", geometry(SliceThickness=20), rejected("20.0 mm thick")),
        ("slices thicker than the universe", geometry(SliceThickness="1e308"), reads()),
        ("no slice thickness", geometry(SliceThickness=None), reads()),
        ("a slice thickness in words", geometry(SliceThickness="thin"), reads()),
        ("a wrong SpacingBetweenSlices", geometry(SpacingBetweenSlices="-1.25"), reads()),
        ("a wrong SliceLocation", geometry(SliceLocation=0), reads()),
        ("a wrong PatientPosition", geometry(PatientPosition="FFP"), reads()),
        ("the localizer inside the series", with_scout, reads(said="localizers")),
    )
)
# fmt: on

__all__ = ["CASES"]
