"""The wheel holds the library with its weights and settings, nothing else, and works where nothing of the tree is."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from groundglass.domain.software import VERSION
from groundglass.locations import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--wheel-dir", str(folder), str(ROOT)], check=True, capture_output=True)
    (built,) = folder.iterdir()
    return built


def test_the_wheel_holds_the_library_alone(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"groundglass", f"groundglass-{VERSION}.dist-info"}
    present = {
        "py.typed", "app.yaml", "models/lungs/lungs.safetensors", "models/classifier/classifier.safetensors",
        "result.schema.json", "settings.schema.json",
    }  # fmt: skip
    assert {f"groundglass/{name}" for name in present} <= set(names)
    assert f"groundglass-{VERSION}.dist-info/licenses/LICENSE" in names


def test_an_installed_library_finds_its_own_settings_and_weights(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    program = "from groundglass import Pipeline; import groundglass.locations as places; print(places.ROOT)\n"
    program += "print(Pipeline.load().software.version)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", program],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == [str(tmp_path / "site" / "groundglass"), VERSION], done.stderr
