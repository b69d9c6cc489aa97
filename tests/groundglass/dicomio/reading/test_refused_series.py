"""A series that can't be trusted is refused with the reason, and a sound one is not."""

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from groundglass.dicomio.reading.scan import scan_folder
from groundglass.dicomio.reading.volume import read_images
from groundglass.domain.errors import Refusal
from tests.groundglass.dicomio.ct_samples import (
    EVERY,
    PATIENT_NAME,
    SERIES,
    STUDY,
    Edit,
    Sample,
    chest_hu,
    make_series,
    on,
    set_pixels,
    write_series,
)


def refusal(images: list[Dataset]) -> Refusal:
    with pytest.raises(Refusal) as caught:
        read_images(images)
    reason = caught.value.reason
    assert reason.endswith(".")
    assert not any(secret in reason for secret in (PATIENT_NAME, "SECRET", SERIES, STUDY))
    return caught.value


def test_a_missing_slice_is_refused_with_the_numbers() -> None:
    error = refusal(make_series(skip=[12]))
    assert error.code == "GAP"
    assert "5.00 mm apart" in error.reason
    assert "10.00 mm at 1 of 28 places" in error.reason


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        (
            {"RescaleType": "HU_MOD"},
            "RescaleType is HU_MOD (modified Hounsfield units: a material was removed, or replaced) in 2 of 30 images",
        ),
        ({"RescaleType": "mgml"}, "RescaleType is MGML (milligrams per millilitre) in 2 of 30 images"),
        ({"RescaleType": "SECRET"}, "RescaleType is no term of the standard in 2 of 30 images"),
        ({"RescaleSlope": None}, "2 of 30 images have no readable RescaleSlope, so"),
        ({"RescaleIntercept": None}, "2 of 30 images have no readable RescaleIntercept, so"),
        ({"RescaleSlope": 0}, "2 of 30 images have a RescaleSlope of 0, so"),
    ],
)
def test_what_keeps_values_from_being_hounsfield_units_is_named(attributes: dict[str, object], reason: str) -> None:
    error = refusal(make_series(edit=on({4, 5}, **attributes)))
    assert error.code == "NO_RESCALE"
    assert error.reason.startswith(reason)


@pytest.mark.parametrize("name", ["hu", "Hounsfield Units", "US", "unspecified", ""])
def test_hounsfield_units_are_known_however_they_are_spelt(name: str) -> None:
    assert read_images(make_series(edit=on(EVERY, RescaleType=name))).volume.hu.shape[0] == 30


def test_one_wrong_rescale_is_not_hidden_by_images_that_are_stored_in_other_ways() -> None:
    def rescale(image: Dataset, index: int) -> None:
        if index % 2:
            image.BitsStored, image.HighBit = 15, 14
        if index == 7:
            image.RescaleIntercept = 0

    error = refusal(make_series(edit=rescale))
    assert error.code == "NOT_HU"
    assert "in 1 images with another rescale" in error.reason


def test_a_frame_of_reference_for_each_image_is_noted_and_for_some_images_refused() -> None:
    def own(image: Dataset, index: int) -> None:
        image.FrameOfReferenceUID = f"1.2.3.{index}"

    (note,) = (note for note in read_images(make_series(edit=own)).notes if note.attribute == "FrameOfReferenceUID")
    assert "another in each of the 30 images that have one, and the positions of all images make one" in note.problem

    def own_or_none(image: Dataset, index: int) -> None:
        image.FrameOfReferenceUID = f"1.2.3.{index}" if index else ""

    read = read_images(make_series(edit=own_or_none))
    assert "another in each of the 29 images" in "".join(note.problem for note in read.notes)

    def in_pairs(image: Dataset, index: int) -> None:
        image.FrameOfReferenceUID = f"1.2.3.{index // 2}"

    assert "in 15 frames of reference" in refusal(make_series(edit=in_pairs)).reason


def test_a_missing_slice_is_seen_among_very_thin_ones() -> None:
    assert refusal(make_series(Sample(slices=60, spacing_mm=(0.15, 7, 7)), skip=[30])).code == "GAP"


def test_instance_numbers_do_not_hide_a_gap_nor_make_one() -> None:
    def renumber(image: Dataset, index: int) -> None:
        image.InstanceNumber = 7

    assert read_images(make_series(edit=renumber)).volume.hu.shape[0] == 30
    assert refusal(make_series(edit=renumber, skip=[3])).code == "GAP"


