"""Write docs/conformance.md, `python -m deploy.conformance_statement`: the DICOM conformance statement (PS3.2).

What is read comes from the reader's own tables. What is written is found out: a synthetic study, with a value in every
attribute that an output might repeat, is put through the application's writers with each option of app.yaml, and the
files tell what they are. So the page follows the writers; write it again after a change of them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydicom import Dataset, dcmread
from pydicom._dicom_dict import DicomDictionary
from pydicom.charset import python_encoding
from pydicom.sr.coding import Code
from pydicom.uid import UID, CTImageStorage

from conformance.series import make_findings
from groundglass.app_yaml import OutputSection
from groundglass.changed_settings import write_changed_settings
from groundglass.dicomio.reading.attributes import quiet_pydicom, text
from groundglass.dicomio.reading.frames import MULTI_FRAME_CT
from groundglass.dicomio.reading.pixels import readable_syntaxes
from groundglass.dicomio.reading.scan import scan_folder
from groundglass.dicomio.reading.volume import read_images
from groundglass.dicomio.writing import codes
from groundglass.dicomio.writing.analysed_series import AnalysedSeries
from groundglass.dicomio.writing.segmentation import LABEL_MAP_STORAGE
from groundglass.domain.software import NAME, VERSION, SoftwareIdentity
from groundglass.locations import ROOT, SETTINGS_FILE
from groundglass.outputs import write_analysed, write_refused
from groundglass.phantom.study import write_study
from groundglass.phantom.thorax import make_thorax
from groundglass.settings import load_settings
from groundglass.settings_file import read_settings, schema_of

PAGE = ROOT / "docs" / "conformance.md"

_SLICES, _SIZE = 24, 96
_HASHES = {"lungs": "0" * 64, "classifier": "0" * 64}
_NAMES_THAT_PYDICOM_LACKS = {str(LABEL_MAP_STORAGE): "Label Map Segmentation Storage"}

_GROUPS = (0x0008, 0x0010, 0x0012, 0x0018, 0x0020, 0x0028, 0x0032, 0x0040)
_PLANTED = {
    "AS": "045Y", "CS": "PLANTED", "DA": "19010203", "DS": "71.25", "DT": "19010203040506", "IS": "71",
    "LO": "Planted", "LT": "Planted", "PN": "Planted^Name", "SH": "Planted", "ST": "Planted", "TM": "010203",
    "UC": "Planted", "UT": "Planted",
}  # fmt: skip
"""A value for each value representation, to be recognised in an output."""
_VALUES = {"PatientSex": "O", "TimezoneOffsetFromUTC": "+0300"}
"""Attributes whose values are enumerated."""
_KEPT = frozenset({
    "SpecificCharacterSet", "ImageType", "Modality", "ConversionType", "ImagePositionPatient",
    "ImageOrientationPatient", "PatientPosition", "SliceThickness", "SpacingBetweenSlices", "PixelSpacing",
    "InstanceNumber", "SliceLocation", "PhotometricInterpretation", "NumberOfFrames", "RescaleIntercept",
    "RescaleSlope", "RescaleType", "WindowCenter", "WindowWidth", "BodyPartExamined", "GantryDetectorTilt",
})  # fmt: skip
"""What makes the study one that can be analysed."""


@dataclass(frozen=True)
class Written:
    """One kind of object that is written.

    Attributes:
        file: how its file is called.
        option: of app.yaml that asks for it, or another condition; empty where it is always written.
        dataset: one of them.
    """

    file: str
    option: str
    dataset: Dataset

    @property
    def kind(self) -> tuple[str, str]:
        """What tells it from the others."""
        return self.file, str(self.dataset.SOPClassUID)


def write_all(folder: Path) -> list[Written]:
    """An object of every kind that the application writes of a study with findings, and of one that it refuses."""
    analysed = _analysed(folder / "study")
    found: dict[tuple[str, str], Written] = {}
    for number, (option, changes) in enumerate(_options()):
        settings = load_settings(write_changed_settings(folder / "app.yaml", output=changes))
        out = folder / f"out-{number}"
        out.mkdir()
        names = write_analysed("case-NNN", analysed, settings, out, lambda done, steps: None)
        for written in _read(out, names, option):
            found.setdefault(written.kind, written)
    out = folder / "refused"
    out.mkdir()
    names = write_refused("case-NNN", analysed.sources, analysed.software, "GAP", "A slice is missing.", out)
    return [*found.values(), *_read(out, names, "the case was not analysed")]


def _analysed(study: Path) -> AnalysedSeries:
    volume, truth = make_thorax("covid19", slices=_SLICES, size=_SIZE)
    planted = _planted()
    for file in write_study(volume, study, preset="covid19"):
        image = dcmread(file)
        for keyword, value in planted.items():
            setattr(image, keyword, value)
        image.save_as(file)
    (series,) = scan_folder(study).series
    read = read_images(series.instances)
    findings = make_findings(read.volume, truth.lungs, truth.lesions, "covid19")
    return AnalysedSeries(
        read.sources, read.volume, findings, SoftwareIdentity(NAME, VERSION, _HASHES, "cpu", "0" * 64)
    )


def _planted() -> dict[str, str]:
    """Attributes of the source by keyword, with values."""
    return {
        keyword: _VALUES.get(keyword, _PLANTED[vr])
        for tag, (vr, multiplicity, _, retired, keyword) in DicomDictionary.items()
        if tag >> 16 in _GROUPS and vr in _PLANTED and multiplicity.startswith("1") and not retired
        if keyword not in _KEPT and "LUT" not in keyword
    }


def _options() -> Iterator[tuple[str, dict[str, Any]]]:
    """app.yaml as shipped, then with each other choice of each setting of its section `output`."""
    yield "", {}
    shipped = read_settings(SETTINGS_FILE, SETTINGS_FILE.name)["output"]
    for key, part in schema_of(OutputSection)["properties"].items():
        choices = [True, False] if part.get("type") == "boolean" else part.get("enum", [])
        for choice in choices:
            if choice != shipped[key]:
                yield f"`output.{key}: {str(choice).lower()}`", {key: choice}


def _read(folder: Path, names: list[str], option: str) -> Iterator[Written]:
    for name in names:
        if name.endswith(".dcm"):
            dataset = dcmread(folder / name)
            yield Written(re.sub(r"-\d\d\.dcm$", "-KK.dcm", name), option, dataset)


def statement(written: list[Written]) -> str:
    """The page."""
    return _PAGE.format(
        name=NAME,
        version=VERSION,
        read=_table(("SOP class", "UID"), [_sop_class(UID(uid)) for uid in (CTImageStorage, *sorted(MULTI_FRAME_CT))]),
        syntaxes_read=_table(
            ("transfer syntax", "UID"), [(syntax.name, f"`{syntax}`") for syntax in readable_syntaxes()]
        ),
        written=_table(
            ("file", "SOP class", "UID", "modality", "template", "when"), [_object_row(item) for item in written]
        ),
        series=_table(("number", "Series Description", "files"), _series_rows(written)),
        syntaxes_written=_table(("transfer syntax", "UID", "files"), _syntax_rows(written)),
        copied=_table(("copied to", "attributes"), _copied_rows(written)),
        charsets=", ".join(
            f"`{name}`" for name in sorted(python_encoding) if name.startswith("ISO") or name[:2] == "GB"
        ),
        scheme=codes.PRIVATE_SCHEME,
        identified=_several(
            [f"`{item.file}`" for item in written if "CodingSchemeIdentificationSequence" in item.dataset]
        ),
        private=_table(("code", "meaning"), _private_codes()),
    )


def _sop_class(uid: UID) -> tuple[str, str]:
    return _NAMES_THAT_PYDICOM_LACKS.get(str(uid), uid.name), f"`{uid}`"


def _object_row(item: Written) -> tuple[str, ...]:
    template = item.dataset.get("ContentTemplateSequence")
    used = f"TID {template[0].TemplateIdentifier}" if template else ""
    return f"`{item.file}`", *_sop_class(item.dataset.SOPClassUID), item.dataset.Modality, used, item.option or "always"


def _series_rows(written: list[Written]) -> list[tuple[str, ...]]:
    files: dict[tuple[int, str], list[str]] = {}
    for item in written:
        key = int(item.dataset.SeriesNumber), str(item.dataset.SeriesDescription)
        files.setdefault(key, []).append(f"`{item.file}`")
    return [(str(number), described, _several(names)) for (number, described), names in sorted(files.items())]


def _syntax_rows(written: list[Written]) -> list[tuple[str, ...]]:
    files: dict[UID, list[str]] = {}
    for item in written:
        files.setdefault(item.dataset.file_meta.TransferSyntaxUID, []).append(f"`{item.file}`")
    return [(uid.name, f"`{uid}`", _several(names)) for uid, names in sorted(files.items())]


def _copied_rows(written: list[Written]) -> list[tuple[str, ...]]:
    """Attributes by the objects whose value is the source's."""
    planted = _planted()
    keywords: dict[tuple[str, ...], list[str]] = {}
    for keyword in sorted(planted):
        files = tuple(f"`{item.file}`" for item in written if text(item.dataset, keyword) == planted[keyword])
        keywords.setdefault(files, []).append(keyword)
    keywords.pop((), None)
    everywhere = tuple(f"`{item.file}`" for item in written)
    return [
        ("every object" if files == everywhere else _several(files), ", ".join(names))
        for files, names in sorted(keywords.items(), key=lambda item: (-len(item[0]), item[1]))
    ]


