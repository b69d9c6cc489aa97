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
    r"(MAX|MIN|MEAN|AVG|AVE|AV|A|M|SM|TM)M?IPS?\d*(MM)?|MPVR|RAYSUM|PROJECTIONS?|MAXIMUM|MINIMUM|MEAN|MEDIAN|AVERAGE|AVG"
    r"|VRT|SSD|(VOLUME|SURFACE)RENDER(ED|ING)?|CURVEDMPR|CPR"
)
"""Pixels from several slices or phases, or from a surface or a curve: PS3.3 C.8.16.1.4, C.8.16.2.1.3 and vendors'."""
_MAPS = frozenset(
    {
        "IODINE", "IODINEMAP", "WATER", "CALCIUM", "URICACID", "MATSPECIFIC", "MATREMOVED", "MATFRACTIONAL",
        "MATMODIFIED", "MATVALUEBASED", "EFFATOMICNUM", "EFFATOMICNUMBER", "EFFECTIVEATOMICNUMBER", "ZEFF", "EFFZ",
        "EFFECTIVEZ", "ZEFFECTIVE", "ELECTRONDENSITY", "ELECDENSITY", "RHOZ", "VNC", "VNCA", "VUE",
        "VIRTUALNONCONTRAST", "VIRTUALUNENHANCED", "PBV", "LIVERVNC", "SUBTRACTION", "SUBTRACTED", "SUBTRACT",
        "DIFFERENCE", "ADDITION", "MULTIPLICATION", "DIVISION", "MASKED", "STDDEVIATION", "QUANTITY", "FUSION",
        "FUSED", "LUNGPBV", "PERFUSION", "CBF", "CBV", "MTT", "TTP", "TMAX", "XENON",
    }
)  # fmt: skip
"""Values computed from several spectra (PS3.3 C.8.2.1.1.1, and names of vendors) or from several images."""
_SCOUT = frozenset({"LOCALIZER", "SCOUT", "SCANOGRAM", "SCANO", "SCANOSCOPE", "TOPOGRAM", "SURVIEW"})
_DESCRIBED = re.compile(
    r"(?<![A-Z])((DE|DECT|MD|SPECTRAL|OVERLAY)[ _-]*(IODINE|JOD)|MD[ _-]*(CALCIUM|WATER)"
    r"|(IODINE|JOD|IODE|CALCIUM|PERFUSION|VENTILATION|XENON|SUBTRACTION)[ _-]*(MAP|KARTE|BILD)"
    r"|CARTE[ _-]*(D[E' ]*)?(IODE|PERFUSION)"
    r"|(IODINE|WATER|CALCIUM|HAP|FAT|BLOOD)[ _-]*\((IODINE|WATER|CALCIUM|HAP|FAT|BLOOD)\)"
    r"|IODINE[ _-]*(DENSITY|OVERLAY|NO[ _-]*WATER)|CALCIUM[ _-]*SUPP|URIC[ _-]*ACID|Z[ _-]*EFF"
    r"|EFF(ECTIVE)?[ _-]*(Z|ATOMIC)\b|ELECTRON[ _-]*DENSITY|VNC\b|VIRTUAL[ _-]*(NON[ _-]*CONTRAST|UNENHANCED|NATIVE?)\b"
    r"|MAT(ERIAL)?[ _-]*DENSITY|LUNG[ _-]*PBV|PERFUSED[ _-]*BLOOD[ _-]*VOLUME)"
)
"""Names of maps that mean nothing else in a series description; IODINE alone may be the contrast agent, DE CALCIUM be
French for a score, and MIP what a thin series was made for."""
_DESCRIBED_OF_DERIVED = {
    "projection": (
        re.compile(
            r"(?<![A-Z])([ST]?MIPS?|(MAX|MIN|AVE?|AVG|MEAN)[ _-]?M?IP|AIP|AVERAGE|AVG|VRT?|SSD|RAYSUM"
            r"|(VOLUME|SURFACE)[ _-]?RENDER(ED|ING)?)(?![A-Z])"
        ),
        "MIP, average, VRT or the like",
    ),
    "map": (
        re.compile(
            r"IODINE|(?<![A-Z])(IODE|JOD(KARTE|BILD)?|MAP|PERFUSION|VENTILATION|XENON|CBF|CBV|MTT|TTP|TMAX|PBV|CASUPP"
            r"|CALCIUM[ _-]*SUPP\w*|SUBTR\w*|DIFFERENCE|FUS(ED|ION)|RHO|(GE|GSI)[ _-]*VUE|GSI[ _-]*WATER"
            r"|WATER[ _-]*\(\w*\)|FAT[ _-]*FRACTION|ST(ANDAR)?D[ _-]*DEV\w*)(?![A-Z])"
        ),
        "iodine, perfusion, subtraction or the like",
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
_DESCRIBED_MONOENERGETIC = re.compile(
    r"\bMONO[ _-]*(E|CHROMATIC|PLUS|\+|\(|\d)|VIRTUAL[ _-]*MONO|\bVMI\b|\b\d{2,3}[ _-]*KEV\b"
)


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
    is_projection = any(map(_PROJECTION.fullmatch, _words([technique]))) or properties == "DISTORTED"
    return kinds | {"projection"} if is_projection else kinds


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


def is_no_slice(image: Dataset) -> bool:
    """Whether an image is a scout, a page of results, a projection or a map, by its ImageType."""
    return bool(_kinds_by_type(text(image, "ImageType").upper()) & _TOLD.keys())


def is_monoenergetic(image: Dataset) -> bool:
    """Whether an image is a virtual monoenergetic one, by its ImageType or the series description."""
    is_described = _DESCRIBED_MONOENERGETIC.search(text(image, "SeriesDescription").upper()) is not None
    return is_described or "monoenergetic" in _kinds_of(image)


def monoenergetic_note(images: Sequence[Dataset]) -> tuple[Defect, ...]:
    """A note on virtual monoenergetic images: their contrast isn't that of the images the networks were trained on."""
    by_type = any("monoenergetic" in _kinds_of(image) for image in images)
    if not by_type and not is_monoenergetic(images[0]):
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
            "The series description names a map computed from several spectra or images, whose values are not "
            "Hounsfield units."
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
