"""Programs of others start the container in their own ways."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.image.container.containers import IMAGE, TIMEOUT_S, Containers, Run
from tests.image.container.studies import Studies

DOCKER = """#!/bin/sh
# docker, played by podman: without `--runtime nvidia`, and without limits that this machine doesn't let be raised.
for argument; do
    shift
    case "$skip$argument" in
        yes*) skip=; continue ;;
        --runtime | --ulimit) skip=yes; continue ;;
        --runtime=* | --ulimit=* | --ulimit) continue ;;
    esac
    set -- "$@" "$argument"
done
exec {podman} "$@"
"""


def test_mercure_reads_the_manifest_and_calls_its_command_with_folders_of_its_own(
    containers: Containers, studies: Studies, measured: Callable[[str], None]
) -> None:
    shown = containers.run("cat", "/etc/monai/app.json", options=("--entrypoint=",)).out
    command = json.loads(shown)["command"].split()
    results = containers.new_folder()
    folders = {"IN": "/tmp/data", "OUT": "/tmp/output"}
    environment = {f"MERCURE_{name}_DIR": folder for name, folder in folders.items()}
    environment |= {"MONAI_INPUTPATH": "/tmp/data", "MONAI_OUTPUTPATH": "/tmp/output"}
    environment |= {"HOLOSCAN_INPUT_PATH": "/tmp/data", "HOLOSCAN_OUTPUT_PATH": "/tmp/output"}
    options = ["--entrypoint=", "--user=1007:1007", *(f"--env={name}={value}" for name, value in environment.items())]
    mounts = {studies.small: "/tmp/data", results: "/tmp/output", studies.quick: "/var/holoscan/app.yaml:ro"}
    run = containers.run(*command, mounts=mounts, options=tuple(options))
    assert run.code == 0, run.err[-300:]
    measured(f"{' '.join(command)}: status {run.result(results)['status']}")


def test_monai_deploy_run_analyses_a_study(
    containers: Containers, studies: Studies, measured: Callable[[str], None]
) -> None:
    """It calls docker by name, and asks for NVIDIA's runtime: a stand-in gives both to podman."""
    home, results = containers.new_folder(), containers.new_folder()
    plugin = home / ".docker/cli-plugins/docker-buildx"
    docker = home / "bin/docker"
    for file, script in ((plugin, "#!/bin/sh\n"), (docker, DOCKER.format(podman=shutil.which("podman")))):
        file.parent.mkdir(parents=True)
        file.write_text(script, encoding="utf-8")
        file.chmod(0o755)
    path = f"{docker.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | containers.engine.environment | {"HOME": str(home), "PATH": path}
    command = ["monai-deploy", "run", IMAGE, "--input", str(studies.small), "--output", str(results), "--rm"]
    command += ["--network", "groundglass", "--gpus", "none", "--uid", "1007", "--gid", "1007"]
    command += ["--config", str(studies.quick)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-600:]
    result = Run(done.returncode, done.stdout, done.stderr, 0).result(results)
    measured(f"status {result['status']}; its --runtime nvidia was left out")
