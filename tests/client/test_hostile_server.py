"""The client asks a server that lies: whatever it answers ends as a result or as an error of ours, in bounded time and
memory (test_bounds.py), and nothing of it reaches the terminal as a command. Real sockets, no stack."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cliplane_client import Client, ClientError, InvalidResponse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.client.conftest import cliplane
from tests.client.documents import HEALTH, MODEL, MODELS, RESULT, VIDEO, VIEW
from tests.client.loopback import Server

ESCAPES = "\x1b]0;owned\x07\x9b2J\u202egnp.\u2028\r\ud800"
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e\ud800-\udfff]")  # all but the line's end


def classify(client: Client) -> Any:
    return client.classify(b"x")


def segments(client: Client) -> Any:
    return client.segments(b"x")


OPERATIONS: list[Callable[[Client], Any]] = [classify, segments, Client.models, Client.health, Client.uplink]


def anything() -> st.SearchStrategy[Any]:
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just(ESCAPES)
    return st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner), max_leaves=6
    )


@st.composite
def mutants(draw: st.DrawFn, document: dict[str, Any]) -> dict[str, Any]:
    """The document with one of its values away, or another one in its place."""
    mutant = copy.deepcopy(document)
    place: Any = mutant
    while True:
        key = draw(st.sampled_from(list(place) if isinstance(place, dict) else range(len(place))))
        if isinstance(place[key], dict | list) and place[key] and draw(st.booleans()):
            place = place[key]
            continue
        if draw(st.booleans()):
            del place[key]
        else:
            place[key] = draw(anything())
        return mutant


def bodies(document: dict[str, Any]) -> st.SearchStrategy[bytes]:
    text = st.one_of(mutants(document), anything()).map(lambda body: json.dumps(body).encode())
    return st.one_of(text, text.map(lambda text: text[: len(text) // 2]), st.binary(max_size=64))


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Events of our names and others, with data that may be right, in any order; lines that are none between."""
    good = {"video": VIDEO, "view": VIEW, "result": RESULT, "error": {"title": "no", "status": 422}}
    lines = []
    for name in draw(st.lists(st.sampled_from([*good, "", "news"]), max_size=4)):
        data = draw(st.just(json.dumps(good.get(name, {})).encode()) | bodies(good.get(name, RESULT)))
        lines.append(b"event: %s\ndata: %s\n\n" % (name.encode(), data.replace(b"\n", b"")))
        lines.append(draw(st.sampled_from([b"", b": a comment\n", b"data\n", b"id: 7\r\n\r\n", b"\xff\n"])))
    return b"".join(lines)


heads = st.sampled_from(
    ["", "Retry-After: \xb2\r\n", "Retry-After: soon\r\n", f"Server-Timing: spool;dur={'9' * 5000}\r\n"]
)
statuses = st.sampled_from([200, 200, 200, 204, 301, 404, 422, 500, 503, 599])


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    database=None,
    derandomize=True,
)
@given(data=st.data())
def test_whatever_it_answers_is_a_result_or_an_error_of_ours(server: Server, data: st.DataObject) -> None:
    operation = data.draw(st.sampled_from(OPERATIONS))
    document = {Client.models: MODELS, Client.health: HEALTH}.get(operation, RESULT)
    kind = data.draw(st.sampled_from(["application/json", "text/event-stream", "text/html"]))
    body = data.draw(streams() if operation is classify and data.draw(st.booleans()) else bodies(document))
    server.says(body, kind, data.draw(statuses), data.draw(heads))
    with Client(server.base, retries=0, timeout_s=10) as client:
        said = ""
        try:
            operation(client)
        except ClientError as error:
            said = str(error)
    assert not CONTROL.search(said)


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    database=None,
    derandomize=True,
)
@given(data=st.data())
def test_nothing_it_answers_moves_the_cursor(server: Server, video: Path, data: st.DataObject) -> None:
    connection = ["--base", server.base, "--retries", "0"]
    command = data.draw(
        st.sampled_from([["classify", video], ["classify", video, "--csv"], ["classify", video, "--json"]])
        | st.sampled_from([["models"], ["models", "--json"], ["health"]])
    )
    if command[0] == "classify" and data.draw(st.booleans()):
        server.says(data.draw(streams()), "text/event-stream")
    else:
        document = {"models": MODELS, "health": HEALTH}.get(str(command[0]), RESULT)
        server.says(data.draw(bodies(document)), "application/json", data.draw(statuses))
    code, written = cliplane(*command, *connection)
    assert code in (0, 1, 3)
    assert not CONTROL.search(written.replace("\r\n", "\n"))  # csv's own ends of lines


