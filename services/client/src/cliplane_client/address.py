"""Where the server is, and who asks. An address may hold a password (`https://user:password@host`), and there may be a
key: both are sent to that server, and never shown."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Mapping
from pathlib import Path

import httpx

from cliplane_client.errors import InvalidAddress, InvalidCertificates, InvalidHeader

DEFAULT_BASE = "http://127.0.0.1:8080"
BASE_VARIABLE = "CLIPLANE_BASE"
KEY_VARIABLE = "CLIPLANE_KEY"

# RFC 9110, 5.1 and 5.5: a field's name is a token, its value has no control characters.
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")


def base_url(base: str | None, environ: Mapping[str, str] = os.environ) -> httpx.URL:
    """The server: as given, or of the environment, or this machine's.

    Raises:
        InvalidAddress: that is no address of a web server.
    """
    text = base or environ.get(BASE_VARIABLE) or DEFAULT_BASE
    try:
        url = httpx.URL(text.rstrip("/"))
    except (httpx.InvalidURL, ValueError):
        raise InvalidAddress("the server's address is no URL") from None  # the cause would quote it
    if url.scheme not in ("http", "https") or not url.host:
        raise InvalidAddress("the server's address must be http://HOST or https://HOST")
    return url.copy_with(query=None, fragment=None)


def shown(url: httpx.URL) -> str:
    """The address without user and password."""
    return str(url.copy_with(username="", password="")).rstrip("/")


def request_headers(
    key: str | None, headers: Mapping[str, str] | None = None, environ: Mapping[str, str] = os.environ
) -> httpx.Headers:
    """`headers` and the key, as given or of the environment, as a bearer token (RFC 6750).

    Raises:
        InvalidHeader: one cannot be sent; its value is not quoted.
    """
    for name, value in (headers or {}).items():
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise InvalidHeader(f"the header {name!r} has characters that no header may have")
    sent = httpx.Headers({**(headers or {})})
    if token := (key or environ.get(KEY_VARIABLE, "")).strip():
        if " " in token or not _VALUE.fullmatch(token):
            raise InvalidHeader("the key has characters that no header may have")
        sent["Authorization"] = f"Bearer {token}"
    return sent


def trust(ca: Path | str | None) -> ssl.SSLContext | bool:
    """Whom to believe that they are the server: the certificates in this file; None: as httpx does.

    Raises:
        InvalidCertificates: the file cannot be read, or has none.
    """
    if ca is None:
        return True
    try:
        return ssl.create_default_context(cafile=ca)
    except OSError as exc:  # an SSLError is one
        raise InvalidCertificates(f"{ca}: no certificates in PEM can be read from it") from exc
