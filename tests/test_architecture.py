"""Dependencies point one way: every import in the tree is read and held against the table of what may import what."""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent

ANYTHING = frozenset({"*"})

OWN_IMPORTS: dict[str, frozenset[str]] = {
    "__main__": frozenset({"app"}),
    "app": frozenset({"operators", "method", "dicomio"}),
    "operators": frozenset({"method", "dicomio"}),
    "dicomio": frozenset({"method.types"}),
    "method": frozenset(),
    "training": frozenset({"method", "dicomio", "validation.lesions", "validation.phantom"}),
    "validation": frozenset({"app.command_line", "dicomio", "method.types"}),
    "benchmarks": ANYTHING,
    "packaging": frozenset({"app.accelerator", "validation"}),
    "deploy": frozenset({"app.exit_codes", "validation"}),  # and packaging's manifests, which are scripts
}
"""What each top-level package may import of the others: a package with all that is in it, or one module."""

METHOD_LIBRARIES = frozenset({"numpy", "torch", "scipy", "skimage", "safetensors"})
"""All the libraries that `method` may import."""

FRAMEWORK = ("monai.deploy", "holoscan")
FRAMEWORK_USERS = frozenset({"app", "operators", "benchmarks"})
"""Only these know that the graph is a MONAI Deploy one."""

COHORT_LIBRARIES = frozenset({"ray", "pyarrow"})
COHORT_USERS = ("app/cohort/", "validation/cohort_demo.py", "benchmarks/")
"""The container image doesn't have the libraries of requirements-cohort.txt: nothing else may import them."""

UNCHECKED = frozenset({"tests"})
"""Tests may import whatever they test."""