@pytest.mark.parametrize("form", [(), ("--csv",), ("--json",)])
def test_escape_sequences_in_labels_are_written_out(server: Server, video: Path, form: tuple[str, ...]) -> None:
    label: dict[str, Any] = {"label": f"[red]{ESCAPES}[/nope] :smile:", "score": 0.5}
    server.streams(("video", VIDEO), ("result", {**RESULT, "predictions": [label]}))
    code, written = cliplane("classify", video, *form, "--base", server.base)
    assert code == 3, written  # half of a surrogate pair is no JSON
    label["label"] = label["label"].replace("\ud800", "")
    server.streams(("video", VIDEO), ("result", {**RESULT, "predictions": [label]}))
    code, written = cliplane("classify", video, *form, "--base", server.base)
    assert code == 0
    assert not CONTROL.search(written.replace("\r\n", "\n"))
    assert "[red]" in written
    assert "owned" in written


def test_a_title_a_model_and_a_file_are_no_markup(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "[nope]\x1b[2J.mp4"
    path.write_bytes(b"x")
    problem = {"type": "\x1b[31mred", "title": "[/nope]\x1b[31m", "detail": "\x9b2J", "status": 422}
    server.says(json.dumps(problem).encode(), "application/problem+json", 422)
    code, written = cliplane("classify", path, "--base", server.base)
    assert code == 1
    assert not CONTROL.search(written)
    assert written.rstrip().endswith(r"[nope]\x1b[2J.mp4: [/nope]\x1b[31m: \x9b2J")
    server.says(json.dumps({"default": "", "models": [{**MODEL, "name": "[/nope]", "version": "\x1b[31m"}]}).encode())
    code, written = cliplane("models", "--base", server.base)
    assert code == 0
    assert "[/nope]" in written
    assert not CONTROL.search(written)


@pytest.mark.parametrize("operation", [classify, Client.models, Client.health])
@pytest.mark.parametrize("body", [b"<html>A captive portal</html>", b"", b"[]", b"{}", b"[" * 100_000, b"\xff"])
def test_what_is_no_cliplane_server_is_named_so(
    server: Server, operation: Callable[[Client], Any], body: bytes
) -> None:
    server.says(body, "text/html")
    with Client(server.base, retries=0) as client, pytest.raises(InvalidResponse, match="no Cliplane server"):
        operation(client)
    assert cliplane("health", "--base", server.base)[0] == 3


@pytest.mark.parametrize("operation", [classify, Client.models, Client.health])
@pytest.mark.parametrize(
    "response",
    [
        b"",
        b"\x1b[31m\x9b2J no HTTP\r\n\r\n",
        b"HTTP/1.1 200 \x1b[31mOK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-\x1b[31m: y\r\n\r\n",
        b"HTTP/1.1 999999 X\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: \x1b[31m\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 9\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n\x1b[31m\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1_000_000,
    ],
)
def test_what_is_no_http_is_an_error_of_ours(
    server: Server, operation: Callable[[Client], Any], response: bytes
) -> None:
    server.response = [response]
    with Client(server.base, retries=0) as client, pytest.raises(ClientError) as error:
        operation(client)
    assert not CONTROL.search(str(error.value))


def test_a_stream_without_its_result_is_an_error(server: Server) -> None:
    for events in ((), (("video", VIDEO),), (("video", VIDEO), ("view", VIEW))):
        server.streams(*events)
        with Client(server.base) as client, pytest.raises(InvalidResponse, match="ended before its result"):
            client.classify(b"x")
    server.streams(("result", RESULT), ("result", RESULT))
    with Client(server.base) as client, pytest.raises(InvalidResponse, match="goes on"):
        client.classify(b"x")
