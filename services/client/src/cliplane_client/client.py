"""`Client` and `AsyncClient`: the server's HTTP contract as methods. What both have in common is in functions."""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, TypedDict, Unpack

import httpx

from cliplane_client import results
from cliplane_client.address import base_url, request_headers, shown, trust
from cliplane_client.asked import Asked, query_of
from cliplane_client.bodies import Source, async_opened, chunks, opened
from cliplane_client.bodies import headers as body_headers
from cliplane_client.errors import CannotConnect, NoAnswer, NotReady
from cliplane_client.jobs import Jobs
from cliplane_client.responses import (
    CLASSIFY,
    COMPARE,
    MAX_RESPONSE_BYTES,
    MAX_SEGMENTS_BYTES,
    SEGMENTS,
    Bounds,
    Event,
    EventReader,
    Kind,
    body_of,
    problem_of,
    translated,
)
from cliplane_client.segments import Segments, Windows, segments_of
from cliplane_client.segments import query_of as windows_query
from cliplane_client.uploads import RESUMABLE_BYTES, Upload

PROBE_BYTES = 512 * 1024
PROBES = 3
LONG_PROBE_S = 0.2

MAX_PAUSE_S = 60.0
"""Longest wait for a server that is busy. One that wishes more is not waited for: its error says how much."""

_STREAM = {"Accept": "text/event-stream"}


class Options(TypedDict, total=False):
    """How a server is asked."""

    key: str | None
    """Sent as a bearer token; of the environment where it is not given."""
    headers: Mapping[str, str] | None
    """Sent with each request."""
    ca: Path | str | None
    """A file of certificates in PEM that are trusted, and no others; default: those of $SSL_CERT_FILE, or the usual."""
    timeout_s: float
    """For each read and write, and for all of an answer once it has begun; default 120."""
    retries: int
    """How often a request is repeated that was answered by 503 or met no server; default 5."""


class _Shared:
    def __init__(
        self,
        base: str | None = None,
        *,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        ca: Path | str | None = None,
        timeout_s: float = 120.0,
        retries: int = 5,
    ) -> None:
        """Raises:
        InvalidAddress: `base`; InvalidHeader: `key` or `headers`; InvalidCertificates: `ca`.
        """
        self._url = base_url(base)
        self.base = shown(self._url)
        self.retries = retries
        self._headers = request_headers(key, headers)
        self._headers["Accept-Encoding"] = "identity"
        if "Authorization" in self._headers:  # httpx would send the address's user instead
            self._url = self._url.copy_with(username="", password="")
        self._timeout_s = timeout_s
        timeout = httpx.Timeout(timeout_s, connect=5.0)
        self._options: Any = {"base_url": self._url, "headers": self._headers, "timeout": timeout, "verify": trust(ca)}

    def _pause_s(self, error: Exception, attempt: int) -> float:
        """How long to wait before the next attempt: as the server wishes, else longer each time.

        Raises:
            error: this was the last attempt, or another one is no use.
        """
        wished_s = error.retry_after_s if isinstance(error, NotReady) else 0.0
        if attempt == self.retries or isinstance(error, NoAnswer) or wished_s > MAX_PAUSE_S:
            raise error
        return wished_s or min(0.5 * 2**attempt, 8.0)


