"""The whole job on a multi-frame CT image: the same findings as in single images, by the frames' numbers."""

from pathlib import Path

import pytest
from highdicom.legacy import LegacyConvertedEnhancedCTImage
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from tests.app.runs import Run, call


def convert(images: Path, folder: Path) -> dict[str, int]:
    """Write a series as one image; returns the frame number of each of its images by SOP Instance UID."""
    sources = [dcmread(path) for path in sorted(images.iterdir(), reverse=True)]
    for source in sources:
        source.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    whole = LegacyConvertedEnhancedCTImage(
        sources, generate_uid(), 5, generate_uid(), 1, transfer_syntax_uid=ExplicitVRLittleEndian
    )
    folder.mkdir()
    whole.save_as(folder / "whole.dcm")
    groups = whole.PerFrameFunctionalGroupsSequence
    return {
        item.ConversionSourceAttributesSequence[0].ReferencedSOPInstanceUID: number
        for number, item in enumerate(groups, start=1)
    }


@pytest.mark.slow
def test_slices_and_boxes_of_a_multi_frame_image_name_their_frame(
    small_study: Path, small_run: Run, quick: Path, tmp_path: Path
) -> None:
    frames = convert(small_study, tmp_path / "multi")
    done = call(tmp_path / "multi", tmp_path / "out", "--settings", str(quick))
    assert done.code == 0, done.told
    (single,), (multi,) = small_run.result["cases"], done.result["cases"]
    for kind in ("slices", "boxes"):
        assert multi[kind] != []
        expected = [item | {"frame_number": frames[item["sop_instance_uid"]]} for item in single[kind]]
        (uid,) = {item["sop_instance_uid"] for item in multi[kind]}
        assert multi[kind] == [item | {"sop_instance_uid": uid} for item in expected]
