"""What one client's uploads can take from the others: space, connections, time."""

from __future__ import annotations

import contextlib
import json
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.security.conftest import Front, answer_of, wait_until

FrontWith = Callable[..., Front]

HEAD = b"POST /v1/classify HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def sized(length: int) -> bytes:
    return HEAD + b"Content-Length: %d\r\n\r\n" % length


@contextlib.contextmanager
def under_way(front: Front, *begun: bytes) -> Iterator[list[socket.socket]]:
    """Uploads that have begun, as nginx sees it."""
    connections = [front.connect() for _ in begun]
    try:
        for connection, request in zip(connections, begun, strict=True):
            connection.sendall(request)
        yield connections
    finally:
        for connection in connections:
            connection.close()


def promised_bytes(front: Front) -> int:
    """As nginx tells the control plane."""
    httpx.get(f"{front.base}/readyz")
    return int(front.control.seen[-1]["x-spool-promised"])


@pytest.fixture
def small(front_with: FrontWith) -> Front:
    """Room for two uploads of the largest size; one lane."""
    return front_with(lanes=1, max_upload_bytes=1_000_000, spool_bytes=2_000_000)


@pytest.mark.parametrize("begun", [sized(900_000), CHUNKED + b"5\r\nhello\r\n"], ids=["with a length", "chunked"])
def test_space_is_promised_when_an_upload_begins_and_a_full_spool_is_a_507(small: Front, begun: bytes) -> None:
    small.forget_refusals()
    with under_way(small, begun, begun):
        wait_until(lambda: promised_bytes(small) >= 1_800_000, what="both promises")
        response = small.post(bytes(300_000))
        assert response.status_code == 507
        assert response.json()["type"] == "urn:cliplane:problem:spool-full"
        assert int(response.headers["retry-after"]) >= 1
        assert small.next_refusal() == "spool-full"
        for path in ("/livez", "/readyz", "/metrics"):
            assert httpx.get(small.base + path).status_code == 200
    wait_until(lambda: promised_bytes(small) == 0, what="the space of those that left")
    assert small.post(bytes(900_000)).status_code == 200


def test_a_whole_upload_holds_what_it_has_until_its_answer(small: Front) -> None:
    small.lanes.may_answer.clear()
    body = b"".join(b"%x\r\n%s\r\n" % (1000, b"v" * 1000) for _ in range(10)) + b"0\r\n\r\n"
    with under_way(small, CHUNKED + body) as (connection,):
        wait_until(lambda: bool(small.lanes.seen), what="the request in the lane")
        assert 10_000 <= promised_bytes(small) < 12_000
        (file,) = small.spool.iterdir()
        assert file.stat().st_mode & 0o777 == 0o640, "lanes count those that are whole by it"
        small.lanes.may_answer.set()
        assert answer_of(connection).status == 200
    wait_until(lambda: promised_bytes(small) == 0, what="its space")


def test_an_upload_that_has_only_begun_is_no_whole_one(small: Front) -> None:
    with under_way(small, sized(900_000) + bytes(600_000)):
        wait_until(lambda: any(small.spool.iterdir()), what="its file")
        (file,) = small.spool.iterdir()
        assert file.stat().st_mode & 0o777 == 0o600


def test_whatever_ends_a_request_its_space_is_free_again(small: Front) -> None:
    def ends(request: bytes) -> int:
        return small.raw(request).status

    assert ends(sized(999_000_000)) == 413
    assert ends(CHUNKED + b"nonsense\r\n") == 400
    assert ends(CHUNKED + b"%x\r\n" % 2_000_000 + bytes(2_000_000) + b"\r\n0\r\n\r\n") == 413
    assert ends(HEAD.replace(b"Host: x", b"Host: evil.example") + b"Content-Length: 5\r\n\r\nvideo") == 421
    with under_way(small, sized(500_000) + b"some"):
        pass
    small.lanes.may_answer.clear()
    with under_way(small, sized(5) + b"video"):
        wait_until(lambda: bool(small.lanes.seen), what="the request in the lane")
    small.lanes.may_answer.set()
    wait_until(lambda: promised_bytes(small) == 0, what="all of the space")
    wait_until(lambda: not list(small.spool.iterdir()), what="an empty spool")


@pytest.fixture
def impatient(front_with: FrontWith) -> Front:
    return front_with(upload_stall_s=1, upload_timeout_s=4)


@pytest.mark.parametrize("begun", [sized(1_000_000) + b"some of it", CHUNKED + b"5\r\nhello\r\n", sized(9)], ids=repr)
def test_an_upload_that_stands_still_is_a_408(impatient: Front, begun: bytes) -> None:
    impatient.forget_refusals()
    response = impatient.raw(begun)
    assert response.status == 408
    assert response.problem() == "upload-too-slow"
    assert impatient.next_refusal() == "upload-too-slow"
    wait_until(lambda: promised_bytes(impatient) == 0, what="its space")


