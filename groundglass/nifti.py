"""NIfTI for researchers: a volume from a file, and label maps on the grid of that file.

In NIfTI-1 x grows to the patient's right, y to the front and z to the head; in DICOM x grows to the left and y to the
back. NIfTI knows no patient, no study, and no unit of its values.
"""

import gzip
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from groundglass.domain.arrays import AnyArray, Coordinates, Scalar
from groundglass.domain.errors import Refusal, UsageError
from groundglass.domain.hounsfield import as_hounsfield_units
from groundglass.domain.refusals import RefusalCode
from groundglass.domain.volume import CANONICAL_AXES, CTVolume, check_extent

_TO_DICOM = np.array([-1.0, -1.0, 1.0])
"""Signs of NIfTI's x, y and z in DICOM's patient coordinates."""
_SKEW = 1e-3
"""Cosine between two axes of a volume from which it counts as sheared."""
_GZIP_LEVEL = 6


@dataclass(frozen=True)
class NiftiVolume:
    """A CT volume and the file's own grid, on which results are written.

    Attributes:
        volume: slices from head to feet, rows from front to back, columns from the patient's right to the left.
        affine: 4x4, of the file: from `(i, j, k)` to NIfTI's world in mm.
        order: for each axis `(slice, row, col)` of the volume the axis of the file.
        flipped: which of the volume's axes run against those of the file.
    """

    volume: CTVolume
    affine: Coordinates
    order: tuple[int, int, int]
    flipped: tuple[int, ...]

    def on_file_grid(self, array: NDArray[Scalar]) -> NDArray[Scalar]:
        """A view of an array on the grid of `volume`, as `(i, j, k)` of the file."""
        return np.flip(array, self.flipped).transpose(np.argsort(self.order))

    def encode(self, array: NDArray[Scalar]) -> bytes:
        """An array on the grid of `volume` as the bytes of a .nii.gz file on the grid of the source."""
        import nibabel  # here and below: a run on DICOM starts without it

        image = nibabel.Nifti1Image(np.ascontiguousarray(self.on_file_grid(array)), self.affine)
        image.header.set_xyzt_units("mm")
        return gzip.compress(image.to_bytes(), _GZIP_LEVEL, mtime=0)


def read_nifti(file: Path | str) -> NiftiVolume:
    """A chest CT from a NIfTI file, in Hounsfield units.

    >>> from groundglass import read_nifti
    >>> read_nifti(nifti).volume.hu.ndim
    3

    Args:
        file: .nii or .nii.gz, one volume, with an affine in mm.

    Raises:
        UsageError: the file can't be read, is no single volume, or does not say where its voxels lie.
        Refusal: TILT, the axes of the volume are not at right angles; NOT_HU, its values are no Hounsfield units of a
            chest.
    """
    import nibabel
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError
    from nibabel.wrapstruct import WrapStructError

    file = Path(file)
    if not file.is_file():
        raise UsageError("The NIfTI file does not exist or is no file. Check its path.")
    try:
        image = nibabel.Nifti1Image.from_filename(file)
        data = np.asanyarray(image.dataobj)
    except (ImageFileError, HeaderDataError, WrapStructError, OSError, EOFError, ValueError, zlib.error) as error:
        raise UsageError(
            f"The NIfTI file can't be read ({type(error).__name__}): it is empty, cut, damaged, or no NIfTI."
        ) from error
    if data.ndim != 3:
        raise UsageError(f"The NIfTI file has {data.ndim} axes, and a CT volume has three: give one volume.")
    if not (image.header["sform_code"] or image.header["qform_code"]):
        raise UsageError(
            "The NIfTI file doesn't say how its voxels lie in the patient (sform and qform are 0), so right and left "
            "can't be told apart. Convert it from DICOM again."
        )
    if image.header.get_xyzt_units()[0] in ("meter", "micron"):
        raise UsageError("The NIfTI file has its lengths in another unit than mm. Convert it.")
    return volume_of(data, np.asarray(image.affine, float))


def volume_of(data: AnyArray, affine: Coordinates) -> NiftiVolume:
    """A chest CT from the voxels of a NIfTI file and its affine.

    Args:
        data: `(i, j, k)` in Hounsfield units.
        affine: 4x4, from `(i, j, k)` to NIfTI's world in mm.

    Raises:
        UsageError, Refusal: as `read_nifti`.
    """
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if not (np.isfinite(affine).all() and (spacing > 0).all()):
        raise UsageError("The NIfTI file has no valid affine: a spacing is 0 or no number.")
    axes = affine[:3, :3] / spacing
    skew = np.abs(axes.T @ axes - np.eye(3)).max()
    if skew > _SKEW:
        raise Refusal(
            RefusalCode.TILT,
            f"The axes of the NIfTI volume are not at right angles (cosine {skew:.3f}), as with a tilted gantry. "
            "Give the DICOM series, whose tilt is corrected, or resample the volume.",
        )
    directions = (axes * _TO_DICOM[:, None]).T
    order, flipped = _to_canonical(directions)
    spacing_mm = tuple(float(spacing[axis]) for axis in order)
    check_extent([data.shape[axis] for axis in order], spacing_mm)
    hu = np.ascontiguousarray(np.flip(as_hounsfield_units(data).transpose(order), flipped))
    corner = np.zeros(3)
    for axis in flipped:
        corner[order[axis]] = data.shape[order[axis]] - 1
    origin_mm = (affine[:3, :3] @ corner + affine[:3, 3]) * _TO_DICOM
    turned = directions[list(order)]
    turned[list(flipped)] *= -1
    slice_mm, row_mm, col_mm = spacing_mm
    return NiftiVolume(CTVolume(hu, (slice_mm, row_mm, col_mm), origin_mm, turned), affine, order, flipped)


def _to_canonical(directions: Coordinates) -> tuple[tuple[int, int, int], tuple[int, ...]]:
    """Which axis of the file each canonical one is, and which of them run against it."""
    alignment = CANONICAL_AXES @ directions.T
    order: Sequence[int] = np.abs(alignment).argmax(axis=1).tolist()
    if sorted(order) != [0, 1, 2]:
        raise UsageError("The NIfTI volume lies askew: no order of its axes is nearest to the patient's.")
    flipped = tuple(position for position, axis in enumerate(order) if alignment[position, axis] < 0)
    return (order[0], order[1], order[2]), flipped
