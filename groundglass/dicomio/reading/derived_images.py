"""Images of CT that are not slices in Hounsfield units, by what their headers say: projections, computed maps, pages.

Values of ImageType beyond the second are the vendor's own (PS3.3 C.8.2.1.1.1), so words are looked for, not places.
Virtual monoenergetic images, and those weighted by energy, are in Hounsfield units, and are no reason to reject.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache

from pydicom.dataset import Dataset

from groundglass.dicomio.reading.attributes import items, text
from groundglass.dicomio.reading.defects import Defect
from groundglass.dicomio.reading.frames import Frame
from groundglass.dicomio.reading.header import Header
from groundglass.dicomio.reading.whole_header import read_whole

_PROJECTION = re.compile(
    r"(MAX|MIN|MEAN|AVG|AVE|AV|A|M)M?IPS?\d*(MM)?|MPVR|RAYSUM|PROJECTIONS?|MAXIMUM|MINIMUM|MEAN|MEDIAN|AVERAGE|AVG|VRT|SSD"
    r"|(VOLUME|SURFACE)RENDER(ED|ING)?|CURVEDMPR|CPR"
)
"""Pixels from several slices or phases, or from a surface or a curve: PS3.3 C.8.16.1.4, C.8.16.2.1.3 and vendors'."""
_MAPS = frozenset(
    {
        "IODINE", "IODINEMAP", "WATER", "CALCIUM", "URICACID", "MATSPECIFIC", "MATREMOVED", "MATFRACTIONAL",
        "MATMODIFIED", "MATVALUEBASED", "EFFATOMICNUM", "EFFECTIVEATOMICNUMBER", "ZEFF", "EFFZ", "EFFECTIVEZ",
        "ZEFFECTIVE", "ELECTRONDENSITY", "ELECDENSITY", "RHOZ", "VNC", "VNCA", "VUE", "VIRTUALNONCONTRAST",
        "VIRTUALUNENHANCED", "PBV", "SUBTRACTION", "ADDITION", "MULTIPLICATION", "DIVISION", "MASKED", "STDDEVIATION",
        "QUANTITY", "FUSION", "FUSED", "LUNGPBV", "PERFUSION", "CBF", "CBV", "MTT", "TTP", "TMAX", "XENON",
    }
)  # fmt: skip
"""Values computed from several spectra (PS3.3 C.8.2.1.1.1, and names of vendors) or from several images."""
_SCOUT = frozenset({"LOCALIZER", "SCOUT", "SCANOGRAM", "SCANO", "SCANOSCOPE", "TOPOGRAM", "SURVIEW"})
_TECHNIQUES = frozenset({"MAX_IP", "MIN_IP", "VOLUME_RENDER", "SURFACE_RENDER", "CURVED_MPR"})
"""Of VolumeBasedCalculationTechnique (PS3.3 C.8.16.2.1.3); MPR and NONE are slices."""
_DESCRIBED = re.compile(
    r"(?<![A-Z])((DE|DECT|SPECTRAL)[ _-]*IODINE"
    r"|IODINE[ _-]*(MAP|DENSITY|OVERLAY|NO[ _-]*WATER|\(WATER\))|WATER[ _-]*\(IODINE\)|URIC[ _-]*ACID|Z[ _-]*EFF"
    r"|EFF(ECTIVE)?[ _-]*(Z|ATOMIC)\b|ELECTRON[ _-]*DENSITY|VNC\b|VIRTUAL[ _-]*(NON[ _-]*CONTRAST|UNENHANCED)"
    r"|MAT(ERIAL)?[ _-]*DENSITY|LUNG[ _-]*PBV|PERFUSED[ _-]*BLOOD[ _-]*VOLUME)"
)
"""Names of maps that mean nothing else in a series description; IODINE alone may be the contrast agent, and MIP what a
thin series was made for."""
_DESCRIBED_OF_DERIVED = {
    "projection": (
        re.compile(r"(?<![A-Z])(MIPS?|MAX[ _-]?IP|MIN[ _-]?IP|M(AX|IN|EAN)[ _-]?MIP|AIP|VRT|SSD|RAYSUM)(?![A-Z])"),
        "MIP, VRT or the like",
    ),
    "map": (
        re.compile(r"IODINE|(?<![A-Z])(PERFUSION|CBF|CBV|MTT|TTP|TMAX|PBV)(?![A-Z])"),
        "iodine, perfusion or the like",
    ),
}
"""Names that tell what derived images are; of original ones they may say what those are for, or what was injected."""
_TOLD = {
    "localizer": "are localizers",
    "secondary": "are derived secondary images, not slices of the scanner",
    "projection": "are projections, averages or renderings, not single slices",
    "map": "are maps computed from several spectra or images, whose values are not Hounsfield units",
}
_HOUNSFIELD_UNIT = "[hnsf'U]"
"""Its code of UCUM, as in PS3.16 CID 83."""
_MONOENERGETIC = re.compile(r"VMI|MONO(E|ENERGETIC|CHROMATIC)?(PLUS)?\d*(KEV)?")
_DESCRIBED_MONOENERGETIC = re.compile(r"\bMONO[ _-]*(E|ENERGETIC|CHROMATIC)|\bVMI\b|\b\d{2,3}[ _-]*KEV\b")