def drip(connection: socket.socket, each: int, is_over: threading.Event) -> None:
    with contextlib.suppress(OSError):
        while not is_over.wait(0.1):
            connection.sendall(bytes(each))


@pytest.mark.parametrize(("stall_s", "each", "least_s"), [(1, 1, 0.9), (3, 1000, 3.9)], ids=["too slow", "too long"])
def test_one_that_never_ends_is_a_408_too(front_with: FrontWith, stall_s: int, each: int, least_s: float) -> None:
    is_over = threading.Event()
    with under_way(front_with(upload_stall_s=stall_s, upload_timeout_s=4), sized(1_000_000)) as (connection,):
        began = time.monotonic()
        dripping = threading.Thread(target=drip, args=(connection, each, is_over))
        dripping.start()
        response = answer_of(connection)
        took = time.monotonic() - began
        is_over.set()
        dripping.join()
    assert response.status == 408
    assert took >= least_s


def test_a_slow_upload_that_is_fast_enough_is_taken(front_with: FrontWith) -> None:
    with under_way(front_with(upload_stall_s=2), sized(30_000)) as (connection,):
        for _ in range(15):  # 3 s: more than a window
            connection.sendall(bytes(2000))
            time.sleep(0.2)
        assert json.loads(answer_of(connection).body)["size"] == 30_000


def test_a_client_that_never_reads_holds_no_lane(front: Front) -> None:
    """Its answer waits in nginx. Once a lane waited 60 s until it could write the rest."""
    front.lanes.answer_bytes = 6_000_000
    before = front.lanes.answered
    with under_way(front, sized(5) + b"video"):
        wait_until(lambda: front.lanes.answered == before + 1, what="the lane's last byte")


def test_of_results_that_are_not_read_one_client_has_a_few_in_memory(front_with: FrontWith) -> None:
    """nginx keeps what it has of them in /tmp: some thousand connections to one large result filled the container."""
    front = front_with()
    front.control.answer_bytes = 6_000_000
    ask = b"GET /v1/jobs/%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % (b"0" * 32)
    with under_way(front, *[ask] * 40) as connections:
        statuses = [connection.recv(12) for connection in connections]
        assert statuses.count(b"HTTP/1.1 200") == 32
        assert statuses.count(b"HTTP/1.1 429") == 8
        assert httpx.get(f"{front.base}/livez").status_code == 200
    wait_until(lambda: front.raw(ask).status == 200, what="an answer again")


def test_one_client_s_questions_leave_connections_to_others(front_with: FrontWith) -> None:
    front = front_with()
    front.control.may_answer.clear()
    ask = b"GET /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with under_way(front, *[ask] * 520) as connections:
        wait_until(lambda: len(front.control.seen) >= 512, what="those that are let in")
        assert front.raw(ask).problem() == "too-many-requests"
        assert front.post().status_code == 200
        front.control.may_answer.set()
        statuses = [connection.recv(12) for connection in connections]
        assert statuses.count(b"HTTP/1.1 200") == 512
        assert statuses.count(b"HTTP/1.1 429") == 8
    wait_until(lambda: front.raw(ask).status == 200, what="an answer again")


def test_one_client_cannot_take_every_connection(front_with: FrontWith) -> None:
    front = front_with(client_uploads=4)
    front.forget_refusals()
    with under_way(front, *[sized(100)] * 4):
        wait_until(lambda: promised_bytes(front) == 400, what="the uploads")
        response = front.post()
        assert response.status_code == 429
        assert response.json()["type"] == "urn:cliplane:problem:too-many-requests"
        assert front.next_refusal() == "too-many-requests"
        assert httpx.get(f"{front.base}/livez").status_code == 200
    wait_until(lambda: front.post().status_code == 200, what="an answer again")


def test_uploads_leave_connections_for_health(front_with: FrontWith) -> None:
    front = front_with(uploads=8)
    with under_way(front, *[sized(100)] * 8):
        wait_until(lambda: promised_bytes(front) == 800, what="the uploads")
        assert front.post().json()["type"] == "urn:cliplane:problem:busy"
        assert httpx.get(f"{front.base}/livez").status_code == 200
    wait_until(lambda: front.post().status_code == 200, what="an answer again")


def test_lanes_that_are_not_there_are_starting_and_not_busy(front_with: FrontWith) -> None:
    front = front_with()
    (front.folder / "lanes.sock").rename(front.folder / "elsewhere")
    assert front.post().json()["type"] == "urn:cliplane:problem:starting"
    (front.folder / "elsewhere").rename(front.folder / "lanes.sock")
    assert front.post().status_code == 200
    front.lanes.shutdown()
    front.lanes.server_close()  # as where the arbiter was killed: the file of its socket is there, and nobody behind it
    assert front.post().json()["type"] == "urn:cliplane:problem:starting"