class Client(_Shared):
    """One server, one request at a time; safe to use from several threads."""

    def __init__(self, base: str | None = None, **options: Unpack[Options]) -> None:
        """`options`: see `Options`."""
        super().__init__(base, **options)
        self._http = httpx.Client(**self._options)
        self.jobs = Jobs(self)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def classify(self, source: Source, **asked: Unpack[Asked]) -> results.Result:
        """The labels of a video: a path, its bytes, or a path of the server's (`ServerPath`). `asked`: see `Asked`.

        Raises:
            Refused: this video or query; NotReady, Busy among them: still, after all retries; TimedOut; Failed;
                CannotConnect, after all retries too; NoAnswer; InvalidResponse: it is no Cliplane server.
        """
        *_, last = self.stream(source, **asked)
        return results.result(last.data)

    def stream(
        self, source: Source, *, sent: Callable[[int], None] = lambda _: None, **asked: Unpack[Asked]
    ) -> Iterator[Event]:
        """The same, step by step, while it happens. `sent` is told how many bytes are on their way so far."""
        return self._stream(_kind(asked), query_of(asked), source, sent)

    def compare(self, source: Source, **asked: Unpack[Asked]) -> results.Comparison:
        """Several models' labels of a video that is sent and decoded once. Raises as `classify`."""
        (last,) = deque(self._stream(COMPARE, query_of(asked), source, lambda _: None), maxlen=1)
        return results.comparison(last.data)

    def segments(self, source: Source, **windows: Unpack[Windows]) -> Segments:
        """From when to when labels hold in a video, however long: a path, or its bytes. Raises as `classify`.

        `timeout_s` is for each step: the whole may last as long as it goes on.
        """
        (last,) = deque(self.stream_segments(source, **windows), maxlen=1)
        return segments_of(last.data)

    def stream_segments(
        self, source: Source, sent: Callable[[int], None] = lambda _: None, **windows: Unpack[Windows]
    ) -> Iterator[Event]:
        """The same, step by step, while it happens: windows in the order of time, and segments as they close."""
        return self._stream(SEGMENTS, windows_query(windows), source, sent)

    def _stream(
        self, kind: Kind, query: dict[str, str], source: Source, sent: Callable[[int], None]
    ) -> Iterator[Event]:
        source = self._uploaded(source, sent)
        for attempt in range(self.retries + 1):
            try:
                with translated(), opened(source) as body:
                    request = self._http.build_request(
                        "POST", kind.path, params=query, content=chunks(body, sent), headers=_headers(source)
                    )
                    response = self._http.send(request, stream=True)
                    try:
                        if response.status_code != 200:
                            raise problem_of(response, self._read(response))
                        bounds = Bounds(response, self._timeout_s, kind.max_bytes)
                        reader = EventReader(response, kind.types)
                        for chunk in response.iter_raw():
                            for event in reader.feed(bounds.taken(chunk)):
                                yield event
                                if kind.is_long:
                                    bounds.goes_on()
                        reader.end()
                    finally:
                        response.close()
                    return
            except (NotReady, CannotConnect) as error:
                time.sleep(self._pause_s(error, attempt))

    def exchange(
        self,
        method: str,
        path: str,
        source: Source | None = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        sent: Callable[[int], None] = lambda _: None,
    ) -> dict[str, Any]:
        """A request whose answer is one JSON object, {} where it has no body; raises as `classify`."""
        source = None if source is None else self._uploaded(source, sent)
        attempt = 0
        while True:
            try:
                with translated(), nullcontext(None) if source is None else opened(source) as body:
                    response = self._http.stream(
                        method,
                        path,
                        params=query,
                        content=chunks(body, sent) if body else None,
                        headers={**(headers or {}), **(body_headers(source) if source is not None else {})},
                    )
                    with response as answer:
                        return body_of(answer, self._read(answer, MAX_SEGMENTS_BYTES))
            except (NotReady, CannotConnect) as error:
                time.sleep(self._pause_s(error, attempt))
                attempt += 1

    def models(self) -> list[results.Model]:
        """The models that are ready."""
        return results.models(self._get("/v1/models"))

    def health(self) -> results.Health:
        """What /readyz says.

        Raises:
            NotReady: the server runs and cannot answer, and why; CannotConnect: nobody is there.
        """
        return results.convert(self._get("/readyz"), results.Health)

    def _uploaded(self, source: Source, sent: Callable[[int], None]) -> Source:
        """A large file is uploaded first, so that a cut costs little, and then named; it stays for an hour or so."""
        if not isinstance(source, (Path, str)) or Path(source).stat().st_size < RESUMABLE_BYTES:
            return source
        return Upload(self._http, Path(source), self._pause_s).send(sent)

    def uplink(self) -> float:
        """Bytes a second towards the server, by sending it a little that is no video, which it refuses.

        What disturbs a measurement, a busy machine or a new connection's slow start, makes it longer and never shorter:
        the quickest counts. Where one takes long in any case, the disturbance is a small part of it.
        """
        quickest_s = math.inf
        for _ in range(PROBES):
            took_s = self._probe_s()
            quickest_s = min(quickest_s, took_s)
            if took_s > LONG_PROBE_S:
                break
        return PROBE_BYTES / quickest_s

    def _probe_s(self) -> float:
        """How long the server says a probe was on its way: its own clock knows nothing of what it did afterwards."""
        began = time.perf_counter()
        with translated(), self._http.stream("POST", "/v1/classify", content=bytes(PROBE_BYTES)) as response:
            self._read(response)
        took_s = time.perf_counter() - began
        told = re.search(r"\bspool;dur=([0-9]{1,9})", response.headers.get("Server-Timing", ""))
        # Busy lanes tell nothing: nginx answers for them, and at once. It counts whole milliseconds.
        return max(int(told[1]) / 1000 if told else took_s, 0.001)

    def _get(self, path: str) -> dict[str, Any]:
        with translated(), self._http.stream("GET", path) as response:
            return body_of(response, self._read(response))

    def _read(self, response: httpx.Response, max_bytes: int = MAX_RESPONSE_BYTES) -> bytes:
        bounds, body = Bounds(response, self._timeout_s, max_bytes), bytearray()
        for chunk in response.iter_raw():
            body += bounds.taken(chunk)
        return bytes(body)


