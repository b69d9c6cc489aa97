"""Inside the build: app.json and pkg.json (MAP specification 1.0) out of app.yaml.

The specification and the SDK's own packager differ in places; where both forms can stand side by side both are written,
and every runner finds its own. Orchestrators that know the earlier MONAI layout (mercure) read /etc/monai/app.json, in
which the command is a line for a shell.
"""

import json
from importlib import metadata
from pathlib import Path
from typing import Any

API_VERSION = "1.0.0"
WORK_FOLDER = "/var/holoscan"
COMMAND = ["/opt/holoscan/entrypoint", "run"]
ENVIRONMENT = {
    "HOLOSCAN_APPLICATION": "/opt/holoscan/app",
    "HOLOSCAN_INPUT_PATH": f"{WORK_FOLDER}/input",
    "HOLOSCAN_OUTPUT_PATH": f"{WORK_FOLDER}/output",
    "HOLOSCAN_WORKDIR": WORK_FOLDER,
    "HOLOSCAN_MODEL_PATH": "/opt/holoscan/models",
    "HOLOSCAN_CONFIG_PATH": f"{WORK_FOLDER}/app.yaml",
    "HOLOSCAN_APP_MANIFEST_PATH": "/etc/holoscan/app.json",
    "HOLOSCAN_PKG_MANIFEST_PATH": "/etc/holoscan/pkg.json",
    "HOLOSCAN_DOCS": "/opt/holoscan/docs",
    "HOLOSCAN_DOCS_PATH": "/opt/holoscan/docs",
    "HOLOSCAN_LOGS": f"{WORK_FOLDER}/logs",
    "HOLOSCAN_LOGS_PATH": f"{WORK_FOLDER}/logs",
}
"""Absolute: right for a runner that hands them on as they are, and for one that puts them below the working folder."""

GPU_MEMORY = "8Gi"
"""What saliency takes of a GPU's memory (docs/deployment.md, "What it needs")."""

_DICOM_IN = {"data": "image", "format": "dicom", "modality": "CT", "region": "chest", "protocols": ["any"]}
_OUT = [
    {"data": "segmentation", "format": "dicom", "type": "SEG"},
    {"data": "report", "format": "dicom", "type": "SR"},
    {"data": "image", "format": "dicom", "type": "OT"},
    {"data": "json", "format": "json", "type": "result.json"},
]


def app_manifest(settings: dict[str, Any], version: str) -> dict[str, Any]:
    """app.json: how the application is run.

    Args:
        settings: app.yaml.
        version: of the application.
    """
    return {
        "apiVersion": API_VERSION,
        "command": json.dumps(COMMAND),
        "environment": ENVIRONMENT,
        "input": {"path": "input", "path_env": "HOLOSCAN_INPUT_PATH", "formats": [_DICOM_IN]},
        # The specification has `format`, an object; the SDK's packager has `formats`, a list.
        "output": {"path": "output", "path_env": "HOLOSCAN_OUTPUT_PATH", "format": _OUT[0], "formats": _OUT},
        "type": "application",
        "sdk": "monai-deploy",
        "sdkVersion": metadata.version("monai-deploy-app-sdk"),
        "timeout": settings["package"]["timeout_s"],
        "version": version,
        "workingDirectory": WORK_FOLDER,
        # A job that ends: nothing to ask it, while it runs, that its exit code doesn't say.
        "readiness": None,
        "liveness": None,
    }


def pkg_manifest(settings: dict[str, Any], version: str, variant: str) -> dict[str, Any]:
    """pkg.json: what the package holds and needs.

    Args:
        settings, version: as above.
        variant: `cpu` or `cuda`. The CUDA variant asks for a GPU, though it does without one, since nobody builds it to
            have it placed on a machine that has none.
    """
    package = settings["package"]
    wants_gpu = variant == "cuda" and settings["device"] != "cpu"
    return {
        "apiVersion": API_VERSION,
        "applicationRoot": "/opt/holoscan/app",
        "modelRoot": "/opt/holoscan/models",
        # The specification's list; the SDK's packager writes an object {name: path}, which its runner doesn't read.
        "models": [
            {"name": name, "path": str(Path("/opt/holoscan/models", model["file"]).parent)}
            for name, model in settings["models"].items()
        ],
        "resources": {
            "cpu": package["cpus"],
            "cpuLimit": package["cpus"],
            "gpu": int(wants_gpu),
            **({"gpuMemory": GPU_MEMORY} if wants_gpu else {}),
            "memory": f"{package['memory_gib']}Gi",
            "memoryLimit": f"{package['memory_gib']}Gi",
            "sharedMemory": f"{package['shared_memory_mib']}Mi",
        },
        "version": version,
        "platformConfig": "dgpu" if wants_gpu else "cpu",
    }


def write_manifests(settings: dict[str, Any], version: str, variant: str, root: Path = Path("/")) -> None:
    """Write both manifests, and the earlier layout's, below `root`."""
    application, package = app_manifest(settings, version), pkg_manifest(settings, version, variant)
    earlier = application | {"command": " ".join(COMMAND)}
    files = {"holoscan/app.json": application, "holoscan/pkg.json": package}
    files |= {"monai/app.json": earlier, "monai/pkg.json": package}
    for name, content in files.items():
        path = root / "etc" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