@dataclass(frozen=True)
class Import:
    file: str
    line: int
    package: str
    """The top-level package of the importing file."""
    target: str
    """The full name of the imported module."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.target}"


def is_within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def is_module(root: Path, name: str) -> bool:
    path = root.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def imported_modules(node: ast.AST, root: Path, parents: tuple[str, ...]) -> Iterator[str]:
    """Full names of the modules that one statement or call imports, in a file of the package `parents`."""
    match node:
        case ast.Import(names=names):
            yield from (alias.name for alias in names)
        case ast.ImportFrom(module=module, names=names, level=level):
            base = parents[: len(parents) - level + 1] if level else ()
            origin = ".".join((*base, *([module] if module else [])))
            for alias in names:
                member = f"{origin}.{alias.name}"
                yield member if is_module(root, member) or member in FRAMEWORK else origin
        case ast.Call(
            func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module"),
            args=[ast.Constant(value=str(name)), *_],
        ):
            yield name


def imports_of(root: Path) -> list[Import]:
    """Every import below `root`, in functions and under conditions too."""
    imports = []
    for path in sorted(root.rglob("*.py")):
        file = path.relative_to(root)
        if any(part.startswith(".") for part in file.parts):
            continue
        package = file.parts[0].removesuffix(".py")
        if package in UNCHECKED:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(file))):
            for target in imported_modules(node, root, file.parts[:-1]):
                imports.append(Import(file.as_posix(), getattr(node, "lineno", 0), package, target))
    return imports


def violations(root: Path) -> list[str]:
    """What breaks the table below `root`, one sentence each."""
    imports = imports_of(root)
    packages = {found.package for found in imports}
    broken = [f"{package} has no line in OWN_IMPORTS" for package in sorted(packages - OWN_IMPORTS.keys())]
    for found in imports:
        top = found.target.partition(".")[0]
        allowed = OWN_IMPORTS.get(found.package, ANYTHING)
        if top in OWN_IMPORTS and top != found.package:
            if allowed != ANYTHING and not any(is_within(found.target, package) for package in allowed):
                broken.append(f"{found}: {found.package} may import only {sorted(allowed) or 'itself'}")
        elif any(is_within(found.target, name) for name in FRAMEWORK) and found.package not in FRAMEWORK_USERS:
            broken.append(f"{found}: only {sorted(FRAMEWORK_USERS)} may import the graph's framework")
        elif top in COHORT_LIBRARIES and not found.file.startswith(COHORT_USERS):
            broken.append(f"{found}: only {', '.join(COHORT_USERS)} may import what cohorts alone need")
        elif found.package == "method" and top not in {"method", *METHOD_LIBRARIES, *sys.stdlib_module_names}:
            broken.append(f"{found}: method may import only {sorted(METHOD_LIBRARIES)}")
    loaders = {f.file for f in imports if f.package == "method" and is_within(f.target, "safetensors")}
    if len(loaders) > 1:
        broken.append(f"safetensors is imported in {sorted(loaders)}: one module of method loads weights")
    return broken


def test_dependencies_point_one_way() -> None:
    assert violations(REPOSITORY) == []


def test_the_check_sees_the_tree() -> None:
    targets = {found.target for found in imports_of(REPOSITORY) if found.package == "method"}
    assert "numpy" in targets


def write_tree(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


GOOD_TREE = {
    "__main__.py": "from app.command_line import main\n",
    "app/cohort/cluster.py": "def join():\n    import ray\n",
    "app/command_line.py": "import operators.writer\nfrom monai.deploy.core import Application\n",
    "operators/writer.py": "from dicomio import scan\nfrom method.types import CTVolume\n",
    "dicomio/scan.py": "import pydicom\nfrom method import types\nfrom .codes import LUNG\n",
    "dicomio/codes.py": "LUNG = 1\n",
    "method/types.py": "import dataclasses\nimport numpy as np\n",
    "method/weights.py": "from safetensors.torch import load_file\n",
    "training/train.py": "from validation.lesions import paint\nimport method.types\n",
    "validation/lesions.py": "from method import types\n",
    "validation/demo.py": "from app.command_line import main\n",
    "benchmarks/stages.py": "import method.weights, app.command_line, holoscan\n",
    "tests/test_scan.py": "import training.train\n",
}


def test_a_tree_that_keeps_the_table_has_no_violation(tmp_path: Path) -> None:
    write_tree(tmp_path, GOOD_TREE)
    assert violations(tmp_path) == []


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("method/bad.py", "import pydicom\n", "method/bad.py:1 imports pydicom"),
        ("method/bad.py", "import yaml\n", "imports yaml"),
        ("method/bad.py", "from monai import deploy\n", "imports monai.deploy"),
        ("method/bad.py", "def f():\n    from dicomio.scan import x\n", "method/bad.py:2 imports dicomio.scan"),
        ("method/bad.py", "from ..dicomio import scan\n", "imports dicomio.scan"),
        ("method/bad.py", "from safetensors import safe_open\n", "one module of method loads weights"),
        ("dicomio/bad.py", "from method import weights\n", "imports method.weights"),
        ("dicomio/bad.py", "import method\n", "imports method:"),
        ("dicomio/bad.py", "import holoscan.core\n", "imports holoscan.core"),
        ("dicomio/bad.py", "import operators.writer\n", "imports operators.writer"),
        ("operators/bad.py", "import app.command_line\n", "imports app.command_line"),
        ("app/bad.py", "import training.train\n", "imports training.train"),
        ("app/bad.py", "from importlib import import_module\nimport_module('training.train')\n", "app/bad.py:2"),
        ("app/bad.py", "from validation import demo\n", "imports validation.demo"),
        ("app/bad.py", "def f():\n    from pyarrow import parquet\n", "imports pyarrow"),
        ("training/bad.py", "from validation import demo\n", "imports validation.demo"),
        ("training/bad.py", "import app.command_line\n", "imports app.command_line"),
        ("validation/bad.py", "from method.weights import load\n", "imports method.weights"),
        ("validation/bad.py", "import training.train\n", "imports training.train"),
        ("validation/bad.py", "from monai.deploy.core import Image\n", "imports monai.deploy.core"),
        ("__main__.py", "from operators import writer\n", "imports operators.writer"),
        ("deploy/orthanc/bad.py", "from app.command_line import main\n", "imports app.command_line"),
        ("app/bad.py", "import deploy.orthanc.state\n", "imports deploy.orthanc.state"),
        ("helpers/bad.py", "import os\n", "helpers has no line"),
    ],
)
def test_a_forbidden_import_is_reported(tmp_path: Path, file: str, text: str, said: str) -> None:
    write_tree(tmp_path, {**GOOD_TREE, file: text})
    found = violations(tmp_path)
    assert len(found) == 1
    assert said in found[0]
