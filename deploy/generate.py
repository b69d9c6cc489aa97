"""Write what orchestrators are given, `make deploy-files`: all of it comes from app.yaml and the package's manifests.

    deploy/mercure/modules.json                       for the `modules` of mercure.json
    deploy/kubernetes/job-{cpu,gpu}.yaml              a Job for one study
    deploy/kubernetes/argo-workflow-{cpu,gpu}.yaml    a WorkflowTemplate of Argo for a list of studies
    deploy/kubernetes/network-policy.yaml             no network for the Jobs

Two claims hold the studies: `groundglass-studies` is only read, below it a folder for each study; into
`groundglass-results` each study writes a folder of the same name.
"""

import json
from typing import Any

import yaml

from groundglass.domain.software import VERSION
from groundglass.locations import ROOT
from image.manifests import COMMAND, ENVIRONMENT, pkg_manifest

FOLDER = ROOT / "deploy"
VARIANTS = {"cpu": "cpu", "gpu": "cuda"}
"""Name of the files: the variant of the image that they run."""

_NAME = "groundglass"
_STUDY_PLACEHOLDER = "STUDY_FOLDER"
_INPUT, _RESULTS = ENVIRONMENT["HOLOSCAN_INPUT_PATH"], "/results"
_USER = 1000  # of the Containerfile
_PIDS = 256
_CODES_OF_THE_APPLICATION = [1, 2, 3, 4, 5]
"""Exit codes that say what is to be done (docs/deployment.md): trying again gives the same."""
_RETRIES = 2
_DAY_S = 86_400

_HEADER = "# Written by `make deploy-files` from app.yaml: change that, or the generator, not this file.\n"

Document = dict[str, Any]


def load_settings() -> dict[str, Any]:
    """app.yaml."""
    settings: dict[str, Any] = yaml.safe_load((ROOT / "app.yaml").read_text(encoding="utf-8"))
    return settings


def image(variant: str) -> str:
    """The tag that `make map` gives the variant."""
    return f"{_NAME}:{VERSION}" + ("-cpu" if variant == "cpu" else "")


def needs(settings: dict[str, Any], variant: str) -> dict[str, Any]:
    """The `resources` of pkg.json, as the variant's image has them."""
    resources: dict[str, Any] = pkg_manifest(settings, VERSION, VARIANTS[variant])["resources"]
    return resources


# mercure


def mercure_modules(settings: dict[str, Any]) -> Document:
    """The modules of mercure.json; fields as in mercure's class `Module` (app/common/types.py there).

    mercure itself mounts the folders, drops all capabilities and takes the command from /etc/monai/app.json. Arguments
    (JSON) and resources (HCL, for Nomad) are strings, as mercure's own web page stores them.
    """
    return {"modules": {f"{_NAME}-{variant}": _mercure_module(settings, variant) for variant in VARIANTS}}


def _mercure_module(settings: dict[str, Any], variant: str) -> Document:
    resources = needs(settings, variant)
    arguments = {
        "mem_limit": resources["memoryLimit"].removesuffix("i").lower(),  # docker's g is a GiB
        "nano_cpus": resources["cpuLimit"] * 10**9,
        "shm_size": resources["sharedMemory"].removesuffix("i").lower(),
        "pids_limit": _PIDS,
        **({"runtime": "nvidia"} if resources["gpu"] else {}),
    }
    nomad = f"cores = {resources['cpu']}\nmemory = {settings['package']['memory_gib'] * 1024}"
    return {
        "docker_tag": image(variant),
        "additional_volumes": "",
        "environment": "",
        "docker_arguments": json.dumps(arguments),
        "settings": {},
        "contact": "",
        "comment": "Chest CT in; SEG, SR and key images out. Trigger it by study. Research use only.",
        "constraints": "",
        "resources": nomad + ('\ndevice "nvidia/gpu" {}' if resources["gpu"] else ""),
        # mercure asks for this, and for its setting support_root_modules, of every image with /etc/monai/app.json. It
        # then leaves the user to the image, whose user is 1000.
        "requires_root": True,
    }


# Kubernetes


