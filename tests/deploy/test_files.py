"""The page and the example files say what the program does: settings, events, metrics, paths."""

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

from conformance import orthanc
from deploy.orthanc.__main__ import _parser
from deploy.orthanc.monitoring import Monitor
from deploy.orthanc.settings import ROOT, load_settings
from deploy.orthanc.state import State
from tests.deploy.loop import need_orthanc

FOLDER = ROOT / "deploy" / "orthanc"
PAGE = (ROOT / "docs" / "pacs.md").read_text(encoding="utf-8")


def test_every_metric_of_the_page_exists_and_every_metric_is_on_the_page(tmp_path: Path) -> None:
    families = Monitor(State(tmp_path)).registry.collect()
    names = {family.name for family in families if family.name.startswith("groundglass_bridge_")}
    table = PAGE[PAGE.index("| metric") : PAGE.index("## Dead letters")]
    told = re.findall(r"^\| `([a-z_]+)", table, re.MULTILINE)
    prefix = "groundglass_bridge_"
    assert {prefix + name.removesuffix("_total") for name in told if not name.startswith("process_")} == names


def test_the_page_lists_every_event_of_the_log() -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in FOLDER.glob("*.py"))
    events = set(re.findall(r'tell\(\s*"(?:info|warning|error)",\s*"([a-z_]+)"', code))
    events |= {"analysed", "refused", "not_eligible", "sent_on", "images_changed"}  # outcomes
    lines = PAGE[PAGE.index("Standard output has") : PAGE.index("```text\n{")]
    assert set(re.findall(r"`([a-z_]+)`", lines)) == events


def test_the_settings_of_the_page_and_of_the_containers_are_valid(tmp_path: Path) -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "password").write_text("secret\n")
    for name, text in {"page": block, "compose": (FOLDER / "bridge.compose.yaml").read_text()}.items():
        own = yaml.safe_load(text)
        own["orthanc"]["password_file"] = str(tmp_path / "password")
        (tmp_path / name).write_text(yaml.safe_dump(own))
        settings = load_settings(tmp_path / name)
        assert (settings.username, settings.password) == ("bridge", "secret")


def test_the_containers_mount_what_there_is_and_publish_no_page_to_the_network() -> None:
    services = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))["services"]
    made_by_the_user = {"orthanc-users.json", "orthanc-password"}
    for service in services.values():
        mounted = [volume.split(":")[0] for volume in service["volumes"] if volume.startswith("./")]
        assert all((FOLDER / name).is_file() or Path(name).name in made_by_the_user for name in mounted), mounted
        for port in service["ports"]:
            assert port == "4242:4242" or port.startswith("127.0.0.1:")
    build = services["bridge"]["build"]
    assert (FOLDER / build["context"] / build["dockerfile"]).is_file()


def test_the_service_starts_the_bridge_with_a_command_line_that_it_takes() -> None:
    unit = (FOLDER / "groundglass-bridge.service").read_text(encoding="utf-8")
    (command,) = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    words = shlex.split(command)
    assert words[1:3] == ["-m", "deploy.orthanc"]
    assert _parser().parse_args(words[3:]).command == "run"


@pytest.mark.slow
def test_orthanc_starts_with_the_example_configuration() -> None:
    """With ports and folders of this machine; without users, whom the test does not have."""
    need_orthanc()
    example = json.loads((FOLDER / "orthanc.json").read_text(encoding="utf-8"))
    places = (
        "StorageDirectory",
        "IndexDirectory",
        "DicomPort",
        "HttpPort",
        "AuthenticationEnabled",
        "RemoteAccessAllowed",
    )
    with orthanc.running(**{key: value for key, value in example.items() if key not in places}) as running:
        assert "ERROR" not in (running.folder / "log").read_text(encoding="utf-8", errors="replace")
