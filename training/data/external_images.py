"""8-bit slices from elsewhere, `<class>/<prefix>_<patient>_<scan>_<slice>.png`: found and checked."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from groundglass.domain.class_names import CLASSES
from training.data.pictures import has_8_bits

FOLDER_CLASS = {"normal": "np", "pneumonia": "cap", "covid-19": "covid19"}
_NAME = re.compile(r"(?P<prefix>\w[\w-]*)_(?P<patient>[^\W_]+)_(?P<scan>[^\W_]+)_(?P<slice>[^\W_]+)")
_PICTURES = {".png", ".jpg", ".jpeg"}


class UnusableImages(ValueError):
    """The folder of images is not laid out as it must be, or holds pictures that can't be read."""


@dataclass(frozen=True)
class ImageFile:
    """One picture: its class, index into CLASSES, and the keys of its patient and scan."""

    path: Path
    label: int
    patient: tuple[str, str, str]
    scan: str


def list_images(folder: Path) -> list[ImageFile]:
    """All pictures, sorted; every file is checked before anything is scored.

    A patient is one folder, one prefix and one patient number: the same number under another class is someone else.

    Raises:
        UnusableImages: no such folder or no pictures, an unknown class folder, a name of another form, a damaged file.
    """
    if not folder.is_dir():
        raise UnusableImages(
            f"There is no folder {folder}: give the folder that holds {class_folders()} with --images."
        )
    classes = sorted(item for item in folder.iterdir() if item.is_dir() and not item.name.startswith("."))
    unknown = [item.name for item in classes if item.name not in FOLDER_CLASS]
    if unknown:
        raise UnusableImages(
            _refusal("class folders are unknown", unknown, f"The class folders are {class_folders()}.")
        )
    images: list[ImageFile] = []
    misnamed = [item.name for item in sorted(folder.iterdir()) if item.suffix.lower() in _PICTURES]
    for item in classes:
        for path in sorted(item.rglob("*")):
            is_folder = path.is_dir() and not path.is_symlink()
            if is_folder or any(part.startswith(".") for part in path.relative_to(item).parts):
                continue
            match = _NAME.fullmatch(path.stem) if path.parent == item else None
            if match is None or path.suffix.lower() not in _PICTURES:
                misnamed.append(str(path.relative_to(folder)))
                continue
            patient = (item.name, match["prefix"], match["patient"])
            images.append(ImageFile(path, CLASSES.index(FOLDER_CLASS[item.name]), patient, match["scan"]))
    if misnamed:
        form = "Pictures are named <class>/<prefix>_<patient>_<scan>_<slice>.png (or .jpg)."
        raise UnusableImages(_refusal("files have names of another form", misnamed, form))
    if not images:
        raise UnusableImages(f"The folder holds no pictures: put PNG or JPEG files into {class_folders()}.")
    damaged = [str(image.path.relative_to(folder)) for image in images if not _is_sound(image.path)]
    if damaged:
        advice = "Replace or remove them: none is left out."
        raise UnusableImages(_refusal("pictures can't be read, or have more than 8 bits a channel", damaged, advice))
    return images


def class_folders() -> str:
    """The folders that may be there, for help and errors."""
    return ", ".join(FOLDER_CLASS)


def _refusal(trouble: str, names: Sequence[str], advice: str) -> str:
    return f"{len(names)} {trouble}, first: {', '.join(names[:5])}. {advice}"


def _is_sound(path: Path) -> bool:
    try:
        with Image.open(path) as image:
            sound = has_8_bits(image)
            image.verify()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False
    return sound
