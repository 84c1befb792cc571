"""A request's spans at an OpenTelemetry collector: the real app of a lane, decoder and Triton; nginx's part is in
tests/security/test_front.py."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cliplane.app import create_app
from cliplane.settings import Settings
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests import media
from tests.integration.conftest import wait_until
from tests.integration.otlp import Collector, attributes, rotel

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    collector = Collector(f"unix:{tmp_path}/otlp.sock")
    yield collector
    collector.close()


@contextlib.contextmanager
def traced_to(address: str) -> Iterator[Flask]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("importlib.metadata.version", lambda _: "1.2.3")  # the code is mounted here, not installed
        app = create_app("lanes", Settings(otlp_grpc=address, lanes=2))
    try:
        yield app
    finally:
        for name in ("lane", "triton", "tracing"):
            app.extensions[name].close()


@pytest.fixture
def app(collector: Collector) -> Iterator[Flask]:
    with traced_to(collector.address) as app:
        yield app


def post(client: FlaskClient, path: Path, query: str = "views=4", **headers: str) -> TestResponse:
    """As nginx hands an upload on."""
    sent = {"X-Spool-Path": str(path), "X-Request-ID": "traced", "X-Spool-Seconds": "0.250"} | headers
    return client.post(f"/v1/classify?{query}", headers=sent)


def test_upload_decode_each_view_and_each_inference_are_spans_of_the_client_s_trace(
    app: Flask, collector: Collector, tmp_path: Path
) -> None:
    (tmp_path / "video").write_bytes(media.clip(frames=80))
    began_ns = time.time_ns()
    answer = post(app.test_client(), tmp_path / "video", traceparent=f"00-{TRACE}-{PARENT}-01")
    assert answer.status_code == 200
    answer.close()
    wait_until(lambda: any(span.name.startswith("POST") for span in collector.spans), what="the request's span")
    spans: dict[str, list[Any]] = {}
    for span in collector.spans:
        assert span.trace_id.hex() == TRACE
        spans.setdefault(span.name, []).append(span)
    (request,), (upload,), (decode,) = spans.pop("POST /v1/classify"), spans.pop("upload"), spans.pop("decode")
    assert request.parent_span_id.hex() == PARENT
    assert attributes(request).items() >= {"cliplane.request_id": "traced", "cliplane.status": 200}.items()
    views, inferences = spans.pop("view"), spans.pop("infer")
    assert not spans
    assert {attributes(view)["cliplane.view"] for view in views} == {0, 1, 2, 3}
    assert sum(attributes(inference)["cliplane.views"] for inference in inferences) == 4
    assert {attributes(inference)["cliplane.handoff"] for inference in inferences} == {"system_shm"}
    assert {span.parent_span_id for span in (upload, decode, *inferences)} == {request.span_id}
    assert {span.parent_span_id for span in views} == {decode.span_id}
    # The upload was before the lane had the request.
    assert 2.4e8 < upload.end_time_unix_nano - upload.start_time_unix_nano < 1e9
    assert request.start_time_unix_nano < began_ns
    for outer, inner in ((request, decode), *((decode, view) for view in views), *((request, i) for i in inferences)):
        assert outer.start_time_unix_nano <= inner.start_time_unix_nano <= inner.end_time_unix_nano
        assert inner.end_time_unix_nano <= outer.end_time_unix_nano


def test_what_the_client_does_not_sample_is_not_told(app: Flask, collector: Collector, tmp_path: Path) -> None:
    (tmp_path / "video").write_bytes(media.clip(frames=8))
    post(app.test_client(), tmp_path / "video", traceparent=f"00-{TRACE}-{PARENT}-00").close()
    post(app.test_client(), tmp_path / "video").close()  # a trace of its own
    wait_until(lambda: any(span.name.startswith("POST") for span in collector.spans), what="the second one's")
    assert TRACE not in {span.trace_id.hex() for span in collector.spans}
    assert len({span.trace_id for span in collector.spans}) == 1


def test_a_stream_s_trace_ends_with_its_last_event_and_a_fault_is_told(
    app: Flask, collector: Collector, tmp_path: Path
) -> None:
    (tmp_path / "video").write_bytes(media.clip(frames=8))
    stream = post(app.test_client(), tmp_path / "video", "views=1", Accept="text/event-stream")
    assert b"event: result" in stream.data
    stream.close()
    (tmp_path / "broken").write_bytes(media.clip(frames=8)[:300])
    broken = post(app.test_client(), tmp_path / "broken")
    assert broken.status_code == 422
    broken.close()

    def requests() -> list[Any]:
        return [span for span in collector.spans if span.name.startswith("POST")]

    wait_until(lambda: len(requests()) == 2, what="both")
    good, bad = requests()
    assert any(span.name == "infer" and span.parent_span_id == good.span_id for span in collector.spans)
    assert (attributes(good)["cliplane.status"], attributes(bad)["cliplane.status"]) == (200, 422)
    failed = [span for span in collector.spans if span.name == "decode" and span.trace_id == bad.trace_id]
    assert [attributes(span).get("error.type") for span in failed] == ["given-up"]


def test_a_collector_that_others_wrote_takes_them(tmp_path: Path) -> None:
    (tmp_path / "video").write_bytes(media.clip(frames=8))
    behind = Collector("127.0.0.1:0")
    with rotel(behind.port, tmp_path / "rotel.sock") as address, traced_to(address) as app:

        def has_come() -> bool:
            post(app.test_client(), tmp_path / "video", "views=1", traceparent=f"00-{TRACE}-{PARENT}-01").close()
            return any(span.name.startswith("POST") for span in behind.spans)

        wait_until(has_come, what="spans through rotel")
    behind.close()
    assert {span.name for span in behind.spans} == {"POST /v1/classify", "upload", "decode", "view", "infer"}
    assert {span.trace_id.hex() for span in behind.spans} == {TRACE}


def test_a_collector_that_is_away_costs_no_request(app: Flask, collector: Collector, tmp_path: Path) -> None:
    (tmp_path / "video").write_bytes(media.clip(frames=8))
    collector.close()
    for _ in range(3):
        answer = post(app.test_client(), tmp_path / "video")
        assert answer.status_code == 200
        answer.close()
    began = time.monotonic()
    app.extensions["tracing"].close()
    assert time.monotonic() - began < 15
