"""What is built again: two builds of one commit are the same, and new weights are a small download."""

from collections.abc import Callable
from pathlib import Path

import pytest

from image.build import Engine, build_image
from tests.image.container.containers import IMAGE, Containers

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("selftest")]


def hashes(engine: Engine, image: str) -> dict[str, str]:
    """SHA-256 of every file under /opt/holoscan, and of the manifests."""
    command = "find /opt/holoscan /etc/holoscan /etc/monai /var/holoscan -type f -exec sha256sum {} +"
    shell = ["run", "--rm", "--network=none", "--entrypoint=/bin/sh", image, "-c", command]
    lines = engine.run(*shell, capture_output=True).stdout.splitlines()
    return {name: sha256 for sha256, name in (line.split(maxsplit=1) for line in lines)}


def test_new_weights_leave_all_layers_but_the_last_two(containers: Containers, measured: Callable[[str], None]) -> None:
    def change(context: Path) -> None:
        file = next((context / "models/classifier").iterdir())
        file.write_bytes(file.read_bytes() + b"\0")

    build_image(containers.engine, "debian", tag="groundglass:weights", edit=change, quiet=True)
    before, after = (containers.inspect(image)["RootFS"]["Layers"] for image in (IMAGE, "groundglass:weights"))
    new = sum(one != other for one, other in zip(before, after, strict=True))
    assert new <= 2
    measured(f"{new} of {len(before)} layers are new, PyTorch's and the libraries' are not")


@pytest.fixture(scope="module")
def again(engine: Engine, containers: Containers) -> str:
    """A second image of the same commit."""
    return build_image(engine, "debian", tag="groundglass:again", options=("--no-cache",), quiet=True)


def test_the_image_is_built_again_from_nothing(again: str, measured: Callable[[str], None]) -> None:
    assert again == "groundglass:again"
    measured("without network, out of a folder of wheels")


def test_both_builds_have_the_same_files_to_the_last_byte(
    containers: Containers, again: str, measured: Callable[[str], None]
) -> None:
    first, second = hashes(containers.engine, IMAGE), hashes(containers.engine, again)
    assert first
    assert sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name)) == []
    measured(f"{len(first)} files, the same hashes in both builds")
