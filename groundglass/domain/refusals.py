"""Every code with which a case is refused: what it means, and what to do.

A case that is refused says in `cases[].reason`, in result.json and in the report, what is wrong with it, with numbers.
Its `reason_code` is one of these. `python -m groundglass.domain.refusals` writes docs/refusals.md.
"""

import sys
from dataclasses import dataclass
from enum import StrEnum

from groundglass.domain.slice_limits import LARGEST_STEP, LARGEST_TILT_DEGREES, LEAST_STEP
from groundglass.locations import ROOT

DOCUMENT = ROOT / "docs" / "refusals.md"


class RefusalCode(StrEnum):
    """Stable words for programs: `cases[].reason.code` of result.json."""

    DAMAGED_FILES = "DAMAGED_FILES"
    MISSING_FILES = "MISSING_FILES"
    UNREADABLE_HEADER = "UNREADABLE_HEADER"
    TOO_FEW_SLICES = "TOO_FEW_SLICES"
    SHARED_SOP_INSTANCE_UID = "SHARED_SOP_INSTANCE_UID"
    MIXED_PATIENTS = "MIXED_PATIENTS"
    FRAME_OF_REFERENCE = "FRAME_OF_REFERENCE"
    MISSING_GEOMETRY = "MISSING_GEOMETRY"
    MATRIX = "MATRIX"
    PIXEL_SPACING = "PIXEL_SPACING"
    ORIENTATION = "ORIENTATION"
    DUPLICATE_POSITION = "DUPLICATE_POSITION"
    GAP = "GAP"
    TILT = "TILT"
    TOO_LARGE = "TOO_LARGE"
    PHOTOMETRIC = "PHOTOMETRIC"
    NO_RESCALE = "NO_RESCALE"
    PIXELS = "PIXELS"
    NOT_HU = "NOT_HU"
    NO_LUNGS = "NO_LUNGS"
    OTHER_BODY_PART = "OTHER_BODY_PART"
    TOO_LITTLE_LUNG = "TOO_LITTLE_LUNG"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    DISK_FULL = "DISK_FULL"
    OUTPUT_NOT_WRITABLE = "OUTPUT_NOT_WRITABLE"
    DEFECT = "DEFECT"


OF_THE_DISK = frozenset({RefusalCode.DISK_FULL, RefusalCode.OUTPUT_NOT_WRITABLE})
"""Reasons that lie in the folder of the results, and not in the study: the next one would meet the same."""


@dataclass(frozen=True)
class Advice:
    """What a code means, and what clinical IT can do about it."""

    meaning: str
    remedy: str


_SEND_AGAIN = "Send the whole series again. If the code stays, look at the sender's disk space and network."
_SPLIT = "Send each acquisition or reconstruction as a series of its own."
_EXPORT = "Export the series again from its source with the complete headers."

