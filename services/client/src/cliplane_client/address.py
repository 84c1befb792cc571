"""Where the server is. The address may hold a password (`https://user:password@host`): it is used, and never shown."""

from __future__ import annotations

import os
from collections.abc import Mapping

import httpx

from cliplane_client.errors import InvalidAddress

DEFAULT_BASE = "http://127.0.0.1:8080"
BASE_VARIABLE = "CLIPLANE_BASE"


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
