"""The most telling slices as ordinary colour images, for a PACS that shows neither SEG nor SR (PS3.3 A.8.1, A.8.5)."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from highdicom import SOPClass

from groundglass.dicomio.writing import identity
from groundglass.dicomio.writing.analysed_series import AnalysedSeries
from groundglass.dicomio.writing.secondary_capture import make_capture, source_names
from groundglass.domain.arrays import Picture
from groundglass.rendering.slice_picture import SlicePictures, draw_key_image, patient_orientation

KeyImagesForm = Literal["single", "multiframe"]
"""An object a slice, or one for all."""
_DERIVATION = "Source images in the lung window; salient regions outlined"


def make_key_images(analysed: AnalysedSeries, indices: Sequence[int]) -> list[SOPClass]:
    """A Secondary Capture for each slice: the plain slice beside the one with its regions outlined.

    The burned-in text is about the algorithm alone, never about the patient. Each picture of an axial or coronal source
    shows the patient's right on the viewer's left. They follow the summary in its series.

    Args:
        analysed: whose images and findings are drawn.
        indices: of the slices, in order.
    """
    orientation = patient_orientation(analysed.volume)
    return [
        make_capture(
            analysed,
            [picture],
            shown=[index],
            series=identity.SUMMARY,
            number_in_series=2 + number,
            variant=f"key image {number + 1} of {len(indices)}",
            description=_DERIVATION,
            orientation=orientation,
        )
        for number, (index, picture) in enumerate(zip(indices, _draw(analysed, indices), strict=True))
    ]


def make_multiframe_key_images(analysed: AnalysedSeries, indices: Sequence[int]) -> SOPClass:
    """The same pictures as the frames of one Multi-frame True Color Secondary Capture."""
    pictures = _draw(analysed, indices)
    rows, columns = (max(picture.shape[axis] for picture in pictures) for axis in (0, 1))
    frames = [
        np.pad(picture, ((0, rows - len(picture)), (0, columns - picture.shape[1]), (0, 0))) for picture in pictures
    ]
    return make_capture(
        analysed,
        frames,
        shown=indices,
        series=identity.SUMMARY,
        number_in_series=2,
        variant=f"{len(indices)} key images",
        description=_DERIVATION,
        orientation=patient_orientation(analysed.volume),
    )


def _draw(analysed: AnalysedSeries, indices: Sequence[int]) -> list[Picture]:
    names = source_names(analysed.sources, analysed.volume)
    pictures = SlicePictures(analysed.volume, analysed.findings, names)
    return [draw_key_image(pictures, index) for index in indices]
