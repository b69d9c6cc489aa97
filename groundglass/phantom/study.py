"""Writes a phantom as a DICOM study (CT Image Storage, PS3.3 A.3), and its truth beside it."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from uuid import NAMESPACE_OID, uuid5

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian
from pydicom.valuerep import format_number_as_ds

from groundglass.domain.arrays import HounsfieldUnits
from groundglass.domain.volume import CTVolume
from groundglass.phantom.thorax import MAXIMUM_HU, MINIMUM_HU, Truth

STORED_AXES = {"HFS": (1, 1), "HFP": (-1, -1), "FFS": (1, -1), "FFP": (-1, 1)}
"""Direction of stored rows and columns against HFS, by Patient Position."""

_IMPLEMENTATION_UID = UID("2.25." + str(uuid5(NAMESPACE_OID, "groundglass phantom").int))


class PhantomFolderError(Exception):
    """A folder can't take the phantom's files."""


BIRTH_DATE = "19590308"
"""Of every phantom, so that an output or a log that should not lose or tell it is found out."""


def require_empty(folder: Path) -> None:
    """Check that a folder is free for the phantom's files.

    Raises:
        PhantomFolderError: `folder` is a file, or has files in it.
    """
    if folder.exists() and not folder.is_dir():
        raise PhantomFolderError(f"{folder} is a file. Name a folder that is empty or does not exist yet.")
    if folder.is_dir() and any(folder.iterdir()):
        raise PhantomFolderError(
            f"The folder {folder} is not empty. Name an empty or a new one, so that the phantom is not mixed with "
            "other files and nothing is overwritten."
        )


def write_study(
    volume: CTVolume,
    folder: Path,
    *,
    preset: str,
    seed: int = 0,
    patient_position: str = "HFS",
    on_slice: Callable[[], None] = lambda: None,
) -> list[Path]:
    """Write one CT Image Storage file a slice, uncompressed, Explicit VR Little Endian.

    The same call writes the same bytes. UIDs come from preset, seed, geometry and Patient Position.

    Args:
        volume: from `make_thorax`: slices from head to feet, HU within MINIMUM_HU and MAXIMUM_HU (clipped to them).
        folder: empty, or made here.
        preset, seed: what the volume was made with.
        patient_position: a key of STORED_AXES. Rows and columns are stored as a scanner stores them for that position;
            the anatomy stays at the same patient coordinates (and gravity's gradient that of a patient on the back).
        on_slice: called after each file.

    Returns:
        The files, from head to feet.

    Raises:
        PhantomFolderError: `folder` is not empty.
        ValueError: unknown `patient_position`.
    """
    if patient_position not in STORED_AXES:
        raise ValueError(f"Unknown patient position {patient_position!r}: choose one of {', '.join(STORED_AXES)}.")
    require_empty(folder)
    folder.mkdir(parents=True, exist_ok=True)
    row_sign, col_sign = STORED_AXES[patient_position]
    stored = volume.hu[:, ::row_sign, ::col_sign]
    corner = np.array([0, 0 if row_sign > 0 else stored.shape[1] - 1, 0 if col_sign > 0 else stored.shape[2] - 1, 1.0])
    origin_mm = (volume.affine @ corner)[:3]
    step_mm = volume.directions[0] * volume.spacing_mm[0]
    identity = f"{preset}/{seed}/{volume.hu.shape}/{volume.spacing_mm}/{patient_position}"

    paths = []
    for index, plane in enumerate(stored):
        dataset = _common_attributes(preset, seed, identity)
        dataset.PatientPosition = patient_position
        dataset.SOPInstanceUID = _uid(f"{identity}/instance/{index}")
        dataset.InstanceNumber = index + 1
        dataset.ImagePositionPatient = _decimals(origin_mm + index * step_mm)
        dataset.ImageOrientationPatient = _decimals(
            [*(col_sign * volume.directions[2]), *(row_sign * volume.directions[1])]
        )
        dataset.SliceLocation = _decimals([origin_mm[2] + index * step_mm[2]])[0]
        dataset.SliceThickness = _decimals([volume.spacing_mm[0]])[0]
        dataset.PixelSpacing = _decimals(volume.spacing_mm[1:])
        _set_pixels(dataset, plane)
        path = folder / f"IM{index + 1:04d}.dcm"
        _save(dataset, path)
        paths.append(path)
        on_slice()
    return paths


def write_truth(truth: Truth, volume: CTVolume, folder: Path, *, preset: str, seed: int) -> None:
    """Write `truth.npz` (`lungs` and `lesions`, `(slice, row, col)`, slices from head to feet) and `truth.json`.

    Raises:
        PhantomFolderError: `folder` is not empty.
    """
    require_empty(folder)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / "truth.npz", lungs=truth.lungs, lesions=truth.lesions)
    lesions = [
        {"number": number, **asdict(lesion), "volume_ml": int((truth.lesions == number).sum()) * volume.voxel_volume_ml}
        for number, lesion in enumerate(truth.lesion_list, start=1)
    ]
    facts = {
        "preset": preset,
        "seed": seed,
        "label": truth.label,
        "shape": list(volume.hu.shape),
        "spacing_mm": list(volume.spacing_mm),
        "right_ml": truth.right_ml,
        "left_ml": truth.left_ml,
        "lesion_fraction": float((truth.lesions > 0).sum() / (truth.lungs > 0).sum()),
        "lesions": lesions,
    }
    (folder / "truth.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def _uid(name: str) -> UID:
    """A UID derived from a UUID (PS3.5 B.2) that is the same for the same name."""
    return UID("2.25." + str(uuid5(NAMESPACE_OID, f"groundglass phantom {name}").int))


def _decimals(values: object) -> list[str]:
    """Decimal Strings of at most 16 characters, to a nanometre."""
    return [format_number_as_ds(round(float(value), 6) + 0.0) for value in np.asarray(values, dtype=float)]


def _common_attributes(preset: str, seed: int, identity: str) -> Dataset:
    """Every attribute that all slices share: Patient, Study, Frame of Reference, Equipment and Series."""
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.SOPClassUID = CTImageStorage
    dataset.PatientName = "Phantom^Groundglass"
    dataset.PatientID = f"PHANTOM-{preset}-{seed}"
    dataset.PatientBirthDate = BIRTH_DATE
    dataset.PatientSex = "O"
    dataset.StudyInstanceUID = _uid(f"{identity}/study")
    dataset.SeriesInstanceUID = _uid(f"{identity}/series")
    dataset.FrameOfReferenceUID = _uid(f"{identity}/frame of reference")
    dataset.StudyID, dataset.SeriesNumber, dataset.AcquisitionNumber = "1", 1, 1
    for part in ("Study", "Series", "Acquisition", "Content"):
        setattr(dataset, f"{part}Date", "20200101")
        setattr(dataset, f"{part}Time", "120000")
    dataset.AccessionNumber = f"PHANTOM-ACC-{seed}"
    dataset.ReferringPhysicianName = "Phantom^Referrer"
    dataset.PositionReferenceIndicator = ""
    dataset.StudyDescription = "Synthetic chest CT"
    dataset.SeriesDescription = "Thorax phantom, lung kernel"
    dataset.Modality = "CT"
    dataset.Manufacturer = "Groundglass"
    dataset.ManufacturerModelName = "Thorax phantom"
    dataset.BodyPartExamined = "CHEST"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.KVP = "120"
    dataset.ConvolutionKernel = "SYNTHETIC"
    return dataset


def _set_pixels(dataset: Dataset, plane_hu: HounsfieldUnits) -> None:
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = plane_hu.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = str(MINIMUM_HU), "1", "HU"
    dataset.WindowCenter, dataset.WindowWidth = "-600", "1500"
    stored = np.clip(plane_hu, MINIMUM_HU, MAXIMUM_HU) - MINIMUM_HU
    dataset.PixelData = np.ascontiguousarray(stored, dtype="<u2").tobytes()


def _save(dataset: Dataset, path: Path) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = _IMPLEMENTATION_UID
    meta.ImplementationVersionName = "GROUNDGLASS"
    FileDataset(str(path), dataset, file_meta=meta, preamble=b"\0" * 128).save_as(path, enforce_file_format=True)
