"""The frames of Enhanced and Legacy Converted Enhanced CT as images of their own, and references back to the frames.

A multi-frame image tells the place, the rescale and the rest of each frame in functional groups (PS3.3 C.7.6.16). A
`Frame` has them where a CT image has them, so that all that reads or writes knows single images only. Outputs refer to
a frame by a UID made up for it; `refer_to_frames` puts the image's own UID and the frame number in its place.
"""

import copy
from collections.abc import Iterator, Sequence
from uuid import NAMESPACE_OID, uuid5

from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage

from groundglass.dicomio.reading.attributes import items, number, text

MULTI_FRAME_CT = frozenset({EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage})

_GROUPS = {
    "PlanePositionSequence": ("ImagePositionPatient",),
    "PlaneOrientationSequence": ("ImageOrientationPatient",),
    "PixelMeasuresSequence": ("PixelSpacing", "SliceThickness"),
    "PixelValueTransformationSequence": ("RescaleSlope", "RescaleIntercept", "RescaleType"),
    "CTReconstructionSequence": ("ConvolutionKernel",),
}
"""Attributes of a CT image by the functional group that holds them."""

_RENAMED = {
    "CTImageFrameTypeSequence": {
        "FrameType": "ImageType",
        "VolumetricProperties": "VolumetricProperties",
        "VolumeBasedCalculationTechnique": "VolumeBasedCalculationTechnique",
    },
    "FrameContentSequence": {
        "FrameAcquisitionNumber": "AcquisitionNumber",
        "FrameAcquisitionDateTime": "AcquisitionDateTime",
        "TemporalPositionIndex": "TemporalPositionIdentifier",
    },
}
"""Attributes by the functional group that holds them, with their name in a CT image, mostly another one."""

_NOT_COPIED = (
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "DimensionIndexSequence",
    "DimensionOrganizationSequence", "NumberOfFrames", "PixelData",
)  # fmt: skip


_FILE = ("filename", "fileobj_type", "timestamp", "buffer", "file_meta", "_read_implicit", "_read_little")
"""What pydicom keeps of the file that a data set was read from."""


class Frame(Dataset):
    """One frame as the header of a CT image.

    Attributes:
        whole: the multi-frame image.
        number: of the frame, from 1.
    """

    whole: Dataset
    number: int

    @property
    def own_uid(self) -> str:
        """A UID of the frame's own, which stands for it until `refer_to_frames`."""
        name = f"groundglass frame {self.number} of {text(self, 'SOPInstanceUID')}"
        return f"2.25.{uuid5(NAMESPACE_OID, name).int}"


def is_multi_frame_ct(image: Dataset) -> bool:
    """Whether an image is Enhanced or Legacy Converted Enhanced CT."""
    return text(image, "SOPClassUID") in MULTI_FRAME_CT


def take_apart(images: Sequence[Dataset]) -> tuple[Dataset, ...]:
    """The frames of multi-frame CT images, in the order of the images; other images as they are."""
    return tuple(
        part for image in images for part in (_frames_of(image) if is_multi_frame_ct(image) else iter((image,)))
    )


def _frames_of(image: Dataset) -> Iterator[Frame]:
    """The frames of one image, in their order; what a functional group lacks, the frame lacks too."""
    common = Dataset()
    for tag in list(image.keys()):
        element = image.get_item(tag, keep_deferred=True)
        common._dict[tag] = element  # as it is: values are converted when they are asked for
    for keyword in (*_NOT_COPIED, *(keyword for keywords in _GROUPS.values() for keyword in keywords)):
        if keyword in common:
            del common[keyword]
    shared = _first(items(image, "SharedFunctionalGroupsSequence"))
    groups = list(items(image, "PerFrameFunctionalGroupsSequence"))
    if len(groups) < (number(image, "NumberOfFrames") or 1):
        groups.append(Dataset())  # a frame of which nothing is known stands for all of them: the series is incomplete
    for place, own in enumerate(groups, start=1):
        frame = Frame(dict(common._dict))
        frame.whole, frame.number = image, place
        # Where long values of the image are read from when they are asked for.
        frame.__dict__.update({name: image.__dict__[name] for name in _FILE if name in image.__dict__})
        for group, keywords in _GROUPS.items():
            _take(frame, own, shared, group, {keyword: keyword for keyword in keywords})
        for group, names in _RENAMED.items():
            _take(frame, own, shared, group, names)
        yield frame


def _first(found: Sequence[Dataset]) -> Dataset:
    return found[0] if found else Dataset()


def _take(frame: Frame, own: Dataset, shared: Dataset, group: str, names: dict[str, str]) -> None:
    """Puts attributes of a functional group, the frame's or else the shared one, into the frame."""
    holder = _first(items(own, group) or items(shared, group))
    for name, keyword in names.items():
        content = text(holder, name).encode("latin-1", "replace")
        if content:
            # As from a file: converted when it is asked for, so that garbage is one attribute's and not the image's.
            tag = Tag(keyword)
            frame._dict[tag] = RawDataElement(tag, dictionary_VR(tag), len(content), content, 0, False, True)


def reference_uid(source: Dataset) -> str:
    """The UID by which outputs refer to a source until `refer_to_frames`: its own, or a frame's."""
    return source.own_uid if isinstance(source, Frame) else str(source.SOPInstanceUID)


def refer_to_frames(dataset: Dataset, sources: Sequence[Dataset]) -> Dataset:
    """Replaces, in place, the UIDs made up for frames by those of their images, with the frame numbers.

    Lists of instances name each image once, without frames (PS3.3 C.17.2, Hierarchical SOP Instance Reference Macro).
    """
    frames = {source.own_uid: source for source in sources if isinstance(source, Frame)}
    if frames:
        _refer(dataset, frames)
    return dataset


def _refer(dataset: Dataset, frames: dict[str, Frame]) -> None:
    for element in dataset:
        if element.VR != "SQ" or not element.value:
            continue
        lists_instances = element.keyword == "ReferencedInstanceSequence" or (
            element.keyword == "ReferencedSOPSequence" and "SeriesInstanceUID" in dataset
        )
        items: list[Dataset] = []
        named: dict[str, Dataset] = {}
        for item in element.value:
            frame = frames.get(str(item.get("ReferencedSOPInstanceUID", "")))
            if frame is None:
                _refer(item, frames)
                items.append(item)
                continue
            uid = str(frame.SOPInstanceUID)
            if uid not in named:
                named[uid] = copy.deepcopy(item)  # other sequences may hold the same item
                named[uid].ReferencedSOPClassUID, named[uid].ReferencedSOPInstanceUID = frame.SOPClassUID, uid
                items.append(named[uid])
            if not lists_instances:
                numbers = named[uid].get("ReferencedFrameNumber") or []
                numbers = [*numbers] if isinstance(numbers, Sequence) else [numbers]
                named[uid].ReferencedFrameNumber = [*numbers, frame.number]
        if named:
            element.value = items
