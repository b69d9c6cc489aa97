"""What is in the image, and what is not."""

import json
from collections.abc import Callable
from urllib.parse import quote

from tests.image.container.containers import Containers

SIZE_BUDGET_GB = 2.2
"""Of the CPU variant, uncompressed."""


def test_the_image_keeps_within_its_budget(containers: Containers, measured: Callable[[str], None]) -> None:
    size_gb = containers.inspect()["Size"] / 1e9
    measured(f"{size_gb:.2f} GB of {SIZE_BUDGET_GB} GB")
    assert size_gb <= SIZE_BUDGET_GB


def test_nothing_that_compiles_installs_or_tests_is_in_the_image(
    containers: Containers, measured: Callable[[str], None]
) -> None:
    tools = "cc gcc g++ clang ld make nvcc ptxas protoc pip pip3 uv pytest ruff mypy apt-get curl wget"
    folders = " -o ".join(f"-name {name}" for name in ("tests", "pip", "pytest", "_pytest"))
    script = f"for tool in {tools}; do command -v $tool; done; "
    script += f"find /opt -name ptxas -o -name protoc -o -type d '(' {folders} ')'; true"
    assert containers.shell(script).split() == []
    measured("no compiler, no installer, no tests")


def test_every_package_is_in_the_bill_of_materials_with_its_licence(
    containers: Containers, measured: Callable[[str], None]
) -> None:
    bill = json.loads(containers.shell("cat /opt/holoscan/docs/sbom.cdx.json"))
    packages = json.loads(containers.shell("cat /opt/holoscan/build-record.json"))["packages"]
    components = bill["components"]
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    purls = {component.get("purl", "") for component in components}
    missing = [name for name, version in packages.items() if f"pkg:pypi/{name}@{quote(version)}" not in purls]
    assert missing == []
    undeclared = [each["name"] for each in components if each["licenses"][0]["license"]["name"] == "not declared"]
    assert undeclared == []
    measured(f"{len(components)} components, {len(packages)} of them Python packages, each with a licence")