class AsyncClient(_Shared):
    """One server; any number of requests at a time."""

    def __init__(self, base: str | None = None, **options: Unpack[Options]) -> None:
        """`options`: see `Options`."""
        super().__init__(base, **options)
        self._http = httpx.AsyncClient(**self._options)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    async def classify(self, source: Source, **asked: Unpack[Asked]) -> results.Result:
        """As `Client.classify`."""
        last: Event | None = None
        async for event in self.stream(source, **asked):
            last = event
        assert last is not None
        return results.result(last.data)

    async def stream(self, source: Source, **asked: Unpack[Asked]) -> AsyncIterator[Event]:
        """As `Client.stream`."""
        async for event in self._stream(_kind(asked), query_of(asked), source):
            yield event

    async def compare(self, source: Source, **asked: Unpack[Asked]) -> results.Comparison:
        """As `Client.compare`."""
        last: Event | None = None
        async for event in self._stream(COMPARE, query_of(asked), source):
            last = event
        assert last is not None
        return results.comparison(last.data)

    async def segments(self, source: Source, **windows: Unpack[Windows]) -> Segments:
        """As `Client.segments`."""
        last: Event | None = None
        async for event in self.stream_segments(source, **windows):
            last = event
        assert last is not None
        return segments_of(last.data)

    async def stream_segments(self, source: Source, **windows: Unpack[Windows]) -> AsyncIterator[Event]:
        """As `Client.stream_segments`."""
        async for event in self._stream(SEGMENTS, windows_query(windows), source):
            yield event

    async def _stream(self, kind: Kind, query: dict[str, str], source: Source) -> AsyncIterator[Event]:
        for attempt in range(self.retries + 1):
            try:
                with translated():
                    async with async_opened(source) as body:
                        request = self._http.build_request(
                            "POST", kind.path, params=query, content=body, headers=_headers(source)
                        )
                        response = await self._http.send(request, stream=True)
                        try:
                            if response.status_code != 200:
                                raise problem_of(response, await self._read(response))
                            bounds = Bounds(response, self._timeout_s, kind.max_bytes)
                            reader = EventReader(response, kind.types)
                            async for chunk in response.aiter_raw():
                                for event in reader.feed(bounds.taken(chunk)):
                                    yield event
                                    if kind.is_long:
                                        bounds.goes_on()
                            reader.end()
                        finally:
                            await response.aclose()
                        return
            except (NotReady, CannotConnect) as error:
                await asyncio.sleep(self._pause_s(error, attempt))

    async def models(self) -> list[results.Model]:
        """The models that are ready."""
        return results.models(await self._get("/v1/models"))

    async def health(self) -> results.Health:
        """As `Client.health`."""
        return results.convert(await self._get("/readyz"), results.Health)

    async def _get(self, path: str) -> dict[str, Any]:
        with translated():
            async with self._http.stream("GET", path) as response:
                return body_of(response, await self._read(response))

    async def _read(self, response: httpx.Response) -> bytes:
        bounds, body = Bounds(response, self._timeout_s), bytearray()
        async for chunk in response.aiter_raw():
            body += bounds.taken(chunk)
        return bytes(body)


def _kind(asked: Asked) -> Kind:
    return COMPARE if "," in (asked.get("model") or "") else CLASSIFY


def _headers(source: Source) -> dict[str, str]:
    return {**_STREAM, **body_headers(source)}
