"""The orchestrators' files: as app.yaml and the manifests say, valid by the orchestrators' own schemas, locked down."""

import json
from typing import Any

import kubernetes_validate
import pytest
import yaml
from hera.workflows.models import WorkflowTemplate

from deploy import generate
from deploy.generate import FOLDER, VARIANTS, job, load_settings, make_files, mercure_modules, workflow_template
from groundglass.domain.software import VERSION

KUBERNETES = "1.37"


def committed(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(make_files()))
def test_the_committed_files_are_what_the_generator_writes(name: str) -> None:
    assert committed(name) == make_files()[name], "run `make deploy-files`"


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_folder_whose_name_is_a_number_stays_text(variant: str) -> None:
    filled = yaml.safe_load(committed(f"kubernetes/job-{variant}.yaml").replace("STUDY_FOLDER", "0001234"))
    environment = filled["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {"name": "STUDY", "value": "0001234"} in environment


def test_no_other_file_lies_beside_them() -> None:
    there = {
        path.relative_to(FOLDER).as_posix()
        for folder in ("mercure", "kubernetes")
        for path in (FOLDER / folder).iterdir()
    }
    assert there == set(make_files())


def changed(**package: int) -> dict[str, Any]:
    settings = load_settings()
    return settings | {"package": settings["package"] | package}


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_app_yaml_asks_of_a_machine_reaches_every_orchestrator(variant: str) -> None:
    settings = changed(cpus=7, memory_gib=9, shared_memory_mib=11, timeout_s=13)
    spec = job(settings, variant)["spec"]
    pod = spec["template"]["spec"]
    step = workflow_template(settings, variant)["spec"]["templates"][1]
    for container in (pod["containers"][0], step["container"]):
        for kind in ("requests", "limits"):
            assert container["resources"][kind] == {
                "cpu": "7",
                "memory": "9Gi",
                **({"nvidia.com/gpu": "1"} if variant == "gpu" else {}),
            }
    for volumes in (pod["volumes"], step["volumes"]):
        assert {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": "11Mi"}} in volumes
    # The Job's own deadline would run while it waits for a machine.
    assert "activeDeadlineSeconds" not in spec
    assert (pod["activeDeadlineSeconds"], step["activeDeadlineSeconds"]) == (13, "13")
    module = mercure_modules(settings)["modules"][f"groundglass-{variant}"]
    arguments = json.loads(module["docker_arguments"])
    assert (arguments["nano_cpus"], arguments["mem_limit"], arguments["shm_size"]) == (7_000_000_000, "9g", "11m")
    assert module["resources"].startswith("cores = 7\nmemory = 9216")


def test_a_run_that_may_take_for_ever_has_no_deadline() -> None:
    settings = changed(timeout_s=0)
    assert "activeDeadlineSeconds" not in json.dumps(job(settings, "cpu"))
    assert "activeDeadlineSeconds" not in workflow_template(settings, "cpu")["spec"]["templates"][1]


@pytest.mark.parametrize("variant", VARIANTS)
def test_only_the_gpu_variant_asks_for_a_node_with_a_gpu(variant: str) -> None:
    pod = job(load_settings(), variant)["spec"]["template"]["spec"]
    assert ("nodeSelector" in pod) == (variant == "gpu")
    assert pod["containers"][0]["image"].endswith("-cpu") == (variant == "cpu")


# Kubernetes


@pytest.mark.parametrize("name", ["job-cpu", "job-gpu", "network-policy"])
def test_kubernetes_files_satisfy_its_schemas(name: str) -> None:
    document = yaml.safe_load(committed(f"kubernetes/{name}.yaml"))
    kubernetes_validate.validate(document, KUBERNETES, strict=True)


def test_the_schemas_see_a_misspelt_field() -> None:
    document = yaml.safe_load(committed("kubernetes/job-cpu.yaml"))
    document["spec"]["template"]["spec"]["containers"][0]["securityContext"]["readOnlyRootFileSystem"] = True
    with pytest.raises(kubernetes_validate.ValidationError, match="readOnlyRootFileSystem"):
        kubernetes_validate.validate(document, KUBERNETES, strict=True)


def pod_of(name: str) -> dict[str, Any]:
    """The pod of a Job; that of a workflow's step as Argo would make it."""
    spec = yaml.safe_load(committed(f"kubernetes/{name}.yaml"))["spec"]
    if "template" in spec:
        return dict(spec["template"]["spec"])
    step = spec["templates"][1]
    own = ("volumes", "securityContext", "nodeSelector", "tolerations")
    return {**{key: step[key] for key in own if key in step}, "containers": [step["container"] | {"name": "main"}]}


PODS = ["job-cpu", "job-gpu", "argo-workflow-cpu", "argo-workflow-gpu"]


@pytest.mark.parametrize("name", PODS)
def test_every_pod_is_valid_and_has_the_restricted_profile_of_the_pod_security_standards(name: str) -> None:
    pod = pod_of(name)
    kubernetes_validate.validate(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": pod}, KUBERNETES, strict=True
    )
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    assert mounts["/var/holoscan/input"]["readOnly"] is True
    assert "/tmp" in mounts


def test_the_network_policy_covers_the_pods_of_the_jobs() -> None:
    policy = yaml.safe_load(committed("kubernetes/network-policy.yaml"))["spec"]
    labels = yaml.safe_load(committed("kubernetes/job-cpu.yaml"))["spec"]["template"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    assert set(policy) == {"podSelector", "policyTypes"}  # a rule would be an exception


# Argo


def unknown(document: Any, model: Any, where: str = "") -> list[str]:
    """What Argo's types don't know of a document: they pass over it, and don't give it back."""
    if isinstance(document, dict):
        if not isinstance(model, dict):
            return [where]
        return [name for key in document for name in unknown(document[key], model.get(key), f"{where}.{key}")]
    if isinstance(document, list):
        if not isinstance(model, list):
            return [where]
        return [
            name for number, item in enumerate(document) for name in unknown(item, model[number], f"{where}[{number}]")
        ]
    return [] if document == model else [where]


def read_by_argo(document: dict[str, Any]) -> Any:
    return WorkflowTemplate.model_validate(document).model_dump(mode="json", by_alias=True, exclude_none=True)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_workflow_is_what_argos_types_know(variant: str) -> None:
    document = yaml.safe_load(committed(f"kubernetes/argo-workflow-{variant}.yaml"))
    assert unknown(document, read_by_argo(document)) == []


def test_argos_types_see_a_misspelt_field() -> None:
    document = yaml.safe_load(committed("kubernetes/argo-workflow-cpu.yaml"))
    document["spec"]["templates"][1]["container"]["recources"] = {}
    assert unknown(document, read_by_argo(document)) == [".spec.templates[1].container.recources"]


# mercure

MERCURE_MODULE = {
    **dict.fromkeys(
        ("docker_tag", "additional_volumes", "environment", "docker_arguments", "contact", "comment", "constraints"),
        str,
    ),
    "resources": str,
    "settings": dict,
    "requires_root": bool,
}
"""The fields of mercure's class `Module` (app/common/types.py there): mercure is no Python package to check against."""

MERCURE_RUN_ARGUMENTS = {"mem_limit", "nano_cpus", "shm_size", "pids_limit", "runtime"}
"""Of docker's Python library; mercure gives network, mounts, user and capabilities itself, and may refuse others."""


def test_mercures_modules_have_its_fields_and_types() -> None:
    modules = json.loads(committed("mercure/modules.json"))["modules"]
    assert list(modules) == ["groundglass-cpu", "groundglass-gpu"]
    for module in modules.values():
        assert {name: type(value) for name, value in module.items()} == MERCURE_MODULE
        assert set(json.loads(module["docker_arguments"])) <= MERCURE_RUN_ARGUMENTS
    assert [json.loads(module["docker_arguments"]).get("runtime") for module in modules.values()] == [None, "nvidia"]


def test_the_image_is_the_one_that_make_map_builds() -> None:
    assert generate.image("gpu") == f"groundglass:{VERSION}"
