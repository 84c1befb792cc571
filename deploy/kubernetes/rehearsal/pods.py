"""The pod of an overlay, as `podman kube play` takes it: what podman does not know of a Deployment is done here.

What changes: the sidecar becomes a container like the others; hooks go (`rehearse.py` does what they are for); an
`emptyDir` becomes a folder of this host that is made for the pod, since podman gives each container one of its own
where a pod shares one; and each pod has a port of its own. All else is the cluster's: users, walls, mounts, settings.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

Document = dict[str, Any]

DOOR = "door"
"""A volume of podman's, not a folder: of those alone it knows `subPath`."""


def folders(documents: list[Document]) -> dict[str, str]:
    """Volume → size, of what the kubelet makes for each `emptyDir`."""
    volumes = _deployment(documents)["spec"]["template"]["spec"]["volumes"]
    empty = {volume["name"]: volume["emptyDir"] for volume in volumes if "emptyDir" in volume}
    return {name: text["sizeLimit"].removesuffix("i").lower() for name, text in empty.items() if name != DOOR}


def pod(documents: list[Document], name: str, port: int, tag: str, folder: Path, cpus: str) -> list[Document]:
    """A pod and the ConfigMaps that it names, from `kubectl kustomize`'s documents.

    `folder`: has a folder of each volume. `cpus`: which CPUs it may use, as cpuset(7) writes them.
    """
    template = copy.deepcopy(_deployment(documents)["spec"]["template"])
    spec = template["spec"]
    sidecars = [container for container in spec["initContainers"] if container.pop("restartPolicy", "") == "Always"]
    spec["initContainers"] = [container for container in spec["initContainers"] if container not in sidecars]
    spec["containers"] = sidecars + spec["containers"]
    for container in (*spec["initContainers"], *spec["containers"]):
        container["image"] = f"localhost/{container['image'].partition(':')[0]}:{tag}"
        container["imagePullPolicy"] = "Never"
        container.pop("lifecycle", None)
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            container.pop(probe, None)
        container["resources"].get("limits", {}).pop("cpu", None)  # `cpus` instead
    (web,) = (container for container in spec["containers"] if container["name"] == "web")
    web["ports"][0]["hostPort"] = port
    for volume in spec["volumes"]:
        if volume["name"] == DOOR:
            volume["persistentVolumeClaim"] = {"claimName": f"{name}-{DOOR}"}
        elif "emptyDir" in volume:
            volume["hostPath"] = {"path": str(folder / volume["name"]), "type": "Directory"}
        volume.pop("emptyDir", None)
    spec.pop("topologySpreadConstraints", None)
    annotations = {f"io.podman.annotations.cpuset/{container['name']}": cpus for container in spec["containers"]}
    metadata = {"name": name, "labels": template["metadata"]["labels"], "annotations": annotations}
    made: Document = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    return [*(document for document in documents if document["kind"] == "ConfigMap"), made]


def pre_stop(documents: list[Document]) -> list[str]:
    """The command that the kubelet runs in web before it ends it."""
    (web,) = _deployment(documents)["spec"]["template"]["spec"]["containers"]
    command: list[str] = web["lifecycle"]["preStop"]["exec"]["command"]
    return command


def _deployment(documents: list[Document]) -> Document:
    (found,) = (document for document in documents if document["kind"] == "Deployment")
    return found
