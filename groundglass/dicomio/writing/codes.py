"""The coded concepts of the outputs (DICOM PS3.16), and what the class names mean to a reader.

Codes that `pydicom.sr.codedict` knows are written out here all the same: one table to compare with the standard.
They are `Code`, which can't be changed, so that no output alters a code that others share.
"""

from collections.abc import Sequence

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from pydicom.sr.coding import Code

PRIVATE_SCHEME = "99GROUNDGLASS"
"""Coding scheme of the few concepts for which no public code exists."""


def _private(value: str, meaning: str) -> Code:
    return Code(value, PRIVATE_SCHEME, meaning)


def _dcm(value: str, meaning: str) -> Code:
    return Code(value, "DCM", meaning)


def _sct(value: str, meaning: str) -> Code:
    return Code(value, "SCT", meaning)


# Anatomy
ANATOMICAL_STRUCTURE = _sct("91723000", "Anatomical Structure")
LUNG = _sct("39607008", "Lung")
RIGHT = _sct("24028007", "Right")
LEFT = _sct("7771000", "Left")
RIGHT_LUNG = _sct("3341006", "Right lung")
LEFT_LUNG = _sct("44029006", "Left lung")

# Classes, in the order of groundglass.domain.class_names.CLASSES
CLASS_CODES = {
    "np": _private("NP", "No pneumonia"),
    "cap": _sct("385093006", "Community acquired pneumonia"),
    "covid19": _sct("840539006", "COVID-19"),
}

# What was measured
FINDING = _dcm("121071", "Finding")
SALIENCY = _dcm("130404", "Saliency")
PROBABILITY = _dcm("122157", "Probability")
AREA = _sct("42798000", "Area")
VOLUME = _sct("118565006", "Volume")
LENGTH = _sct("410668003", "Length")
SALIENT_FRACTION = _private("SALIENT-FRACTION", "Salient fraction of lung volume")
EXPLAINED_CLASS = _private("EXPLAINED-CLASS", "Class explained by the saliency")
BOUNDED_BY = _sct("75958009", "Bounded by")
INTEGRATED_GRADIENTS = _private("INTEGRATED-GRADIENTS", "Integrated gradients at three scales")

NO_UNITS = Code("1", "UCUM", "no units")
PERCENT = Code("%", "UCUM", "Percent")
MILLIMETER = Code("mm", "UCUM", "millimeter")
MILLILITER = Code("ml", "UCUM", "milliliter")
SQUARE_MILLIMETER = Code("mm2", "UCUM", "square millimeter")

# Report
CT = Code("25045-6", "LN", "CT unspecified body region")  # CID 100 has no CT of the chest
QUALITATIVE_EVALUATIONS = Code("C0034375", "UMLS", "Qualitative Evaluations")
COMMENT = _dcm("121106", "Comment")
DEVICE = _dcm("121007", "Device")

# Run status, CID 6047 "CAD Processing and Findings Summary"
RUN_STATUS = _dcm("111017", "CAD Processing and Findings Summary")
SUCCEEDED_WITHOUT_FINDINGS = _dcm("111241", "All algorithms succeeded; without findings")
SUCCEEDED_WITH_FINDINGS = _dcm("111242", "All algorithms succeeded; with findings")
NONE_SUCCEEDED = _dcm("111245", "No algorithms succeeded; without findings")

# Provenance
ARTIFICIAL_INTELLIGENCE = _dcm("123110", "Artificial Intelligence")  # CID 7162
PROCESSING_EQUIPMENT = _dcm("109102", "Processing Equipment")
SOURCE_IMAGE_FOR_PROCESSING = _dcm("121322", "Source image for image processing operation")


def private_coding_schemes() -> Sequence[CodingSchemeIdentificationItem]:
    """Identifies the private scheme, as PS3.3 C.12.1 asks of every object that uses one."""
    return [
        CodingSchemeIdentificationItem(
            PRIVATE_SCHEME, name="Groundglass private codes", responsible_organization="Groundglass"
        )
    ]