REFUSALS: dict[RefusalCode, Advice] = {
    # Files
    RefusalCode.DAMAGED_FILES: Advice(
        "Files of the series are cut or not valid, so slices may be missing.", _SEND_AGAIN
    ),
    RefusalCode.MISSING_FILES: Advice(
        "The DICOMDIR lists images of the series that the folder does not hold.",
        "Copy the whole file set, or leave the DICOMDIR out if the images are left out on purpose.",
    ),
    RefusalCode.UNREADABLE_HEADER: Advice(
        "A header can't be read to its end: the file is not valid, or it changed during the run.",
        "Send the series again, and leave its files alone until the run has ended.",
    ),
    # Identity
    RefusalCode.TOO_FEW_SLICES: Advice("Fewer than two images can be read.", "Send the whole series."),
    RefusalCode.SHARED_SOP_INSTANCE_UID: Advice(
        "Different images bear one SOP Instance UID, so results can't refer to them.",
        "Export the series again from its source, with a UID of its own for each image.",
    ),
    RefusalCode.MIXED_PATIENTS: Advice(
        "The images of one series have different Patient IDs.",
        "Correct the series at its source. `source_defects` names the folders of each patient's images: leave out the "
        "one that holds older copies.",
    ),
    RefusalCode.FRAME_OF_REFERENCE: Advice(
        "The images lie in several frames of reference, so their positions can't be compared. Only one for each image "
        "is read, where the images make one even stack.",
        _SPLIT,
    ),
    # Geometry
    RefusalCode.MISSING_GEOMETRY: Advice(
        "Position, orientation, pixel spacing or matrix is missing or no number.", _EXPORT
    ),
    RefusalCode.MATRIX: Advice("The images have different numbers of rows or columns.", _SPLIT),
    RefusalCode.PIXEL_SPACING: Advice("The images have different pixel spacings.", _SPLIT),
    RefusalCode.ORIENTATION: Advice(
        "The images have different orientations, or direction cosines that are not valid.",
        "Send each plane as a series of its own, and correct cosines at their source.",
    ),
    RefusalCode.DUPLICATE_POSITION: Advice(
        "Different images lie at one position, and no single acquisition among them shows the whole chest.", _SPLIT
    ),
    RefusalCode.GAP: Advice(
        f"Neighbouring slices are less than {LEAST_STEP} or more than {LARGEST_STEP} times as far apart as most: "
        "slices are missing, or reconstructions or scans are mixed. Distances in between are evened out.",
        _SEND_AGAIN,
    ),
    RefusalCode.TILT: Advice(
        f"The slices move sideways along the series, unevenly, or as with a gantry tilted by more than "
        f"{LARGEST_TILT_DEGREES} degrees. A smaller tilt is put right.",
        "Send a series that was reconstructed without tilt.",
    ),
    RefusalCode.TOO_LARGE: Advice(
        "The volume has no voxel, or more than fit into memory, or its images are wider than any scanner's.",
        "Send a reconstruction with a smaller matrix, or correct PixelSpacing at the source.",
    ),
    # Pixels
    RefusalCode.PHOTOMETRIC: Advice(
        "The images are in colour, or not all alike.", "Send the original images of the scanner."
    ),
    RefusalCode.NO_RESCALE: Advice(
        "The header doesn't make Hounsfield units of the values: the slope or the intercept is missing, or RescaleType "
        "is not that of Hounsfield units.",
        "Send the original images of the scanner, not maps made of them. If these are the original ones, correct the "
        "attribute that the reason names at its source.",
    ),
    RefusalCode.PIXELS: Advice(
        "The pixels can't be read: they can't be decoded, or the header contradicts itself.",
        "The reason says which. Send compressed images again, uncompressed if the code stays; correct a header at its "
        "source, since to send it again doesn't help.",
    ),
    RefusalCode.NOT_HU: Advice(
        "The values are not Hounsfield units of a chest: too little air or soft tissue, or images with another rescale "
        "that don't fit the others.",
        "Send the original images of the scanner, and check that they show a chest.",
    ),
    # The method
    RefusalCode.NO_LUNGS: Advice("No lungs were found.", "Check that the series shows the chest."),
    RefusalCode.OTHER_BODY_PART: Advice(
        "By its tags the series shows another part of the body, and its images cut the lungs.",
        "Nothing, if it is no chest CT; else send the series that shows the whole chest, or correct BodyPartExamined.",
    ),
    RefusalCode.TOO_LITTLE_LUNG: Advice(
        "No slice shows enough lung to be classified.", "Check that the series covers the chest."
    ),
    # The machine
    RefusalCode.OUT_OF_MEMORY: Advice(
        "The memory of the machine, of its container or of the GPU was too small.",
        "Give the container more memory, or a GPU that nothing else uses, and run the study again.",
    ),
    RefusalCode.DISK_FULL: Advice(
        "The disk of the output folder is full, or too full for the results; nothing of the case was written.",
        "Make room, or give another output folder, and run the study again.",
    ),
    RefusalCode.OUTPUT_NOT_WRITABLE: Advice(
        "A file in the output folder can't be written; nothing of the case was written.",
        "Check the folder's disk, permissions and limits, and run the study again.",
    ),
    # The software
    RefusalCode.DEFECT: Advice("The software failed.", "Report it, with the last lines of the log."),
}
"""By code, in the order in which they are found."""


def as_markdown() -> str:
    """The table of the docs."""
    lines = [
        "# Refusals",
        "",
        "What `cases[].reason.code` in `result.json` can say, and what to do about it; `cases[].reason.text` has the",
        "numbers. Written by `python -m groundglass.domain.refusals`.",
        "",
        "| code | what it means | what to do |",
        "| --- | --- | --- |",
        *(f"| `{code}` | {advice.meaning} | {advice.remedy} |" for code, advice in REFUSALS.items()),
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write docs/refusals.md."""
    DOCUMENT.write_text(as_markdown(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
