"""Collectors of traces: OpenTelemetry's TraceService by its own protocol, which keeps what it gets, and rotel, which
hands on to it."""

from __future__ import annotations

import contextlib
import importlib.resources
import socket
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """`spans`: all that have come, as OTLP has them. `port`: its own, where the address is one of TCP."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.spans: list[Any] = []
        self._lock = threading.Lock()
        self._server = grpc.server(ThreadPoolExecutor(2))
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(self, self._server)  # type: ignore[no-untyped-call]
        self.port = self._server.add_insecure_port(address)
        self._server.start()

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802
        with self._lock:
            for resource in request.resource_spans:
                self.spans += [span for scope in resource.scope_spans for span in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()

    def close(self) -> None:
        self._server.stop(0).wait()


def attributes(span: Any) -> dict[str, Any]:
    """Of a span, as a mapping."""
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in span.attributes}


@contextlib.contextmanager
def rotel(to_port: int, socket_path: Path) -> Iterator[str]:
    """The address of a collector that somebody else wrote: github.com/streamfold/rotel. It hands on to `to_port`.

    It listens on TCP alone; a relay stands before it, as a lane reaches unix sockets only.
    """
    with socket.create_server(("127.0.0.1", 0)) as grpc_port, socket.create_server(("127.0.0.1", 0)) as http_port:
        listens, other = grpc_port.getsockname()[1], http_port.getsockname()[1]
    program = str(importlib.resources.files("rotel").joinpath("rotel-agent"))
    command = [program, "start", "--otlp-grpc-endpoint", f"127.0.0.1:{listens}"]
    command += ["--otlp-http-endpoint", f"127.0.0.1:{other}", "--exporter", "otlp", "--batch-timeout", "200ms"]
    command += ["--otlp-exporter-endpoint", f"http://127.0.0.1:{to_port}", "--otlp-exporter-protocol", "grpc"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT) as process:
        relay = socket.socket(socket.AF_UNIX)
        relay.bind(str(socket_path))
        relay.listen()
        threading.Thread(target=_relay, args=(relay, listens), daemon=True).start()
        try:
            yield f"unix:{socket_path}"
        finally:
            relay.close()
            process.terminate()


def _relay(listener: socket.socket, port: int) -> None:
    while True:
        try:
            near, _ = listener.accept()
        except OSError:
            return
        try:
            far = socket.create_connection(("127.0.0.1", port))
        except OSError:  # it is starting: whoever sends tries again
            near.close()
            continue
        for source, target in ((near, far), (far, near)):
            threading.Thread(target=_copy, args=(source, target), daemon=True).start()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