def test_a_rate_can_be_set(front_with: FrontWith) -> None:
    front = front_with(client_rate=1)
    with httpx.Client() as client:
        statuses = [client.post(f"{front.base}/v1/classify", content=b"v").status_code for _ in range(60)]
    assert statuses[:50] == [200] * 50
    assert 429 in statuses


@pytest.fixture
def queue_of_two(front_with: FrontWith) -> Front:
    """One lane, which does not answer yet."""
    front = front_with(lanes=1, queue=2)
    front.lanes.may_answer.clear()
    return front


WHOLE = sized(5) + b"video"


def test_who_has_left_takes_no_place_in_the_queue(queue_of_two: Front) -> None:
    front = queue_of_two
    with under_way(front, WHOLE, WHOLE, WHOLE) as (*_, last):
        wait_until(lambda: len(front.lanes.seen) == 3, what="one in the lane, two that wait")
        assert front.post().json()["type"] == "urn:cliplane:problem:busy"
        last.close()
        wait_until(lambda: promised_bytes(front) < 3 * len(b"video"), what="nginx to notice")
        with under_way(front, WHOLE):
            wait_until(lambda: len(front.lanes.seen) == 4, what="a place in the queue")
            assert front.post().json()["type"] == "urn:cliplane:problem:busy"
        front.lanes.may_answer.set()
    wait_until(lambda: front.post().status_code == 200, what="a free lane")


def test_who_has_left_is_still_counted_as_a_client_for_a_moment(front_with: FrontWith) -> None:
    """Else one client could fill the kernel's queue with requests that it leaves at once."""
    front = front_with(lanes=1, queue=9, client_uploads=2)
    front.lanes.may_answer.clear()
    with under_way(front, WHOLE, WHOLE):
        wait_until(lambda: len(front.lanes.seen) == 2, what="two requests")
    wait_until(lambda: promised_bytes(front) == 0, what="nginx to notice")
    left = time.monotonic()
    front.lanes.may_answer.set()
    status = front.post().status_code
    assert status == 429 or time.monotonic() - left > 0.9  # a busy machine may come too late to see it
    wait_until(lambda: front.post().status_code == 200, what="an answer again")


def test_who_has_its_answer_and_does_not_read_it_takes_no_place_in_the_queue(queue_of_two: Front) -> None:
    front = queue_of_two
    front.lanes.answer_bytes = 6_000_000
    front.lanes.may_answer.set()
    with under_way(front, *[WHOLE] * 3):
        wait_until(lambda: front.lanes.answered == 3, what="the lane's last byte")
        wait_until(lambda: front.post().status_code == 200, what="a place in the queue")


def test_an_event_stream_keeps_its_lane_to_its_end(queue_of_two: Front) -> None:
    front = queue_of_two
    front.lanes.first_event = b"event: video\ndata: {}\n\n"
    with under_way(front, *[WHOLE] * 3) as connections:
        for connection in connections:
            assert connection.recv(5) == b"HTTP/"
        assert front.post().json()["type"] == "urn:cliplane:problem:busy"
        front.lanes.may_answer.set()
    wait_until(lambda: front.post().status_code == 200, what="a free lane")


TINY = Path("/run/triton")
"""A file system of 64 KiB: the folder of Triton's socket."""


def test_a_spool_without_space_is_a_507(front_with: FrontWith) -> None:
    front = front_with()
    front.spool.rmdir()
    with tempfile.TemporaryDirectory(dir=TINY) as folder:
        front.spool.symlink_to(folder)
        front.forget_refusals()
        response = front.post(bytes(2_000_000))
        assert response.status_code == 507
        assert response.json()["type"] == "urn:cliplane:problem:spool-full"
        assert front.next_refusal() == "spool-full"
        assert httpx.get(f"{front.base}/livez").status_code == 200
        wait_until(lambda: not list(Path(folder).iterdir()), what="an empty spool")


def test_a_spool_that_cannot_be_written_for_another_reason_is_not_called_full(front_with: FrontWith) -> None:
    front = front_with()
    front.spool.rmdir()
    front.forget_refusals()
    response = front.post(bytes(2_000_000))
    assert response.status_code == 500
    assert response.json()["type"] == "urn:cliplane:problem:internal-error"
    assert front.next_refusal() == "internal-error"
    assert httpx.get(f"{front.base}/livez").status_code == 200
    front.spool.mkdir()
    front.spool.chmod(0o777)
    assert front.post(bytes(2_000_000)).status_code == 200
