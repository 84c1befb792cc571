"""A Triton of the check's own: started with the models as one engine is to serve them, asked by HTTP on loopback."""

from __future__ import annotations

import contextlib
import http.client
import json
import mmap
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

MAX_BATCH = 32
PATIENCE_S = 900
"""Each size of a batch searches for its algorithms once, for each model."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the server's binary and the backend's library are, in an image or beside a checkout."""

    server: Path
    backend: Path


@dataclass(frozen=True, slots=True)
class Model:
    """A model of the repository, as its graph takes it. `dims` are of one view: T, H, W, C."""

    name: str
    folder: Path
    input: str
    output: str
    dims: tuple[int, ...]
    classes: int

    @property
    def view_bytes(self) -> int:
        return int(np.prod(self.dims))


@dataclass(frozen=True, slots=True)
class Server:
    port: int
    pid: int
    log: Path

    def ask(self, path: str, body: object = None) -> Any:
        """The answer's JSON.

        Raises:
            RuntimeError: the server refuses; with its words.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        try:
            payload = None if body is None else json.dumps(body)
            connection.request("GET" if body is None else "POST", path, payload)
            response = connection.getresponse()
            answer = json.loads(response.read() or b"{}")
        finally:
            connection.close()
        if response.status != 200:
            raise RuntimeError(answer.get("error", f"{path}: {response.status}"))
        return answer

    def infer(self, model: Model, region: str, first: int, views: int) -> np.ndarray:
        """(views, classes) of the views from `first` on in a registered region."""
        place = {
            "shared_memory_region": region,
            "shared_memory_offset": first * model.view_bytes,
            "shared_memory_byte_size": views * model.view_bytes,
        }
        frames = {"name": model.input, "shape": [views, *model.dims], "datatype": "UINT8", "parameters": place}
        answer = self.ask(f"/v2/models/{model.name}/infer", {"inputs": [frames]})
        return np.array(answer["outputs"][0]["data"], np.float32).reshape(views, -1)

    def refused(self, model: str) -> str:
        """Why this model is not served; empty if it is."""
        index = self.ask("/v2/repository/index", {})
        entry: dict[str, str] = next((one for one in index if one["name"] == model), {"reason": "it is not there"})
        return "" if entry.get("state") == "READY" else entry.get("reason", entry.get("state", "it is loading"))


def config(model: Model, kind: str, parameters: Mapping[str, str]) -> str:
    """The model's config.pbtxt for this engine."""
    options = "".join(
        f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}\n' for key, value in parameters.items()
    )
    return (
        f'name: "{model.name}"\nbackend: "onnxruntime"\nmax_batch_size: {MAX_BATCH}\n'
        f'input [ {{ name: "{model.input}" data_type: TYPE_UINT8 dims: {list(model.dims)} }} ]\n'
        f'output [ {{ name: "{model.output}" data_type: TYPE_FP32 dims: [ {model.classes} ] }} ]\n'
        f"instance_group [ {{ kind: {kind} count: 1 }} ]\n{options}"
    )


@contextlib.contextmanager
def running(
    place: Place, models: list[Model], kind: str, parameters: Mapping[str, str], work: Path
) -> Iterator[Server]:
    """A server with these models, once each of them is loaded or refused; ended at the end."""
    shutil.rmtree(work, ignore_errors=True)
    (work / "backends/onnxruntime").mkdir(parents=True)
    (work / "backends/onnxruntime/libtriton_onnxruntime.so").symlink_to(place.backend)
    for model in models:
        (work / "models" / model.name).mkdir(parents=True)
        (work / "models" / model.name / "1").symlink_to(model.folder)
        (work / "models" / model.name / "config.pbtxt").write_text(config(model, kind, parameters))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        *(str(place.server), f"--model-repository={work / 'models'}", f"--backend-directory={work / 'backends'}"),
        *("--exit-on-error=false", "--strict-readiness=false", "--allow-grpc=false", "--allow-metrics=false"),
        *("--http-address=127.0.0.1", f"--http-port={port}"),
    ]
    log = work / "server.log"
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        server = Server(port, process.pid, log)
        _wait(server, process, models)
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()


def _wait(server: Server, process: subprocess.Popen[bytes], models: list[Model]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended: {server.log.read_text()[-300:]}")
        with contextlib.suppress(OSError):
            states = {one["name"]: one.get("state") for one in server.ask("/v2/repository/index", {})}
            if all(states.get(model.name) in ("READY", "UNAVAILABLE") for model in models):
                return
        time.sleep(0.1)
    raise TimeoutError(f"the models are not loaded after {PATIENCE_S} s")


@contextlib.contextmanager
def region(server: Server, pixels: np.ndarray) -> Iterator[str]:
    """A system shared-memory region with these bytes, registered; its name."""
    name = f"cliplane-gpu-check-{os.getpid()}"
    file = os.open(f"/dev/shm/{name}", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o660)
    try:
        os.ftruncate(file, pixels.nbytes)
        with mmap.mmap(file, pixels.nbytes) as memory:
            memory[:] = pixels.tobytes()
        place = {"key": f"/{name}", "offset": 0, "byte_size": pixels.nbytes}
        server.ask(f"/v2/systemsharedmemory/region/{name}/register", place)
        try:
            yield name
        finally:
            server.ask(f"/v2/systemsharedmemory/region/{name}/unregister", {})
    finally:
        os.close(file)
        Path(f"/dev/shm/{name}").unlink()
