"""A program that keeps the application's contract in half a second, for tests that ask what becomes of many studies.

It reads every header, writes a report and a key image with UIDs that follow from the images' alone, and result.json.
Both say of how many images they are. What the application itself makes is tested with the application itself.
"""

import argparse
import json
import time
from pathlib import Path
from uuid import NAMESPACE_OID, uuid5

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ComprehensiveSRStorage, ExplicitVRLittleEndian, SecondaryCaptureImageStorage

LEAST_IMAGES = 5


def uid(*parts: str) -> str:
    return f"2.25.{uuid5(NAMESPACE_OID, '/'.join(parts)).int}"


def result_of(sources: list[Dataset], modality: str, sop_class: str) -> Dataset:
    first = sources[0]
    images = sorted(str(source.SOPInstanceUID) for source in sources)
    result = Dataset()
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyID"):
        setattr(result, keyword, first.get(keyword, ""))
    result.SOPClassUID = sop_class
    result.Modality = modality
    result.SeriesInstanceUID = uid(modality, *images)
    result.SOPInstanceUID = uid(modality, "instance", *images)
    result.SeriesDescription = f"{len(images)} images"
    result.file_meta = FileMetaDataset()
    result.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return result


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("-i", type=Path, required=True)
    parser.add_argument("-o", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=0.0, help="how long it takes")
    parser.add_argument("--wait-while", type=Path, help="it takes as long as there is this file")
    parser.add_argument("--broken-while", type=Path, help="it fails as long as there is this file")
    parser.add_argument("--refuse", action="store_true")
    options = parser.parse_args()
    sources = [pydicom.dcmread(path, stop_before_pixels=True) for path in sorted(options.i.iterdir())]
    time.sleep(options.seconds)
    while options.wait_while and options.wait_while.exists():
        time.sleep(0.05)
    if options.broken_while and options.broken_while.exists():
        print("ERROR of the small application")
        return 1
    eligible = len(sources) >= LEAST_IMAGES
    kinds = [("SR", ComprehensiveSRStorage), ("OT", SecondaryCaptureImageStorage)] if eligible else []
    for modality, sop_class in kinds[:1] if options.refuse else kinds:
        path = options.o / f"case-001.{modality.lower()}.dcm"
        result_of(sources, modality, sop_class).save_as(path, enforce_file_format=True)
    cases = [{"case": "case-001", "status": "refused" if options.refuse else "analysed"}] if eligible else []
    (options.o / "result.json").write_text(json.dumps({"cases": cases}))
    return 3 if not eligible else 4 if options.refuse else 0


if __name__ == "__main__":
    raise SystemExit(main())
