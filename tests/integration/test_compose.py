"""What the compose files promise: hardening, the order of grace, the GPU overlay, the list of settings."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cliplane.ops.boot import STOP_MARGIN_S
from cliplane.settings import GRACEFUL_MARGIN_S, Settings

from tests.integration.conftest import Stack, docker

REPOSITORY = Path(__file__).parents[2]


def config(*files: str, **environment: str) -> dict[str, Any]:
    """The compose project that these files make."""
    command = [
        "docker",
        "compose",
        *(word for file in files for word in ("-f", file)),
        "config",
        "--format",
        "json",
    ]
    env = {"PATH": os.environ["PATH"], "HOME": "/root", **environment}
    done = subprocess.run(command, cwd=REPOSITORY, env=env, capture_output=True, text=True, check=True)
    loaded: dict[str, Any] = json.loads(done.stdout)
    return loaded


@pytest.mark.parametrize("service", ["triton", "web", "listener"])
def test_every_container_runs_without_rights(stack: Stack, service: str) -> None:
    (facts,) = json.loads(docker("inspect", stack.container(service)))
    host = facts["HostConfig"]
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert "no-new-privileges:true" in host["SecurityOpt"]
    assert not host["Privileged"]
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert host["Memory"] > 0
    assert host["PidsLimit"] > 0
    assert facts["Config"]["Healthcheck"]
    status = stack.exec(service, "cat", "/proc/1/status")
    uids = next(line.split()[1:] for line in status.splitlines() if line.startswith("Uid"))
    assert "0" not in uids


def test_web_and_triton_share_a_group_and_not_a_uid(stack: Stack) -> None:
    ids = [stack.exec(service, "id").split()[:2] for service in ("triton", "web")]
    assert [uid.split("(")[0] for uid, _ in ids] == ["uid=10001", "uid=10002"]
    assert {gid.split("(")[0] for _, gid in ids} == {"gid=10000"}


def test_web_cannot_write_triton_s_own_segments(stack: Stack) -> None:
    for name in stack.shared_memory():
        mode = stack.exec("web", "stat", "-c", "%u %g %a", f"/dev/shm/{name}").split()
        if name.startswith("cliplane-") and name.count("-") == 3:
            assert mode == ["10002", "10000", "660"]
        else:
            assert mode[0] == "10001"
            assert mode[2] in ("640", "644", "440")


def test_only_the_listener_is_published_and_only_to_this_host() -> None:
    services = config("compose.yaml", COMPOSE_PROFILES="obs")["services"]
    published = {name: [port["host_ip"] for port in service.get("ports", [])] for name, service in services.items()}
    assert {name: hosts for name, hosts in published.items() if hosts} == {
        "listener": ["127.0.0.1"],
        "prometheus": ["127.0.0.1"],
    }
    for service in ("listener", "prometheus"):
        assert services[service]["read_only"]
        assert services[service]["cap_drop"] == ["ALL"]


def test_two_releases_have_a_shared_memory_and_a_door_of_triton_s_each() -> None:
    first, second = (config("compose.yaml", COLOUR=colour, COMPOSE_PROJECT_NAME="x")["volumes"] for colour in "ab")
    for volume in ("shm", "triton"):
        assert first[volume]["name"] != second[volume]["name"]


def test_the_containers_bounds_follow_the_settings() -> None:
    services = config("compose.yaml", WEB_MEMORY="3g", WEB_CPUS="1.5", TRITON_MEMORY="9g", TRITON_CPUS="4")["services"]
    bounds = {name: (int(services[name]["mem_limit"]), float(services[name]["cpus"])) for name in ("web", "triton")}
    assert bounds == {"web": (3 * 2**30, 1.5), "triton": (9 * 2**30, 4.0)}


def test_each_grace_is_longer_than_the_one_inside() -> None:
    web = config("compose.yaml")["services"]["web"]
    assert web["stop_grace_period"] == "1m20s"
    request_s = Settings().request_timeout_s
    assert request_s < request_s + GRACEFUL_MARGIN_S < request_s + STOP_MARGIN_S < 80


def test_every_setting_reaches_the_container() -> None:
    web = config("compose.yaml", **dict.fromkeys(Settings().variables(), "x"))["services"]["web"]
    assert {name for name in web["environment"] if name.startswith("CLIPLANE_")} == set(Settings().variables())


def test_the_example_names_every_setting_with_its_default() -> None:
    lines = (REPOSITORY / ".env.example").read_text().splitlines()
    example = dict(line.removeprefix("# ").split("=", 1) for line in lines if line.startswith("# CLIPLANE_"))
    expected = {
        name: value.lower() if value in ("True", "False") else value for name, value in Settings().variables().items()
    }
    assert example == expected


def test_the_gpu_overlay_is_valid_and_gives_both_the_same_gpu() -> None:
    services = config("compose.yaml", "compose.gpu.yaml")["services"]
    devices = [services[name]["deploy"]["resources"]["reservations"]["devices"] for name in ("triton", "web")]
    assert devices[0] == devices[1]
    assert devices[0][0]["device_ids"] == ["0"]
    assert {"gpu", "compute", "utility", "video"} == set(devices[0][0]["capabilities"])
    triton = services["triton"]
    assert triton["build"]["target"] == "gpu"
    assert triton["environment"]["MODEL_CONFIG_NAME"] == "gpu"
    assert triton["ipc"] == services["web"]["ipc"]


def test_the_overlay_for_traces_gives_web_the_collector_s_socket() -> None:
    web = config("compose.yaml", "compose.traces.yaml")["services"]["web"]
    socket = web["environment"]["CLIPLANE_OTLP_GRPC"].removeprefix("unix:")
    assert str(Path(socket).parent) in {volume.get("target") for volume in web["volumes"]}


def test_nvidia_s_own_image_is_an_overlay_of_the_gpu_s() -> None:
    triton = config("compose.yaml", "compose.gpu.yaml", "compose.ngc.yaml")["services"]["triton"]
    release = triton["image"].partition(":")[2].removesuffix("-py3")
    assert tuple(int(part) for part in release.split(".")) >= (26, 7)
    assert triton["environment"]["MODEL_CONFIG_NAME"] == "gpu"
    assert "build" not in triton


def test_every_model_has_a_configuration_for_a_gpu() -> None:
    for folder in (REPOSITORY / "services" / "triton" / "models").iterdir():
        cpu, gpu = (folder / "config.pbtxt").read_text(), (folder / "configs" / "gpu.pbtxt").read_text()
        assert "KIND_GPU" in gpu
        for key in ("temporal_stride", "frame_rate", "short_side", "clips", "crops"):
            line = next(line for line in cpu.splitlines() if key in line)
            assert line.strip(", ") in gpu.replace(",\n", "\n")
