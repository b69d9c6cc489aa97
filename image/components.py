"""Inside the build: what the image is made of, and the licence of each part.

What is linked with the application must not be under a licence of the GPL family: its Python packages, and the native
libraries that the application's process has loaded after all its imports. Programs of the system that merely lie beside
it may be. An exception needs a line here, with its reason.
"""

import importlib
import platform
import re
import subprocess
import sys
import warnings
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import yaml

ROOT = Path("/opt/holoscan")

IMPORTS = (
    *("app.application", "app.command_line", "groundglass.phantom.study", "torch", "scipy.ndimage", "skimage.measure"),
    *("highdicom", "pydicom.pixels", "gdcm", "openjpeg", "rle", "PIL.Image", "PIL.ImageDraw", "PIL._imagingft"),
    *("safetensors.torch", "jsonschema", "tqdm", "yaml"),
    # imagecodecs loads a codec when it is first asked for: those of groundglass/dicomio/reading/pixels.py.
    *("imagecodecs._jpeg8", "imagecodecs._jpegls", "imagecodecs._jpeg2k"),
)
"""All that a run imports, at its start or later."""

GPL_FAMILY = re.compile(r"\b[AL]?GPL|General Public Licen[cs]e", re.IGNORECASE)

GCC_RUNTIME = "GPL-3.0 with the GCC Runtime Library Exception"
EXCEPTIONS = {
    r"libgfortran|libgomp|libgcc_s|libgcc-s1|libstdc\+\+(6)?": (
        GCC_RUNTIME,
        "the exception lets programs of any licence use the compiler's runtime",
    ),
    r"libquadmath": ("LGPL-2.1-or-later", "part of the compiler's runtime, a shared library that is used unchanged"),
    r"libc6|libcrypt1": ("LGPL-2.1-or-later", "the system's C library, a shared library that is used unchanged"),
    r"libbz2-1\.0": ("bzip2 (BSD)", "GPL-2 holds for Debian's packaging of it"),
    r"libssl3(t64)?|openssl": ("Apache-2.0", "the GPL is one that a script beside the library may be used under"),
    r"libffi8": ("MIT", "the GPL holds for its tests and build scripts"),
    r"liblzma5": ("public domain", "the GPL holds for programs and scripts beside the library"),
    r"libsqlite3-0": ("public domain", "the GPL holds for a build script"),
    r"libuuid1": ("BSD-3-Clause", "the GPL holds for other programs of the same source"),
    r"zlib1g|libexpat1": ("Zlib / MIT", "the GPL is named for packaging, where at all"),
    r"libpython3\.\d+-(stdlib|minimal)": ("PSF-2.0", "the GPL is named for build scripts, with an exception"),
}
"""Patterns of names whose package, or wheel, names the GPL: what the linked part is really under, and why it may be."""


class LicenceRefused(Exception):
    """Something that is linked is under a licence of the GPL family."""


@dataclass(frozen=True)
class Component:
    """A part of the image.

    Attributes:
        kind: CycloneDX's `library`, `operating-system` or `machine-learning-model`.
        licence: as its own metadata say, in words.
        linked: whether the application's process has it in itself.
        sha256: where it is one file.
    """

    kind: str
    name: str
    version: str
    licence: str
    purl: str = ""
    linked: bool = False
    sha256: str = ""


def declared_licence(package: metadata.PackageMetadata) -> str:
    """The licences that a Python package declares, from the most precise of the three places where it may do so."""
    if expressions := package.get_all("License-Expression"):
        return str(expressions[0])
    classifiers = [each.split(" :: ") for each in package.get_all("Classifier") or []]
    if terms := [each[-1] for each in classifiers if each[0] == "License" and each[-1] != "OSI Approved"]:
        return " AND ".join(terms)
    return next(iter("".join(package.get_all("License") or []).strip().splitlines()), "not declared")


def exception_for(name: str) -> tuple[str, str] | None:
    """Licence and reason, for a name that has a line in EXCEPTIONS."""
    return next((value for pattern, value in EXCEPTIONS.items() if re.fullmatch(pattern, name)), None)


def refuse_gpl_family(components: list[Component]) -> None:
    """Raise LicenceRefused when a linked component names a licence of the GPL family and has no exception."""
    refused = [
        f"{each.name} {each.version}: {each.licence}"
        for each in components
        if each.linked and GPL_FAMILY.search(each.licence) and exception_for(each.name) is None
    ]
    if refused:
        raise LicenceRefused(
            "Linked with the application, and under a licence of the GPL family: " + "; ".join(refused) + ". "
            "Do without it, or add it to EXCEPTIONS of image/components.py with the reason."
        )


