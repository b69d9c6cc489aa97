"""The image is built."""

from collections.abc import Callable

from tests.image.container.containers import Containers


def test_the_image_is_built_on_debian_packages(containers: Containers, measured: Callable[[str], None]) -> None:
    assert containers.inspect()["Id"]
    measured("without network, out of a folder of wheels")
