"""Uploads that go on where their connection was cut: a client of tus 1.0.0.

https://tus.io/protocols/resumable-upload
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import httpx

from cliplane_client.bodies import CHUNK_BYTES, Uploaded
from cliplane_client.errors import (
    CannotConnect,
    InvalidResponse,
    NoAnswer,
    NotReady,
    UnknownUpload,
    UploadOffset,
    UploadTooSlow,
)
from cliplane_client.responses import problem_of, translated

RESUMABLE_BYTES = 16 * 1024 * 1024
"""A file so large is worth the two short requests more; a smaller one is sent again where it was cut."""

_TUS = {"Tus-Resumable": "1.0.0"}
_LOCATION = re.compile(r"/v1/uploads/([0-9a-f]{32})$")


class Upload:
    """One file on its way. `pause_s`: how long to wait after an error that has come so often without any progress in
    between; it raises the error where that is too often."""

    def __init__(self, http: httpx.Client, path: Path, pause_s: Callable[[Exception, int], float]) -> None:
        self._http, self._path, self._pause_s = http, path, pause_s
        self._size = path.stat().st_size
        self._id = ""
        self._offset = 0

    def send(self, sent: Callable[[int], None]) -> Uploaded:
        """All of it; `sent` is told how many bytes are on their way so far.

        Raises:
            Refused, NotReady, Failed: the server will not have it; CannotConnect: it is gone, after all retries.
        """
        attempt, most = 0, 0
        with self._path.open("rb") as file:
            while True:
                try:
                    if not self._id:
                        self._create()
                    elif attempt:
                        self._look()
                    if self._offset > most:
                        attempt, most = 0, self._offset
                    if self._offset < self._size:
                        self._append(file, sent)
                    return Uploaded(self._id)
                except UnknownUpload as error:  # the server has forgotten it: from the beginning
                    self._id, self._offset, most = "", 0, 0
                    pause_s = self._pause_s(CannotConnect(str(error)), attempt)
                except NoAnswer as error:  # the line stood still
                    pause_s = self._pause_s(CannotConnect(str(error)), attempt)
                except (NotReady, CannotConnect, UploadTooSlow, UploadOffset) as error:
                    pause_s = self._pause_s(error, attempt)
                attempt += 1
                time.sleep(pause_s)

    def _create(self) -> None:
        response = self._ask("POST", "/v1/uploads", {"Upload-Length": str(self._size)})
        location = httpx.URL(str(response.request.url)).join(response.headers.get("location", ""))
        match = _LOCATION.search(location.path)
        if response.status_code != 201 or match is None:
            raise InvalidResponse("what answers there takes no resumable uploads")
        self._id, self._offset = match[1], 0

    def _look(self) -> None:
        self._offset = self._told(self._ask("HEAD", self._address))

    def _append(self, file: BinaryIO, sent: Callable[[int], None]) -> None:
        file.seek(self._offset)

        def pieces() -> Iterator[bytes]:
            while piece := file.read(CHUNK_BYTES):
                yield piece
                sent(file.tell())

        headers = {
            "Content-Type": "application/offset+octet-stream",
            "Content-Length": str(self._size - self._offset),
            "Upload-Offset": str(self._offset),
        }
        self._offset = self._told(self._ask("PATCH", self._address, headers, pieces()))
        if self._offset != self._size:
            raise CannotConnect("the server has not taken all of it")

    @property
    def _address(self) -> str:
        return f"/v1/uploads/{self._id}"

    def _told(self, response: httpx.Response) -> int:
        text = response.headers.get("upload-offset", "")
        if not re.fullmatch("[0-9]{1,15}", text) or int(text) > self._size:
            raise InvalidResponse("the server does not say how much has arrived")
        return int(text)

    def _ask(
        self, method: str, path: str, headers: dict[str, str] | None = None, content: Iterator[bytes] | None = None
    ) -> httpx.Response:
        with translated():
            response = self._http.request(method, path, headers=_TUS | (headers or {}), content=content)
        if response.is_success:
            return response
        if response.status_code == 404 and method == "HEAD":  # which has no body that says what is unknown
            raise UnknownUpload(404, {"title": "There is no such upload"})
        raise problem_of(response, response.content)