def derived_reasons(images: Sequence[Dataset]) -> list[str]:
    """Reasons why images are no slices in Hounsfield units; empty where their headers name none."""
    kinds = Counter(kind for image in images for kind in _kinds_of(image))
    reasons = [f"{kinds[kind]} of {len(images)} images {told}." for kind, told in _TOLD.items() if kinds[kind]]
    return reasons + ([] if kinds["map"] or kinds["projection"] or not images else _reasons_of_the_series(images[0]))


def _kinds_of(image: Dataset) -> frozenset[str]:
    technique, properties = (
        text(image, keyword).upper() for keyword in ("VolumeBasedCalculationTechnique", "VolumetricProperties")
    )
    kinds = _kinds_by_type(text(image, "ImageType").upper())
    return kinds | {"projection"} if technique in _TECHNIQUES or properties == "DISTORTED" else kinds


@lru_cache(maxsize=1024)  # an archive's images have few different ones
def _kinds_by_type(image_type: str) -> frozenset[str]:
    """What an ImageType says: keys of _TOLD, and monoenergetic."""
    values = image_type.split("\\")
    words = _words(values)
    kinds = {
        "localizer": bool(_SCOUT & words),
        "secondary": values[:2] == ["DERIVED", "SECONDARY"],
        "projection": any(map(_PROJECTION.fullmatch, words)) or "3D" in values,
        "map": bool(_MAPS & words),
        "monoenergetic": any(map(_MONOENERGETIC.fullmatch, words)),
    }
    return frozenset(kind for kind, is_so in kinds.items() if is_so)


def is_localizer(image: Dataset) -> bool:
    """Whether an image is a scout, by its ImageType, in the words of the standard or of a vendor."""
    return "localizer" in _kinds_by_type(text(image, "ImageType").upper())


def is_secondary(image: Dataset) -> bool:
    """Whether an image is derived and secondary, as pages of results are, by its ImageType."""
    return "secondary" in _kinds_by_type(text(image, "ImageType").upper())


def monoenergetic_note(images: Sequence[Dataset]) -> tuple[Defect, ...]:
    """A note on virtual monoenergetic images: their contrast isn't that of the images the networks were trained on."""
    description = text(_unkept(images[0]), "SeriesDescription").upper()
    by_type = any("monoenergetic" in _kinds_of(image) for image in images)
    if not by_type and not _DESCRIBED_MONOENERGETIC.search(description):
        return ()
    problem = (
        "tells of virtual monoenergetic images, which were analysed as they are: the networks were trained on images "
        "of an ordinary spectrum"
    )
    return (Defect("ImageType" if by_type else "SeriesDescription", problem),)


def _words(values: Iterable[str]) -> frozenset[str]:
    """The words of values, and neighbouring words of one value put together: MAX_IP, MAXIP and MAX IP are the same."""
    found: set[str] = set()
    for value in values:
        words = [word for word in re.split(r"[^A-Z0-9]+", value) if word]
        found.update("".join(words[start:end]) for start in range(len(words)) for end in range(start + 1, start + 4))
    return frozenset(found)


def _reasons_of_the_series(first: Dataset) -> list[str]:
    """Reasons from what all images of a series have in common, so that one header is read to its end, not all."""
    first = _unkept(first)
    description = text(first, "SeriesDescription").upper()
    if text(first, "ImageType").upper().startswith("DERIVED"):
        for kind, (names, told) in _DESCRIBED_OF_DERIVED.items():
            if names.search(description):
                return [f"The images are derived, and their series description has a word of {kind}s ({told})."]
    if _DESCRIBED.search(description):
        return [
            "The series description names a map computed from several spectra, whose values are not Hounsfield units."
        ]
    units = {
        text(unit, "CodeValue")
        for holder in (first, *_shared_groups(first))
        for mapping in items(holder, "RealWorldValueMappingSequence")
        for unit in items(mapping, "MeasurementUnitsCodeSequence")
    }
    if units and not units & {_HOUNSFIELD_UNIT, "1", ""}:
        return ["The images map their values to other units than Hounsfield units (RealWorldValueMappingSequence)."]
    return []


def _shared_groups(image: Dataset) -> Sequence[Dataset]:
    return items(image.whole, "SharedFunctionalGroupsSequence") if isinstance(image, Frame) else ()


def _unkept(image: Dataset) -> Dataset:
    """All attributes of an image, without its header keeping them: some are asked for once a series."""
    try:
        return (isinstance(image, Header) and read_whole(image.filename)) or image
    except OSError:  # the file is gone; reading the pixels says so
        return Dataset()
