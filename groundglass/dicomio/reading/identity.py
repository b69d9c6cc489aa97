"""Whether the images of a series belong together, by their identifiers: of one patient, each once, none left out."""

import os
from collections import Counter
from collections.abc import Sequence

from pydicom.dataset import Dataset

from groundglass.dicomio.reading.attributes import number, text
from groundglass.dicomio.reading.defects import Defect
from groundglass.dicomio.reading.frames import Frame
from groundglass.domain.errors import Refusal
from groundglass.domain.refusals import RefusalCode

_FOLDERS_TOLD = 3


def check_identity(instances: Sequence[Dataset]) -> bool:
    """Refuse images of several patients, in several frames of reference, or with a UID that another image has.

    Returns:
        Whether each image, or at least half of them and the others none, has a frame of reference of its own. Tools
        that take names away make a new one for every file, so those may lie in one: `own_frames_note` decides by their
        positions.

    Raises:
        Refusal: MIXED_PATIENTS, SHARED_SOP_INSTANCE_UID or FRAME_OF_REFERENCE.
    """
    patients = {text(header, "PatientID") for header in instances}
    if len(patients) > 1:
        empty = ", one of them empty" if "" in patients else ""
        raise Refusal(
            RefusalCode.MIXED_PATIENTS,
            f"The images of the series have {len(patients)} different Patient IDs{empty}. Correct the series at its "
            "source; if the folder also holds older copies of its images, leave those out.",
        )
    own = {(text(header, "SOPInstanceUID"), header.number if isinstance(header, Frame) else 0) for header in instances}
    shared = len(instances) - len(own)
    if shared:
        raise Refusal(
            RefusalCode.SHARED_SOP_INSTANCE_UID,
            f"{shared} of {len(instances)} images bear the SOP Instance UID of another image of the series, so results "
            "cannot refer to them. Export the series again from its source, with a UID of its own for each image.",
        )
    frames = [frame for frame in (text(header, "FrameOfReferenceUID") for header in instances) if frame]
    is_one_each = len(set(frames)) == len(frames) and 2 * len(frames) >= len(instances)
    if len(set(frames)) > 1 and not is_one_each:
        raise _several_frames(len(set(frames)))
    return len(set(frames)) > 1


def patients_by_folder(instances: Sequence[Dataset]) -> tuple[Defect, ...]:
    """A note on where the images of each patient lie, if there are several; folders within the one that holds all."""
    paths: dict[str, list[str]] = {}
    for header in instances:
        whole = header.whole if isinstance(header, Frame) else header
        path = str(getattr(whole, "filename", None) or "")
        paths.setdefault(text(header, "PatientID"), []).append(os.path.dirname(os.path.abspath(path)))
    if len(paths) < 2:
        return ()
    common = os.path.commonpath([path for own in paths.values() for path in own])
    told = []
    for own in paths.values():
        folders = Counter(os.path.relpath(path, common) for path in own).most_common()
        names = ", ".join(_readable(name) for name, _ in folders[:_FOLDERS_TOLD])
        more = f" and {len(folders) - _FOLDERS_TOLD} more" if len(folders) > _FOLDERS_TOLD else ""
        told.append(f"{len(own)} images in {names}{more}")
    problem = f"is not the same in all images; the folders of each patient: {'; '.join(told)}"
    return (Defect("PatientID", problem),)


def _readable(folder: str) -> str:
    name = os.fsencode(folder).decode("utf-8", "backslashreplace")
    return "the folder of the series" if name == "." else f"'{name}'"


def own_frames_note(images: int, is_one_stack: bool) -> Defect:
    """A note on images that each have a frame of reference of their own.

    Args:
        images: the number of those that have one.
        is_one_stack: whether their positions, taken as of one frame, are exactly those of one even, upright stack.
            Nothing but one scan makes such.

    Raises:
        Refusal: FRAME_OF_REFERENCE.
    """
    if not is_one_stack:
        raise _several_frames(images)
    problem = (
        f"is another in each of the {images} images that have one, and the positions of all images make one even "
        "stack: they were read as of one frame of reference, and outputs bear that of the first slice that has one"
    )
    return Defect("FrameOfReferenceUID", problem)


def _several_frames(frames: int) -> Refusal:
    return Refusal(
        RefusalCode.FRAME_OF_REFERENCE,
        f"The images of the series lie in {frames} frames of reference, so their positions cannot be compared. Send "
        "each acquisition as a series of its own.",
    )


def absent_numbers(instances: Sequence[Dataset], is_even: bool) -> tuple[Defect, ...]:
    """A note on images between the others that were never sent, though no gap shows where they would be.

    No reason to refuse: nobody has to number images without a gap (PS3.3 C.7.6.1).
    """
    own = {number(header, "InstanceNumber") for header in instances}
    known = [int(item) for item in own if item is not None]
    if len(known) < len(instances):
        return ()
    absent = max(known) - min(known) + 1 - len(known)
    though = "the others are equally far apart" if is_even else "no distance between the others is that of a gap"
    problem = f"leaves out {absent} numbers: images may be missing, though {though}"
    return (Defect("InstanceNumber", problem),) if absent > 0 else ()
