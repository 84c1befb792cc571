"""deploy/kubernetes: what kubectl makes of each overlay is valid, restricted, and of one piece with the rest."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from cliplane.ops import sizing
from cliplane.ops.boot import STOP_MARGIN_S
from cliplane.paths import LEAVING
from cliplane.settings import read_settings

from tests.unit.control.test_metrics import known_metrics

REPOSITORY = Path(__file__).parents[2]
FOLDER = REPOSITORY / "deploy" / "kubernetes"
OVERLAYS = ("cpu", "gpu", "monitoring")
COMPONENTS = ("hpa", "keda", "ingress", "gateway", "models-pvc", "models-image", "jobs-pvc")
OF_OTHERS = {"PodMonitor", "PrometheusRule", "ScaledObject", "HTTPRoute"}
"""Kinds of operators and of the Gateway API: Kubernetes itself has no schema of them."""

Document = dict[str, Any]


def kustomized(folder: Path) -> list[Document]:
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, "kustomize warns"
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def with_component(name: str, folder: Path) -> list[Document]:
    """The cpu overlay with a component, as an operator puts them together."""
    up = os.path.relpath(FOLDER, folder.resolve())
    parts = {"resources": [f"{up}/overlays/cpu"], "components": [f"{up}/components/{name}"]}
    (folder / "kustomization.yaml").write_text(json.dumps(parts))
    return kustomized(folder)


def of_kind(documents: list[Document], kind: str) -> Document:
    (found,) = (document for document in documents if document["kind"] == kind)
    return found


def validate(document: Document) -> None:
    kubernetes_validate.validate(document, "1.34", strict=True)


def pod_spec(documents: list[Document]) -> Document:
    spec: Document = of_kind(documents, "Deployment")["spec"]["template"]["spec"]
    return spec


@pytest.fixture(scope="module", params=[*OVERLAYS, *COMPONENTS])
def documents(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Document]:
    if request.param in OVERLAYS:
        return kustomized(FOLDER / "overlays" / request.param)
    return with_component(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def cpu() -> list[Document]:
    return kustomized(FOLDER / "overlays" / "cpu")


def test_every_document_is_valid_and_none_has_a_field_too_many(documents: list[Document]) -> None:
    for document in documents:
        if document["kind"] not in OF_OTHERS:
            validate(document)
        assert document["kind"] == "Namespace" or document["metadata"]["namespace"] == "cliplane"


def test_a_field_too_many_would_be_seen(cpu: list[Document]) -> None:
    deployment = json.loads(json.dumps(of_kind(cpu, "Deployment")))
    deployment["spec"]["template"]["spec"]["containers"][0]["readyProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        validate(deployment)


def test_the_pod_keeps_to_the_restricted_profile(documents: list[Document]) -> None:
    # https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
    spec = pod_spec(documents)
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not spec["automountServiceAccountToken"]
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    for container in (*spec["initContainers"], *spec["containers"]):
        context = container["securityContext"]
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"]
        assert context["runAsUser"] in (10001, 10002)
        assert not any("hostPort" in port for port in container.get("ports", []))
        assert container["resources"]["limits"]["memory"]
    kinds = {kind for volume in spec["volumes"] for kind in volume.keys() - {"name"}}
    assert kinds <= {"emptyDir", "secret", "configMap", "persistentVolumeClaim", "image"}
    labels = of_kind(documents, "Namespace")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_what_selects_pods_selects_these(documents: list[Document]) -> None:
    labels = of_kind(documents, "Deployment")["spec"]["template"]["metadata"]["labels"].items()
    for kind, path in (
        ("Deployment", ("spec", "selector", "matchLabels")),
        ("Service", ("spec", "selector")),
        ("PodDisruptionBudget", ("spec", "selector", "matchLabels")),
        ("NetworkPolicy", ("spec", "podSelector", "matchLabels")),
    ):
        selector = of_kind(documents, kind)
        for key in path:
            selector = selector[key]
        assert selector, kind
        assert selector.items() <= labels, kind


def test_web_has_what_compose_gives_it(cpu: list[Document]) -> None:
    compose = yaml.safe_load((REPOSITORY / "compose.yaml").read_text())["services"]
    spec = pod_spec(cpu)
    for container in (spec["containers"][0], spec["initContainers"][1]):
        mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
        wanted = {
            volume.get("target") or "" for volume in compose[container["name"]]["volumes"] if type(volume) is dict
        }
        # TLS ends in the gateway; a folder of videos is for whoever has one.
        # A pod is upgraded by another pod: it has no listener, and its models are the image's, or the claim's.
        optional = {"", "/tls/cert.pem", "/tls/key.pem", "/srv/media", "/run/listener", "/models"}
        assert wanted - optional <= mounts, container["name"]
        tmpfs = {text.partition(":")[0] for text in compose[container["name"]]["tmpfs"]}
        assert tmpfs <= mounts


def test_the_settings_are_settings(documents: list[Document]) -> None:
    maps = [document for document in documents if document["metadata"]["name"].startswith("cliplane-settings")]
    settings = read_settings(maps[0]["data"])
    (web,) = pod_spec(documents)["containers"]
    assert web["envFrom"] == [{"configMapRef": {"name": maps[0]["metadata"]["name"]}}]
    # Service links would put CLIPLANE_SERVICE_HOST beside them.
    assert pod_spec(documents)["enableServiceLinks"] is False
    volumes = {volume["name"]: volume.get("emptyDir", {}) for volume in pod_spec(documents)["volumes"]}
    limits = web["resources"]["limits"]
    size = sizing.to_bytes(volumes["shm"]["sizeLimit"].removesuffix("i"))
    found = sizing.sizes(settings, float(limits["cpu"]), sizing.to_bytes(limits["memory"].removesuffix("i")), size)
    assert found.lanes == max(2, int(limits["cpu"]))
    assert sizing.to_bytes(volumes["spool"]["sizeLimit"].removesuffix("i")) > settings.spool_bytes
    assert settings.spool_bytes >= found.lanes * settings.max_upload_bytes


def test_each_grace_is_longer_than_the_one_inside(cpu: list[Document]) -> None:
    spec, (settings, *_) = pod_spec(cpu), (d for d in cpu if d["metadata"]["name"].startswith("cliplane-settings"))
    (web,) = spec["containers"]
    *_, hook = web["lifecycle"]["preStop"]["exec"]["command"]
    leaving, _, sleep = hook.partition("; ")
    assert leaving == f"touch {LEAVING}"
    pre_stop_s = int(sleep.removeprefix("sleep "))
    request_s = read_settings(settings["data"]).request_timeout_s
    assert spec["terminationGracePeriodSeconds"] > pre_stop_s + request_s + STOP_MARGIN_S
    # Readiness may be lost before a proxy hears of it, but not after.
    assert pre_stop_s > web["readinessProbe"]["periodSeconds"] + web["readinessProbe"]["timeoutSeconds"]
    rolling = of_kind(cpu, "Deployment")["spec"]["strategy"]["rollingUpdate"]
    assert rolling == {"maxUnavailable": 0, "maxSurge": 1}


def test_triton_is_a_sidecar_so_that_it_outlives_web(documents: list[Document]) -> None:
    door, triton = pod_spec(documents)["initContainers"]
    assert (door["name"], triton["name"], triton["restartPolicy"]) == ("door", "triton", "Always")
    assert "restartPolicy" not in door
    assert triton["startupProbe"]["exec"] == triton["livenessProbe"]["exec"]


def test_the_operator_finds_the_pods_and_the_rules_and_grafana_the_dashboard() -> None:
    monitoring = kustomized(FOLDER / "overlays" / "monitoring")
    # What is in them, tests/unit/repository/test_observability.py holds.
    assert of_kind(monitoring, "PrometheusRule")["spec"]["groups"]
    (board,) = (d for d in monitoring if d["metadata"]["name"] == "cliplane-dashboard")
    assert board["metadata"]["labels"]["grafana_dashboard"] == "1"
    monitor = of_kind(monitoring, "PodMonitor")["spec"]
    labels = of_kind(monitoring, "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert labels[monitor["jobLabel"]] == "cliplane"  # the rules' job
    assert monitor["selector"]["matchLabels"].items() <= labels.items()


def test_pods_are_counted_by_metrics_that_exist(tmp_path: Path) -> None:
    (tmp_path / "keda").mkdir()
    (tmp_path / "hpa").mkdir()
    scaled = of_kind(with_component("keda", tmp_path / "keda"), "ScaledObject")["spec"]
    autoscaler = of_kind(with_component("hpa", tmp_path / "hpa"), "HorizontalPodAutoscaler")["spec"]
    asked = {
        name for trigger in scaled["triggers"] for name in re.findall(r"cliplane_\w+", trigger["metadata"]["query"])
    }
    assert asked == {"cliplane_lanes_busy", "cliplane_lanes_wanted", "cliplane_queue"}
    assert asked <= known_metrics()
    names = {metric["pods"]["metric"]["name"] for metric in autoscaler["metrics"]}
    adapter = yaml.safe_load((FOLDER / "components" / "hpa" / "adapter.yaml").read_text())
    assert names == {rule["name"]["as"] for rule in adapter["rules"]}
    for rule in adapter["rules"]:
        assert set(re.findall(r"cliplane_\w+", rule["metricsQuery"])) <= known_metrics()


def test_the_rehearsal_plays_the_overlay_s_pod(cpu: list[Document], tmp_path: Path) -> None:
    sys.path.insert(0, str(FOLDER / "rehearsal"))
    try:
        import pods
    finally:
        sys.path.pop(0)
    settings, pod = pods.pod(cpu, "cliplane-a", 9000, "dev", tmp_path, "0")
    validate(settings)
    validate(pod)
    played = {container["name"]: container for container in pod["spec"]["containers"]}
    spec = pod_spec(cpu)
    for container in (spec["initContainers"][1], *spec["containers"]):
        for key in ("securityContext", "volumeMounts"):
            assert played[container["name"]][key] == container[key]
    assert set(pods.folders(cpu)) == {"shm", "run", "spool", "web-tmp", "triton-tmp"}


def test_jobs_are_one_pods_and_on_a_volume_that_outlives_it(tmp_path: Path) -> None:
    documents = with_component("jobs-pvc", tmp_path)
    deployment = of_kind(documents, "Deployment")["spec"]
    assert (deployment["replicas"], deployment["strategy"]) == (1, {"type": "Recreate"})
    (web,) = deployment["template"]["spec"]["containers"]
    assert {"name": "jobs", "mountPath": "/jobs"} in web["volumeMounts"]
    claim = of_kind(documents, "PersistentVolumeClaim")
    volumes = {volume["name"]: volume for volume in deployment["template"]["spec"]["volumes"]}
    assert volumes["jobs"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert claim["spec"]["accessModes"] == ["ReadWriteOncePod"]
