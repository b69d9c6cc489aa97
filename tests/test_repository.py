"""Documented commands exist, nothing that does not belong here is here, versions are pinned, licences permissive."""

import re
import subprocess
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import jsonschema
import pytest
from packaging.requirements import Requirement

from groundglass.locations import ROOT
from groundglass.result import result_schema

REQUIREMENT_FILES = (
    "requirements-library.txt",
    "requirements.txt",
    "requirements-cohort.txt",
    "requirements-dev.txt",
    "deploy/orthanc/requirements.txt",
    "image/tools.txt",
)
LARGEST_FILE_MIB = 12


def repository_files() -> list[Path]:
    """Files that are, or would be, committed; outside a Git checkout, all that no tool has left behind."""
    if (ROOT / ".git").exists():
        git = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listing = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        files = [ROOT / name for name in listing.split("\0") if name]
    else:
        left_behind = {".venv", "__pycache__", ".pytest_cache", ".ruff_cache", ".mypy_cache", ".hypothesis"}
        everything = ROOT.rglob("*")
        files = [file for file in everything if left_behind.isdisjoint(file.relative_to(ROOT).parts)]
    return sorted(file for file in files if file.is_file() and not file.is_symlink())


def test_the_schema_of_result_json_is_a_json_schema() -> None:
    """The application holds every result against it, and takes this for granted."""
    jsonschema.Draft202012Validator.check_schema(result_schema())
    assert result_schema()["$schema"] == jsonschema.Draft202012Validator.META_SCHEMA["$id"]


# Commands


def makefile_targets() -> set[str]:
    """The commands that `make help` lists."""
    listing = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"^make ([a-z-]+)", listing, re.MULTILINE))


def named_commands(markdown: str) -> set[str]:
    """Every X of a `make X` in the code, inline or in blocks, of a Markdown text."""
    blocks = re.findall(r"^```.*?^```", markdown, re.MULTILINE | re.DOTALL)
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", markdown, flags=re.MULTILINE | re.DOTALL))
    return set(re.findall(r"\bmake +([a-z][a-z-]*)", "\n".join([*blocks, *inline])))


def test_commands_are_found_in_code_and_not_in_prose() -> None:
    text = "We make sure that `make demo` runs.\n```bash\nA=x make test TEST_ARGS=-x\nmake lint && make map-test\n```\n"
    assert named_commands(text) == {"demo", "test", "lint", "map-test"}


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "docs/index.md", "docs/commands.md"])
def test_every_command_of_a_document_exists(document: str) -> None:
    commands = named_commands((ROOT / document).read_text(encoding="utf-8"))
    assert commands, f"{document} names no command"
    assert commands - makefile_targets() == set()


def test_every_listed_command_has_a_recipe() -> None:
    for target in sorted(makefile_targets()):
        command = ["make", "--dry-run", target]
        dry_run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert dry_run.returncode == 0, dry_run.stderr


# Contents


def test_no_file_is_large() -> None:
    sizes_mib = {file.relative_to(ROOT).as_posix(): file.stat().st_size / 2**20 for file in repository_files()}
    assert {name: size for name, size in sizes_mib.items() if size > LARGEST_FILE_MIB} == {}


def test_no_dicom_file_is_in_the_repository() -> None:
    """Whatever its name: a DICOM file has `DICM` after 128 bytes (PS3.10, 7.1)."""

    def is_dicom(file: Path) -> bool:
        with file.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"

    assert [file.name for file in repository_files() if is_dicom(file)] == []


PERSONAL_PATH = re.compile(r"(?<![\w.~-])/(?:(?:home|root|Users|work|workspace)/[\w.]|tmp/\w/)")
"""A path that exists on one machine only."""


@pytest.mark.parametrize(
    ("parts", "personal"),
    [
        (("", "home", "me", "x"), True),
        (("", "root", ".cache"), True),
        (("", "Users", "me"), True),
        (("", "work", "main"), True),
        (("", "tmp", "w", "v"), True),
        (("", "var", "holoscan", "input"), False),
        (("", "tmp", "cupy"), False),
        (("tests", "work", "x"), False),
    ],
)
def test_a_path_of_one_machine_is_recognised(parts: tuple[str, ...], personal: bool) -> None:
    assert bool(PERSONAL_PATH.search("see " + "/".join(parts))) is personal


def test_no_file_names_a_path_of_one_machine() -> None:
    found = []
    for file in repository_files():
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:  # weights and pictures
            continue
        found += [f"{file.relative_to(ROOT)}: {match.group()}" for match in PERSONAL_PATH.finditer(text)]
    assert found == []


# Requirements


def requirement_lines(name: str) -> list[str]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith(("#", "-r "))]


def test_the_distribution_needs_what_the_requirement_files_list() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    for listed, file in (
        (project["dependencies"], "requirements-library.txt"),
        (extras["map"], "requirements.txt"),
        (extras["cohort"], "requirements-cohort.txt"),
    ):
        assert listed == [line.partition("#")[0].strip() for line in requirement_lines(file)], file


