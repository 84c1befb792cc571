"""What resumable uploads can take from the others, and from whom: space, number, time, another key's file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
from cliplane_client.uploads import Upload

from tests.cutter import Cutter
from tests.security.conftest import Front, wait_until
from tests.security.test_keys import front as front
from tests.security.test_keys import make_key as make_key
from tests.security.test_uploads import promised_bytes

FrontWith = Callable[..., Front]

TUS = {"Tus-Resumable": "1.0.0"}


def create(front: Front, length: int, **headers: str) -> httpx.Response:
    return httpx.post(f"{front.base}/v1/uploads", headers=TUS | {"Upload-Length": str(length)} | headers)


def address(front: Front, created: httpx.Response) -> str:
    assert created.status_code == 201, created.text
    return f"{front.base}/v1/{created.headers['Location']}"


def append(address: str, part: bytes, **headers: str) -> httpx.Response:
    sent = TUS | {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"} | headers
    return httpx.patch(address, content=part, headers=sent)


def kept(front: Front) -> list[str]:
    return [file.name for file in (front.spool / "kept").iterdir()]


def ask(front: Front, address: str, **headers: str) -> httpx.Response:
    named = {"upload": address.rpartition("/")[2]}
    return httpx.post(f"{front.base}/v1/classify", json=named, headers=headers)


def problem(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, str(answer.json()["type"]).removeprefix("urn:cliplane:problem:")


def test_a_lane_gets_a_whole_upload_as_a_file_of_its_own(front_with: FrontWith) -> None:
    front = front_with(lanes=1)
    upload = address(front, create(front, 1000))
    assert append(upload, bytes(1000)).status_code == 204
    told = ask(front, upload).json()
    assert told["size"] == 1000
    assert told["headers"]["content-type"] == "application/octet-stream"
    assert told["headers"]["x-spool-path"].startswith(f"{front.spool}/kept-")
    wait_until(lambda: [file.name for file in front.spool.iterdir()] == ["kept"], what="the end of the lane's file")
    assert len(kept(front)) == 1


def test_an_upload_holds_its_space_until_it_is_removed(front_with: FrontWith) -> None:
    front = front_with(lanes=1, max_upload_bytes=1_000_000, spool_bytes=2_000_000)
    uploads = [address(front, create(front, 900_000)) for _ in range(2)]
    assert promised_bytes(front) == 1_800_000
    assert problem(create(front, 300_000)) == (507, "spool-full")
    assert front.post(bytes(300_000)).status_code == 507
    assert httpx.delete(uploads[0], headers=TUS).status_code == 204
    assert front.post(bytes(300_000)).status_code == 200
    assert problem(create(front, 1_000_001)) == (413, "body-too-large")


def test_one_client_has_only_so_many(front_with: FrontWith) -> None:
    front = front_with(client_uploads=3)
    for _ in range(3):
        assert create(front, 10).status_code == 201
    assert problem(create(front, 10)) == (429, "too-many-requests")
    assert promised_bytes(front) == 30


def test_an_upload_that_is_not_gone_on_with_is_swept(front_with: FrontWith) -> None:
    front = front_with(upload_timeout_s=2)
    upload = address(front, create(front, 1000))
    assert len(kept(front)) == 1
    wait_until(lambda: kept(front) == [], what="its end")
    assert promised_bytes(front) == 0
    assert problem(append(upload, bytes(1000))) == (404, "unknown-upload")
    assert problem(ask(front, upload)) == (404, "unknown-upload")


def test_an_upload_that_stands_still_is_a_408_and_keeps_what_it_has(front_with: FrontWith) -> None:
    front = front_with(upload_stall_s=1)
    upload = address(front, create(front, 1000))
    path = upload.removeprefix(front.base)
    lines = [f"PATCH {path} HTTP/1.1", "Host: x", "Tus-Resumable: 1.0.0", "Content-Length: 1000", "Upload-Offset: 0"]
    lines += ["Content-Type: application/offset+octet-stream", "", ""]
    answer = front.raw("\r\n".join(lines).encode() + bytes(400))
    assert (answer.status, answer.problem()) == (408, "upload-too-slow")
    assert httpx.head(upload, headers=TUS).headers["Upload-Offset"] == "400"


def test_another_keys_upload_is_unknown(front: Front, make_key: Callable[..., str]) -> None:
    mine, others = ({"Authorization": f"Bearer {make_key(name)}"} for name in ("mine", "others"))
    assert create(front, 10).status_code == 401
    upload = address(front, create(front, 10, **mine))
    assert problem(append(upload, bytes(10), **others)) == (404, "unknown-upload")
    assert append(upload, bytes(10)).status_code == 401
    assert append(upload, bytes(10), **mine).status_code == 204
    assert problem(ask(front, upload, **others)) == (404, "unknown-upload")
    assert ask(front, upload, **mine).status_code == 200
    assert problem(httpx.request("DELETE", upload, headers=TUS | others)) == (404, "unknown-upload")
    assert len(kept(front)) == 1


def test_an_upload_that_is_cut_ten_times_sends_next_to_nothing_again(front_with: FrontWith, tmp_path: Path) -> None:
    front, size = front_with(), 60_000_000
    film = tmp_path / "film"
    film.write_bytes(bytes(range(250)) * (size // 250))
    line = Cutter(httpx.URL(front.base), 20e6, [size * n // 11 for n in range(1, 11)])
    try:
        with httpx.Client(base_url=line.base, timeout=60) as http:
            id_ = Upload(http, film, lambda _error, _attempt: 0.05).send(lambda _: None).id
    finally:
        line.close()
    assert (front.spool / "kept" / id_).read_bytes() == film.read_bytes()
    assert line.made == 10
    assert line.sent - size <= 0.02 * size
