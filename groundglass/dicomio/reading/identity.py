"""Whether the images of a series belong together, by their identifiers: of one patient, each once, none left out."""

from collections.abc import Sequence

from pydicom.dataset import Dataset

from groundglass.dicomio.reading.attributes import number, text
from groundglass.dicomio.reading.defects import Defect
from groundglass.dicomio.reading.frames import Frame
from groundglass.domain.errors import Refusal
from groundglass.domain.refusals import RefusalCode


def check_identity(instances: Sequence[Dataset]) -> None:
    """Refuse images of several patients, in several frames of reference, or with a UID that another image has.

    Raises:
        Refusal: MIXED_PATIENTS, SHARED_SOP_INSTANCE_UID or FRAME_OF_REFERENCE.
    """
    if len({text(header, "PatientID") for header in instances}) > 1:
        raise Refusal(
            RefusalCode.MIXED_PATIENTS,
            "The images of the series do not all have the same Patient ID. Correct the series at its source.",
        )
    own = {(text(header, "SOPInstanceUID"), header.number if isinstance(header, Frame) else 0) for header in instances}
    shared = len(instances) - len(own)
    if shared:
        raise Refusal(
            RefusalCode.SHARED_SOP_INSTANCE_UID,
            f"{shared} of {len(instances)} images bear the SOP Instance UID of another image of the series, so results "
            "cannot refer to them. Export the series again from its source, with a UID of its own for each image.",
        )
    frames = {text(header, "FrameOfReferenceUID") for header in instances} - {""}
    if len(frames) > 1:
        raise Refusal(
            RefusalCode.FRAME_OF_REFERENCE,
            f"The images of the series lie in {len(frames)} frames of reference, so their positions cannot be "
            "compared. Send each acquisition as a series of its own.",
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