def test_two_acquisitions_at_the_same_positions_are_refused_with_the_count() -> None:
    again = make_series(Sample(slices=10))
    for image in again:
        image.SOPInstanceUID += ".2"
        set_pixels(image, np.full((24, 32), 7))
    error = refusal(make_series() + again)
    assert error.code == "DUPLICATE_POSITION"
    assert "10 of 40 images" in error.reason


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        (on({4}, ImageOrientationPatient=[0, 1, 0, 0, 0, -1]), "ORIENTATION"),
        (on(EVERY, ImageOrientationPatient=[1, 0, 0, 0.5, 0.866, 0]), "ORIENTATION"),
        (on(EVERY, ImageOrientationPatient=[2, 0, 0, 0, 1, 0]), "ORIENTATION"),
        (on(EVERY, ImageOrientationPatient=[0, 0, 0, 0, 0, 0]), "ORIENTATION"),
        (on({4}, ImageOrientationPatient=None), "MISSING_GEOMETRY"),
        (on({4, 5}, ImagePositionPatient=None), "MISSING_GEOMETRY"),
        (on({4}, ImagePositionPatient=[1, 2]), "MISSING_GEOMETRY"),
        (on({4}, ImagePositionPatient=[0, 0, 1e300]), "MISSING_GEOMETRY"),
        (on({4}, PixelSpacing=None), "MISSING_GEOMETRY"),
        (on(EVERY, PixelSpacing=[0, 1]), "MISSING_GEOMETRY"),
        (on({4}, PixelSpacing=[9, 7.5]), "PIXEL_SPACING"),
        (on({4}, Rows=23), "MATRIX"),
        (on({4}, Rows=None), "MISSING_GEOMETRY"),
        (on(EVERY, Rows=60000, Columns=60000), "TOO_LARGE"),
        (on(EVERY, Rows=0), "TOO_LARGE"),
        (on(EVERY, PixelSpacing=[70, 70]), "TOO_LARGE"),
        (on({4}, FrameOfReferenceUID="1.2.3"), "FRAME_OF_REFERENCE"),
        (on({4}, PatientID="ANOTHER"), "MIXED_PATIENTS"),
        (on({4, 5}, SOPInstanceUID="1.2.3"), "SHARED_SOP_INSTANCE_UID"),
        (on({4}, RescaleIntercept=None), "NO_RESCALE"),
        (on(EVERY, RescaleSlope=None), "NO_RESCALE"),
        (on(EVERY, RescaleSlope=0), "NO_RESCALE"),
        (on(EVERY, RescaleType="MGML"), "NO_RESCALE"),
        (on({4}, PhotometricInterpretation="MONOCHROME1"), "PHOTOMETRIC"),
        (on(EVERY, PhotometricInterpretation="RGB"), "PHOTOMETRIC"),
        (on({4}, BitsStored=17), "PIXELS"),
        (on({4}, HighBit=7, BitsStored=12), "PIXELS"),
        (on({4}, PixelData=bytes(100)), "PIXELS"),
        (on({4}, PixelData=None), "PIXELS"),
        (on({4}, NumberOfFrames=2, PixelData=bytes(24 * 32 * 4)), "PIXELS"),
        (on(EVERY, RescaleIntercept=0), "NOT_HU"),
        (on(EVERY, PixelData=bytes(24 * 32 * 2)), "NOT_HU"),
    ],
)
def test_what_cannot_be_trusted_is_refused(edit: Edit, code: str) -> None:
    assert refusal(make_series(edit=edit)).code == code


def test_images_that_share_one_uid_are_refused_with_the_count() -> None:
    error = refusal(make_series(edit=on(EVERY, SOPInstanceUID="1.2.3")))
    assert error.code == "SHARED_SOP_INSTANCE_UID"
    assert "29 of 30 images" in error.reason


def test_a_gantry_tilted_further_than_any_is_refused() -> None:
    def shift(image: Dataset, index: int) -> None:
        image.ImagePositionPatient = [0, 3.5 * index, -5.0 * index]

    error = refusal(make_series(edit=shift))
    assert error.code == "TILT"
    assert "101.5 mm" in error.reason


@pytest.mark.parametrize("count", [0, 1])
def test_one_image_is_no_volume(count: int) -> None:
    assert refusal(make_series()[:count]).code == "TOO_FEW_SLICES"


def test_the_count_and_the_syntax_of_undecodable_images_are_reported(tmp_path: Path) -> None:
    def spoil(image: Dataset, index: int) -> None:
        if index in (3, 8):
            image.compress("1.2.840.10008.1.2.5", generate_instance_uid=False)
            image.PixelData = image.PixelData[:20] + b"\xff" * (len(image.PixelData) - 20)

    error = refusal(make_series(edit=spoil))
    assert error.code == "PIXELS"
    assert "2 of 30 images" in error.reason
    assert "RLE Lossless" in error.reason


def with_garbage(folder: Path, keyword: str, values: int) -> tuple[Dataset, ...]:
    """A scanned series in which slice 4 has letters where the numbers of one attribute should be."""
    marker = "7777777"
    for path in write_series(folder, make_series(edit=on({4}, **{keyword: [marker] * values}))):
        path.write_bytes(path.read_bytes().replace(marker.encode(), b"abc    "))
    return scan_folder(folder).series[0].instances


@pytest.mark.parametrize(
    ("keyword", "values", "code"),
    [
        ("ImagePositionPatient", 3, "MISSING_GEOMETRY"),
        ("ImageOrientationPatient", 6, "MISSING_GEOMETRY"),
        ("PixelSpacing", 2, "MISSING_GEOMETRY"),
        ("RescaleSlope", 1, "NO_RESCALE"),
        ("RescaleIntercept", 1, "NO_RESCALE"),
    ],
)
def test_letters_in_a_number_that_matters_are_refused(tmp_path: Path, keyword: str, values: int, code: str) -> None:
    error = refusal(list(with_garbage(tmp_path, keyword, values)))
    assert error.code == code
    assert "1 of 30 images" in error.reason


@pytest.mark.parametrize("keyword", ["SliceThickness", "InstanceNumber", "WindowCenter"])
def test_letters_in_a_number_that_does_not_matter_are_ignored(tmp_path: Path, keyword: str) -> None:
    volume = read_images(with_garbage(tmp_path, keyword, 1)).volume
    np.testing.assert_array_equal(volume.hu, chest_hu(Sample()))
