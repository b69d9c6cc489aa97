"""A program that keeps the application's contract in a third of a second, for tests that ask what becomes of studies.

It reads every header, writes a report and a key image with UIDs that follow from the images' alone, and result.json.
Both say of how many images they are. What the application itself makes is tested with the application itself.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from uuid import NAMESPACE_OID, uuid5

# What pydicom would import for pixels and downloads, neither of which are wanted here, is most of what a start takes.
sys.modules.update(dict.fromkeys(("numpy", "gdcm", "requests", "PIL")))

import pydicom  # noqa: E402
from pydicom.dataset import Dataset, FileMetaDataset  # noqa: E402
from pydicom.uid import ComprehensiveSRStorage, ExplicitVRLittleEndian, SecondaryCaptureImageStorage  # noqa: E402

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
    parser.add_argument("--orders", type=Path, help="folder of tests.deploy.loop.Orders: what to do with which patient")
    options = parser.parse_args()
    sources = [pydicom.dcmread(path, stop_before_pixels=True) for path in sorted(options.i.iterdir())]

    def ordered(action: str) -> Path | None:
        order = options.orders and options.orders / f"{action}-{sources[0].PatientID}"
        return order if order and order.exists() else None

    if hold := ordered("hold"):
        held = hold.with_name(f"held-{sources[0].PatientID}")
        held.touch()
        while hold.exists():
            time.sleep(0.05)
        held.unlink(missing_ok=True)
    if ordered("fail"):
        print("ERROR of the small application")
        return 1
    refuse = ordered("refuse")
    eligible = len(sources) >= LEAST_IMAGES
    kinds = [("SR", ComprehensiveSRStorage), ("OT", SecondaryCaptureImageStorage)] if eligible else []
    for modality, sop_class in kinds[:1] if refuse else kinds:
        path = options.o / f"case-001.{modality.lower()}.dcm"
        result_of(sources, modality, sop_class).save_as(path, enforce_file_format=True)
    cases = [{"case": "case-001", "status": "refused" if refuse else "analysed"}] if eligible else []
    (options.o / "result.json").write_text(json.dumps({"cases": cases}))
    return 3 if not eligible else 4 if refuse else 0


if __name__ == "__main__":
    raise SystemExit(main())
