"""The command line that Triton is started with."""

from __future__ import annotations

import importlib.util
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

FILE = Path(__file__).parents[2] / "services" / "triton" / "launch.py"


@pytest.fixture
def launch() -> ModuleType:
    spec = importlib.util.spec_from_file_location("launch", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_client_shared_memory_is_allowed_only_where_the_server_knows_the_flag(launch: ModuleType) -> None:
    old = launch.command("--model-repository ...", {}, Path("/b"), [])
    new = launch.command("--model-repository ... --allow-client-shm <boolean>", {}, Path("/b"), [])
    assert "--allow-client-shm=true" not in old
    assert [*old, "--allow-client-shm=true"] == new


def test_a_configuration_is_named_only_when_asked_for(launch: ModuleType) -> None:
    assert not any("config-name" in word for word in launch.command("", {"MODEL_CONFIG_NAME": ""}, Path("/b"), []))
    assert "--model-config-name=gpu" in launch.command("", {"MODEL_CONFIG_NAME": "gpu"}, Path("/b"), [])


def test_only_its_own_old_segments_are_removed(
    launch: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "SHM", tmp_path)
    monkeypatch.setattr(launch, "MARKER", tmp_path / "cliplane-triton")
    (tmp_path / "triton_python_old").touch()
    (tmp_path / "cliplane-1-2-3").touch()
    launch.MARKER.touch(mode=0o400)
    launch.prepare_shared_memory()
    assert {path.name for path in tmp_path.iterdir()} == {"cliplane-1-2-3", "cliplane-triton"}


def test_a_link_or_a_file_of_somebody_else_does_not_stop_the_start(
    launch: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "SHM", tmp_path)
    monkeypatch.setattr(launch, "MARKER", tmp_path / "cliplane-triton")
    (tmp_path / "triton_python_link").symlink_to(tmp_path / "nowhere")
    launch.prepare_shared_memory()
    assert {path.name for path in tmp_path.iterdir()} == {"cliplane-triton"}


def test_only_a_backend_process_that_nobody_waited_for_is_dead(
    launch: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for pid, text in {
        "10": "10 (triton_python_b) Z 7 7",
        "11": "11 (triton_python_b) S 7 7",
        "12": "12 (python3) Z 7 7",
        "13": "13 (odd) name) Z 7 7",
    }.items():
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "stat").write_text(text)
    assert launch.dead_stubs(tmp_path) == {"10": 7}


class Server(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """Triton's gRPC interface, as far as the check asks it."""

    live = True

    def ServerLive(self, request: object, context: object) -> object:  # noqa: N802
        return service_pb2.ServerLiveResponse(live=self.live)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server, service = grpc.server(ThreadPoolExecutor(1)), Server()
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(service, server)
    server.add_insecure_port(f"unix:{tmp_path}/socket")
    server.start()
    yield service
    server.stop(None).wait()


def test_a_server_is_live_if_it_says_so(launch: ModuleType, server: Server, tmp_path: Path) -> None:
    assert launch.is_live(f"{tmp_path}/socket")
    server.live = False
    assert not launch.is_live(f"{tmp_path}/socket")


def test_a_server_that_is_not_there_or_says_nothing_is_not_live(launch: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(OSError):  # noqa: PT011
        launch.is_live(f"{tmp_path}/nothing")
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(f"{tmp_path}/mute")
        mute.listen()
        with pytest.raises(TimeoutError):
            launch.is_live(f"{tmp_path}/mute")


def test_no_port_is_open_unless_somebody_asks_for_it(launch: ModuleType) -> None:
    arguments = launch.command("", {}, Path("/b"), ["--allow-http=true"])
    assert {"--allow-http=false", "--allow-metrics=false", "--grpc-address=unix:/run/triton/grpc.sock"} <= {*arguments}
    assert arguments.index("--allow-http=false") < arguments.index("--allow-http=true")


def test_a_folder_that_it_cannot_listen_in_is_named(
    launch: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "DOOR", tmp_path / "nowhere" / "grpc.sock")
    with pytest.raises(launch.WrongUser, match="10001:10000"):
        launch.prepare_door()


def test_the_tests_serve_what_a_gpu_host_serves_but_for_the_gpu() -> None:
    configs = Path(__file__).parents[2] / "services/triton/models/camera_motion/configs"
    gpu = (configs / "gpu.pbtxt").read_text()
    assert (configs / "onnxruntime.pbtxt").read_text() == gpu.replace("KIND_GPU", "KIND_CPU") != gpu