@pytest.mark.parametrize("name", REQUIREMENT_FILES)
def test_every_requirement_is_pinned_to_one_version(name: str) -> None:
    for line in requirement_lines(name):
        specifiers = list(Requirement(line.partition("#")[0]).specifier)
        assert [each.operator for each in specifiers] == ["=="], line
        assert not specifiers[0].version.endswith(".*"), line


@pytest.mark.parametrize("name", REQUIREMENT_FILES)
def test_every_requirement_says_why_and_under_which_licence(name: str) -> None:
    for line in requirement_lines(name):
        assert re.search(r"  # \S.*; \S", line), line


PERMISSIVE = re.compile(
    r"(the )?(0BSD|apache|BSD|[23]-clause BSD|BSL-1\.0|CC0|HPND|ISC|MIT|PSF|python software foundation|zlib|ZPL)\b",
    re.IGNORECASE,
)
"""How the name of a permissive licence starts."""

EXCEPTIONS = {
    "certifi": "MPL-2.0: copyleft of its own files only, which are used unchanged",
    "tqdm": "MPL-2.0 for a part: copyleft of its own files only, which are used unchanged",
    r"nvidia-.*|cuda-toolkit": "NVIDIA's CUDA Toolkit licence, whose attachment A lets its libraries be redistributed",
}
"""Patterns of runtime packages whose licence is not permissive, and why each is acceptable."""


def licence_terms(package: metadata.PackageMetadata) -> list[str]:
    """The licences that a package declares, from the most precise of the three places where it may do so."""
    if expressions := package.get_all("License-Expression"):
        return re.split(r"\s+(?:AND|OR)\s+", expressions[0])
    classifiers = [each.split(" :: ") for each in package.get_all("Classifier") or []]
    if terms := [each[-1] for each in classifiers if each[0] == "License" and each[-1] != "OSI Approved"]:
        return terms
    # The field may hold the whole text of a licence: its first line names it.
    return "".join(package.get_all("License") or []).strip().splitlines()[:1]


def is_permissive(package: metadata.PackageMetadata) -> bool:
    terms = licence_terms(package)
    return bool(terms) and all(PERMISSIVE.match(term.strip("() ")) for term in terms)


def is_exception(name: str) -> bool:
    return any(re.fullmatch(pattern, name.lower()) for pattern in EXCEPTIONS)


def runtime_packages() -> Iterator[metadata.Distribution]:
    """Every package that the application brings in, directly or through another."""
    listed = [*requirement_lines("requirements-library.txt"), *requirement_lines("requirements.txt")]
    waiting = [Requirement(line.partition("#")[0]) for line in listed]
    seen = set()
    while waiting:
        requirement = waiting.pop()
        key = (requirement.name.lower(), frozenset(requirement.extras))
        if key in seen:
            continue
        seen.add(key)
        distribution = metadata.distribution(requirement.name)
        yield distribution
        for line in distribution.requires or []:
            needed = Requirement(line)
            extras = requirement.extras or {""}
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(needed)


def test_the_licences_of_all_runtime_packages_are_permissive() -> None:
    packages = list(runtime_packages())
    assert len(packages) > len(requirement_lines("requirements.txt"))
    refused = {
        package.name: licence_terms(package.metadata)
        for package in packages
        if not is_permissive(package.metadata) and not is_exception(package.name)
    }
    assert refused == {}


def test_every_exception_is_still_needed() -> None:
    needing = [package.name.lower() for package in runtime_packages() if not is_permissive(package.metadata)]
    assert [pattern for pattern in EXCEPTIONS if not any(re.fullmatch(pattern, name) for name in needing)] == []


@pytest.mark.parametrize(
    ("field", "value", "permissive"),
    [
        ("License-Expression", "MIT", True),
        ("License-Expression", "Apache-2.0 AND BSD-3-Clause", True),
        ("License-Expression", "MIT AND GPL-3.0-only", False),
        ("License-Expression", "LGPL-2.1-or-later", False),
        ("Classifier", "License :: OSI Approved :: BSD License", True),
        ("Classifier", "License :: OSI Approved :: GNU General Public License v3 (GPLv3)", False),
        ("License", "Apache License 2.0", True),
        ("License", "GPLv2", False),
        ("Summary", "declares no licence", False),
    ],
)
def test_a_licence_is_judged_by_what_the_package_declares(
    tmp_path: Path, field: str, value: str, permissive: bool
) -> None:
    information = tmp_path / "sample-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.4\nName: sample\nVersion: 1.0\n{field}: {value}\n")
    assert is_permissive(metadata.PathDistribution(information).metadata) is permissive


# Texts


def test_readme_is_a_screen_and_a_half() -> None:
    words = (ROOT / "README.md").read_text(encoding="utf-8").split()
    assert len(words) <= 700, f"{len(words)} words: move what is not needed at first into docs/"


LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "model_cards").glob("*.md")])


def places(page: Path) -> set[str]:
    """The names of a page's headings, as links have them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_within_the_repository_leads_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    broken = []
    for target in LINK.findall(text):
        name, _, place = target.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        file = page.parent / name if name else page
        if not file.exists() or (place and file.suffix == ".md" and place not in places(file)):
            broken.append(target)
    assert broken == []
