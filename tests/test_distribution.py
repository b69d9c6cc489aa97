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
        "result.schema.json", "settings.schema.json", "rendering/page.html.j2", "cohort/page.html.j2",
        "quality/page.html.j2", "selftest/report.html.j2",
    }  # fmt: skip
    assert {f"groundglass/{name}" for name in present} <= set(names)
    assert f"groundglass-{VERSION}.dist-info/licenses/LICENSE" in names


def test_an_installed_library_finds_its_own_settings_weights_and_templates(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    program = "from groundglass import Pipeline; import groundglass.locations as places; print(places.ROOT)\n"
    program += "print(Pipeline.load().software.version)\n"
    program += "from groundglass.rendering.page import render_page\n"
    program += "page = render_page('cohort/page.html.j2', studies=3, outcomes=[], limits='', figures=[])\n"
    program += "print(page.count('<h1>3 studies</h1>'))"
    done = subprocess.run(
        [sys.executable, "-P", "-c", program],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == [str(tmp_path / "site" / "groundglass"), VERSION, "1"], done.stderr


def test_an_installed_library_is_held_against_what_pip_recorded_of_it(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    library = tmp_path / "site" / "groundglass"
    program = """
from pathlib import Path
from groundglass.selftest import installation as iq
from groundglass.selftest.installed_copy import CODE, Copy
copy = Copy(Path.cwd(), CODE / "models", None)
for check in (iq.build_record, iq.recorded_files, iq.added_files, iq.package_versions, iq.weights):
    print(check.__name__, check(copy).as_expected)
"""

    def verdicts() -> dict[str, str]:
        done = subprocess.run(
            [sys.executable, "-P", "-B", "-c", program],
            cwd=tmp_path,
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(tmp_path / "site")},
            capture_output=True,
            text=True,
            check=False,
        )
        return dict(line.split() for line in done.stdout.splitlines()) or {"told": done.stderr}

    assert set(verdicts().values()) == {"True"}
    with (library / "method" / "boxes.py").open("a", encoding="utf-8") as file:
        file.write("\n")
    (library / "method" / "extra.py").write_text("", encoding="utf-8")
    assert [name for name, verdict in verdicts().items() if verdict == "False"] == ["recorded_files", "added_files"]