def _several(names: list[str] | tuple[str, ...]) -> str:
    return ", ".join(dict.fromkeys(names))


def _private_codes() -> list[tuple[str, ...]]:
    values = [
        each for value in vars(codes).values() for each in (value.values() if isinstance(value, dict) else [value])
    ]
    private = {each for each in values if isinstance(each, Code) and each.scheme_designator == codes.PRIVATE_SCHEME}
    return sorted((f"`{code.value}`", code.meaning) for code in private)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ("---",) * len(head), *rows))


_PAGE = """<!-- Written by `python -m deploy.conformance_statement` from what the code reads and writes. -->
# DICOM conformance statement

After the structure of DICOM PS3.2, in short. Product: {name} {version}. **Research use only; not for clinical
decisions.**

## 1 Overview

The application reads CT images from a folder and writes DICOM objects into a folder. It is a file-set reader and
creator on a file system (PS3.10), and has no network services, no media application profile and no DICOMDIR. A router
or archive moves the files: each object below is sent with C-STORE or STOW-RS under its own SOP class, and a receiver
has to accept those that are used. One series of each study becomes a case, NNN in the names of its files.

## 2 Objects read

{read}

Other objects in the folder are listed in `result.json` and left alone. What makes a series eligible, and what is
refused: [refusals](refusals.md). Enhanced objects are read frame by frame.

### Transfer syntaxes read

{syntaxes_read}

A file needs no preamble and no file meta information where its data set can be told to be DICOM. Pixels have
one sample of at most 16 stored bits; a codestream must be complete and of the size that the header gives.

## 3 Objects written

Any of `app.yaml`'s options that is not named under "when" stays as shipped. A study without findings has no object that
shows them.

{written}

### Series

Siblings of the source series in its study. Their UIDs, and those of all instances, are derived (`2.25.`) from the
source's UIDs, the version, the weights and the settings: a repeated run gives the same.

{series}

### Transfer syntaxes written

{syntaxes_written}

## 4 Attributes copied from the source

Patient and study are those of the first source image: a value is repeated exactly, or, where its value representation
doesn't allow it, left out or empty, and named in `source_defects` of `result.json`. It is never shortened. Sequences of
the Patient and Study modules are copied with them. Study, frame of reference and source images are referred to by the
UIDs that they have, valid or not.

{copied}

Series and equipment are the application's own: Manufacturer, Manufacturer's Model Name, Software Versions and Device
Serial Number (of the set of weights). Each object has this program as an item of its Contributing Equipment Sequence.

## 5 Character sets

Read: {charsets}, and combinations by code extension. An output has the Specific Character Set of its source; text of
the application's own is ASCII.

## 6 Codes

DICOM (DCM), SNOMED CT (SCT), LOINC (LN), UCUM and UMLS, where they have the concept; else the private scheme
`{scheme}`, which is identified (Coding Scheme Identification Sequence) in {identified}:

{private}

No private attributes are written.

## 7 Security

The application opens no port and no connection. Logs and `result.json` hold no patient data but UIDs; objects hold the
patient and study of their source, as section 4 says. Burned-in text is about the findings alone.
"""


def main() -> int:
    """Write the page; returns the exit code."""
    with TemporaryDirectory() as folder, quiet_pydicom():
        PAGE.write_text(statement(write_all(Path(folder))), encoding="utf-8")
    print(PAGE.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
