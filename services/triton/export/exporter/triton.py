"""What Triton answers: the one beside this container, which serves what is not installed yet. It has the image, the
launcher and the backend that will serve it.

Two requests of its HTTP protocol, by the standard library:
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
"""

from __future__ import annotations

import http.client
import json
import time
from typing import Any

import numpy as np

ADDRESS = ("127.0.0.1", 8000)
START_S = 60
LOAD_S = 300
REQUEST_S = 300


class TritonFailed(Exception):
    """It is not there, cannot load the model, or refuses the request."""


def infer(name: str, version: int, frames: np.ndarray) -> np.ndarray:
    """Probabilities, (views, classes) float32, of frames, (views, T, H, W, 3) uint8, in one request.

    Raises:
        TritonFailed: there are none, and why.
    """
    _wait_until_loaded(name, version)
    size = {"binary_data_size": frames.nbytes}
    tensor = {"name": "frames", "shape": frames.shape, "datatype": "UINT8", "parameters": size}
    head = json.dumps({"inputs": [tensor]}).encode()
    length = {"Inference-Header-Content-Length": str(len(head))}
    try:
        response = _ask(f"/v2/models/{name}/versions/{version}/infer", head + frames.tobytes(), length)
    except (OSError, http.client.HTTPException) as exc:
        raise TritonFailed(f"Triton was lost while it answered: {exc!r}") from exc
    output = response["outputs"][0]
    return np.array(output["data"], np.float32).reshape(output["shape"])


def _wait_until_loaded(name: str, version: int) -> None:
    started = time.monotonic()
    while True:
        try:
            index = _ask("/v2/repository/index", b"{}")
        except (OSError, http.client.HTTPException) as exc:  # it is starting
            if time.monotonic() > started + START_S:
                raise TritonFailed(f"Triton does not answer: {exc}") from exc
            index = []
        there: dict[str, str] = next(
            (one for one in index if (one["name"], one.get("version")) == (name, str(version))), {}
        )
        if there.get("state") == "READY":
            return
        if there.get("state") == "UNAVAILABLE" and there.get("reason"):
            raise TritonFailed(f"Triton cannot load it: {there['reason']}")
        if time.monotonic() > started + LOAD_S:
            raise TritonFailed(f"Triton has not loaded it within {LOAD_S} s")
        time.sleep(0.2)


def _ask(path: str, body: bytes, headers: dict[str, str] | None = None) -> Any:
    # Not urllib: it obeys the http_proxy that a Docker client's settings put into every container.
    connection = http.client.HTTPConnection(*ADDRESS, timeout=REQUEST_S)
    try:
        connection.request("POST", path, body, headers or {})
        response = connection.getresponse()
        text = response.read()
    finally:
        connection.close()
    if response.status != 200:
        raise TritonFailed(f"Triton answers {response.status}: {text[:300].decode(errors='replace')}")
    return json.loads(text)