def job(settings: dict[str, Any], variant: str) -> Document:
    """A Job for one study, `kubectl create -f` after the placeholder has been put right."""
    pod = _pod(settings, variant, _STUDY_PLACEHOLDER)
    pod |= {"restartPolicy": "Never", "automountServiceAccountToken": False, "enableServiceLinks": False}
    if settings["package"]["timeout_s"]:
        # Of the pod: the Job's own would count the time that it waits for a machine.
        pod["activeDeadlineSeconds"] = settings["package"]["timeout_s"]
    labels = {"app.kubernetes.io/name": _NAME, "app.kubernetes.io/version": VERSION}
    spec: Document = {
        "backoffLimit": _RETRIES,
        "podFailurePolicy": {
            "rules": [
                {
                    "action": "FailJob",
                    "onExitCodes": {"containerName": _NAME, "operator": "In", "values": _CODES_OF_THE_APPLICATION},
                },
                {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
            ]
        },
        "ttlSecondsAfterFinished": _DAY_S,
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    metadata = {"generateName": f"{_NAME}-", "labels": labels}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}


def workflow_template(settings: dict[str, Any], variant: str) -> Document:
    """Argo: one pod for each study of a list, as many at a time as the parameter of the workflow says."""
    pod = _pod(settings, variant, "{{inputs.parameters.study}}")
    (container,) = pod.pop("containers")
    del container["name"]  # Argo gives its own
    analyse: Document = {
        "name": "analyse",
        "inputs": {"parameters": [{"name": "study"}]},
        "retryStrategy": {
            "limit": str(_RETRIES),
            "retryPolicy": "Always",
            # A pod that was deleted with its machine has no exit code: Argo says -1.
            "expression": f"asInt(lastRetry.exitCode) > {max(_CODES_OF_THE_APPLICATION)}"
            " || asInt(lastRetry.exitCode) < 0",
        },
        "container": container,
        **pod,
    }
    if settings["package"]["timeout_s"]:
        analyse["activeDeadlineSeconds"] = str(settings["package"]["timeout_s"])
    every: Document = {"name": "study", "template": "analyse", "withParam": "{{workflow.parameters.studies}}"}
    every["arguments"] = {"parameters": [{"name": "study", "value": "{{item}}"}]}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "WorkflowTemplate",
        "metadata": {"name": f"{_NAME}-{variant}"},
        "spec": {
            "entrypoint": "every-study",
            # Folders of the studies' claim, as JSON.
            "arguments": {"parameters": [{"name": "studies", "value": json.dumps([_STUDY_PLACEHOLDER])}]},
            "parallelism": 4,
            "ttlStrategy": {"secondsAfterCompletion": _DAY_S},
            # A study that is refused ends with an exit code above 0: the others go on.
            "templates": [{"name": "every-study", "failFast": False, "steps": [[every]]}, analyse],
        },
    }


def network_policy() -> Document:
    """No connection to or from the Jobs' pods. Argo's pods need its own server, so they are left to the site."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": _NAME},
        "spec": {
            "podSelector": {"matchLabels": {"app.kubernetes.io/name": _NAME}},
            "policyTypes": ["Ingress", "Egress"],
        },
    }


def _pod(settings: dict[str, Any], variant: str, study: str) -> Document:
    """What the pod of a Job and that of a workflow have in common; `study` is the folder's name."""
    resources = needs(settings, variant)
    requests = {"cpu": str(resources["cpu"]), "memory": resources["memory"]}
    limits = {"cpu": str(resources["cpuLimit"]), "memory": resources["memoryLimit"]}
    if resources["gpu"]:
        limits["nvidia.com/gpu"] = requests["nvidia.com/gpu"] = str(resources["gpu"])
    container = {
        "name": _NAME,
        "image": image(variant),
        "command": COMMAND,
        # A folder that Kubernetes makes would be root's: the application makes its own in the claim.
        "env": [{"name": "STUDY", "value": study}, {"name": "HOLOSCAN_OUTPUT_PATH", "value": f"{_RESULTS}/$(STUDY)"}],
        "resources": {"requests": requests, "limits": limits},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "studies", "mountPath": _INPUT, "subPathExpr": "$(STUDY)", "readOnly": True},
            {"name": "results", "mountPath": _RESULTS},
            {"name": "tmp", "mountPath": "/tmp"},
            {"name": "shared-memory", "mountPath": "/dev/shm"},
        ],
    }
    memory = {"medium": "Memory", "sizeLimit": resources["sharedMemory"]}
    pod: Document = {
        "containers": [container],
        "volumes": [
            {"name": "studies", "persistentVolumeClaim": {"claimName": f"{_NAME}-studies", "readOnly": True}},
            {"name": "results", "persistentVolumeClaim": {"claimName": f"{_NAME}-results"}},
            {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}},
            {"name": "shared-memory", "emptyDir": memory},
        ],
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    if resources["gpu"]:
        pod["nodeSelector"] = {"nvidia.com/gpu.present": "true"}  # a label of NVIDIA's GPU feature discovery
        pod["tolerations"] = [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    return pod


class _Plain(yaml.SafeDumper):
    """Writes everything out, where YAML would refer to what it has written before."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """Text; the placeholder in quotes, so that a folder whose name is a number is no number in its place."""
    quotes = "'" if text == _STUDY_PLACEHOLDER else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, quotes)


_Plain.add_representer(str, _represent_text)


def make_files() -> dict[str, str]:
    """Every file that is written, by its path below deploy/."""
    settings = load_settings()
    files = {"mercure/modules.json": json.dumps(mercure_modules(settings), indent=2) + "\n"}
    documents = {"network-policy": network_policy()}
    for variant in VARIANTS:
        documents[f"job-{variant}"] = job(settings, variant)
        documents[f"argo-workflow-{variant}"] = workflow_template(settings, variant)
    for name, document in documents.items():
        files[f"kubernetes/{name}.yaml"] = _HEADER + yaml.dump(document, Dumper=_Plain, sort_keys=False, width=120)
    return files


def main() -> int:
    """Write the files; returns 0."""
    for name, text in make_files().items():
        path = FOLDER / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(path.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
