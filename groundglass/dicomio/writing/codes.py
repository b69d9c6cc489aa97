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
# CID 244 "Laterality", by the side of a region
RIGHT = _sct("24028007", "Right")
LEFT = _sct("7771000", "Left")
SIDES = {"right": RIGHT, "left": LEFT, "both": _sct("51440002", "Bilateral")}
# CID 6171 "Zone of Lung", by the third of the lung's height
ZONES = {
    "upper": _sct("281392002", "Upper zone of lung"),
    "middle": _sct("281393007", "Middle zone of lung"),
    "lower": _sct("281394001", "Lower zone of lung"),
}
RIGHT_LUNG = _sct("3341006", "Right lung")
LEFT_LUNG = _sct("44029006", "Left lung")

# Conclusion
PNEUMONIA = _sct("233604007", "Pneumonia")
STATES = {
    # CID 240 "Present-Absent"; its third, "Undetermined", doesn't say that somebody has looked
    "present": _sct("52101004", "Present"),
    "absent": _sct("272519000", "Absent"),
    "indeterminate": _sct("82334004", "Indeterminate"),
}
KIND = _private("PNEUMONIA-KIND", "Kind of pneumonia")
KINDS = {
    "cap": _sct("385093006", "Community acquired pneumonia"),
    "covid19": _sct("840539006", "COVID-19"),
    "undetermined": _sct("373068000", "Undetermined"),
}

# What was measured
FINDING = _dcm("121071", "Finding")
SALIENCY = _dcm("130404", "Saliency")
PROBABILITY = _dcm("122157", "Probability")
VOLUME = _sct("118565006", "Volume")
SALIENT_FRACTION = _private("SALIENT-FRACTION", "Salient fraction of volume")
CONTRIBUTION = _private("CONTRIBUTION", "Part of the saliency")

NO_UNITS = Code("1", "UCUM", "no units")
PERCENT = Code("%", "UCUM", "Percent")
MILLILITER = Code("ml", "UCUM", "milliliter")

# Report
MEASUREMENT_REPORT = _dcm("126000", "Imaging Measurement Report")  # CID 7021
SUMMARY = Code("55112-7", "LN", "Summary")  # CID 7001; CID 7021 is extensible
LANGUAGE = _dcm("121049", "Language of Content Item and Descendants")
ENGLISH = Code("en-US", "RFC5646", "English (United States)")
PROCEDURE_REPORTED = _dcm("121058", "Procedure reported")
CT = Code("25045-6", "LN", "CT unspecified body region")  # CID 100 has no CT of the chest
IMAGE_LIBRARY = _dcm("111028", "Image Library")
IMAGE_LIBRARY_GROUP = _dcm("126200", "Image Library Group")
MODALITY = _dcm("121139", "Modality")
COMPUTED_TOMOGRAPHY = _dcm("CT", "Computed Tomography")
SOURCE = _sct("260753009", "Source")
OF_INTEREST = _dcm("113000", "Of Interest")
SEGMENTATION = _dcm("113076", "Segmentation")
IMAGING_MEASUREMENTS = _dcm("126010", "Imaging Measurements")
DERIVED_MEASUREMENTS = _dcm("126011", "Derived Imaging Measurements")
QUALITATIVE_EVALUATIONS = Code("C0034375", "UMLS", "Qualitative Evaluations")
CONCLUSION = _dcm("121077", "Conclusion")
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