def python_packages() -> list[Component]:
    """Every Python package in the image; all count as linked."""
    found = {}
    for package in metadata.distributions():
        name = re.sub(r"[-_.]+", "-", package.name).lower()
        purl = f"pkg:pypi/{name}@{package.version}"
        licence = declared_licence(package.metadata)
        found[name] = Component("library", name, package.version, licence, purl, linked=True)
    return [found[name] for name in sorted(found)]


def loaded_libraries() -> list[Path]:
    """The shared libraries in this process, once it has imported what a run imports."""
    from app.accelerator import load_cuda_runtime

    load_cuda_runtime()
    with warnings.catch_warnings():
        # Holoscan's wish for its graph's threads, at its import: nothing is run here, and runs do with less.
        warnings.filterwarnings("ignore", message="Current stack size")
        for module in IMPORTS:
            importlib.import_module(module)
    maps = Path("/proc/self/maps").read_text(encoding="utf-8")
    return sorted({Path(name) for name in re.findall(r"\s(/\S+\.so[.\d]*)$", maps, re.MULTILINE)})


def bundled_libraries(loaded: list[Path]) -> list[Component]:
    """Libraries of others that wheels bring along, each `<wheel>.libs/<name>-<hash>.so`, and compilers' runtimes."""
    found = {}
    for path in loaded:
        name = re.split(r"-[0-9a-f]{8}|\.so", path.name)[0]
        exception = exception_for(name)
        if path.parts[1] == "opt" and (path.parent.name.endswith(".libs") or exception):
            wheel = path.parent.name.removesuffix(".libs") if path.parent.name.endswith(".libs") else path.parts[-3]
            version = path.name.partition(".so.")[2] or "unknown"
            licence = exception[0] if exception else f"as in the licence files of {wheel}"
            found[name, wheel] = Component("library", name, version, licence, f"pkg:generic/{name}?in={wheel}", True)
    return [found[key] for key in sorted(found)]


def system_packages(loaded: list[Path]) -> list[Component]:
    """The distribution and its packages; linked are those that own a library in this process.

    Scanners for vulnerabilities look packages up by the distribution and its version, so each names both.
    """
    form = "${Package}\t${Version}\t${Architecture}\n"
    listing = subprocess.run(["dpkg-query", "-W", f"-f={form}"], capture_output=True, text=True, check=True).stdout
    release = platform.freedesktop_os_release()
    vendor, number = release["ID"], release.get("VERSION_ID", "")
    # Where /lib is a link to /usr/lib, packages own their files under either name.
    names = [name for path in loaded if path.parts[1] != "opt" for name in (str(path), str(path).removeprefix("/usr"))]
    owners = subprocess.run(["dpkg-query", "-S", *names], capture_output=True, text=True, check=False).stdout
    linked = {line.split(":")[0] for line in owners.splitlines()}
    components = [Component("operating-system", vendor, number, "as each of its packages")]
    for line in sorted(listing.splitlines()):
        name, version, architecture = line.split("\t")
        purl = f"pkg:deb/{vendor}/{name}@{version}?arch={architecture}&distro={vendor}-{number}"
        components.append(Component("library", name, version, system_licence(name), purl, name in linked))
    return components


def system_licence(name: str) -> str:
    """The licences that a package's copyright file names."""
    file = Path("/usr/share/doc", name, "copyright")
    if not file.is_file():
        return "not declared"
    text = file.read_text(encoding="utf-8", errors="replace")
    terms = sorted(set(re.findall(r"^License: *(\S.{0,60})$", text, re.MULTILINE)))
    family = sorted({match.upper() for match in re.findall(r"\b[AL]?GPL(?:-?[\d.]+)?\+?", text)})
    return ", ".join(terms) or ", ".join(["see its copyright file", *family])


WEIGHTS_LICENCE = "research, not commercial use: docs/model_cards/LICENSE.md"


def weights(settings_file: Path) -> list[Component]:
    """The networks' weights, with the hashes that app.yaml names."""
    settings = yaml.safe_load(settings_file.read_text(encoding="utf-8"))
    return [
        Component("machine-learning-model", f"groundglass-{name}", "", WEIGHTS_LICENCE, sha256=model["sha256"])
        for name, model in settings["models"].items()
    ]


def all_components() -> list[Component]:
    """All that is in the image: weights, Python packages, libraries in wheels, the system."""
    code = ROOT / "app"
    sys.path.append(str(code))
    loaded = loaded_libraries()
    return [*weights(code / "app.yaml"), *python_packages(), *bundled_libraries(loaded), *system_packages(loaded)]
