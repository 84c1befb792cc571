"""Where a webhook may go, and how it is signed. Pure.

CLIPLANE_WEBHOOK_HOSTS lists hosts, with a port where it is not that of the scheme: `hooks.example.com`,
`hooks.example.com:8443`. A host is reached by https, at an address of the public internet. One with `/private` behind
it, `hooks.lan:8000/private`, may be at any address and be reached by http.

The signature is that of Standard Webhooks (https://www.standardwebhooks.com/): HMAC-SHA256 of id, time and body.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from cliplane.errors import WebhookForbidden
from cliplane.settings import WEBHOOK_HOST

MAX_URL_BYTES = 2048
PORTS = {"https": 443, "http": 80}
_DNS_PORT = 53
_SECRET_PREFIX = "whsec_"


@dataclass(frozen=True, slots=True)
class Target:
    """Where to connect to; `path` with its query."""

    scheme: str
    host: str
    port: int
    path: str
    may_be_private: bool


def target(url: str, allowed_hosts: str) -> Target:
    """Raises:
    WebhookForbidden: the address is none, or its host is not one of those allowed.
    """
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        raise WebhookForbidden("it is no address") from None
    if not url.isascii() or not url.isprintable() or " " in url or len(url) > MAX_URL_BYTES:
        raise WebhookForbidden(f"an address is at most {MAX_URL_BYTES} characters of ASCII")
    if parts.scheme not in PORTS or not host or "@" in parts.netloc or parts.fragment:
        raise WebhookForbidden("an address is https://HOST/PATH, without a user and a fragment")
    port = PORTS[parts.scheme] if port is None else port
    for match in _entries(allowed_hosts):
        is_private = bool(match["private"])
        wanted_port = int(match["port"]) if match["port"] else PORTS[parts.scheme]
        if match["host"].strip("[]").lower() != host or wanted_port != port:
            continue
        if parts.scheme == "http" and not is_private:
            continue
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return Target(parts.scheme, host, port, path, is_private)
    raise WebhookForbidden("the host is not one of CLIPLANE_WEBHOOK_HOSTS, or not by this scheme and port")


def ports(allowed_hosts: str) -> set[int]:
    """Those that a webhook, or the look-up of its host's name, may connect to by TCP."""
    found: set[int] = set()
    for match in _entries(allowed_hosts):
        by_scheme = {*PORTS.values()} if match["private"] else {PORTS["https"]}
        found |= {int(match["port"])} if match["port"] else by_scheme
    found = {port for port in found if port < 2**16}  # to another no webhook can go: urlsplit does not take it
    return found | {_DNS_PORT} if found else found


def _entries(allowed_hosts: str) -> Iterator[re.Match[str]]:
    for entry in filter(None, map(str.strip, allowed_hosts.split(","))):
        match = WEBHOOK_HOST.fullmatch(entry)
        assert match is not None  # settings.py has seen to it
        yield match


def check_address(address: str, to: Target) -> None:
    """Whether the address that a host's name was resolved to may be connected to.

    Raises:
        WebhookForbidden: it is of this machine, its network, or nobody's.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        # An IPv4 address in another's clothes is judged as what it is.
        ip = ip.ipv4_mapped or ip.sixtofour or (ip.teredo or (None, None))[1] or _nat64(ip) or ip
    is_private = not ip.is_global or (isinstance(ip, ipaddress.IPv6Address) and ip.is_site_local)
    # Nobody's, of no host that is one's own either: 169.254.169.254 gives a cloud's machines their credentials.
    is_nobodys = ip.is_multicast or ip.is_unspecified or ip.is_link_local or ip.is_reserved
    if is_nobodys or (is_private and not to.may_be_private):
        raise WebhookForbidden("the host's address is not of the public internet")


def _nat64(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    is_mapped = ip in ipaddress.IPv6Network("64:ff9b::/96")
    return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if is_mapped else None


def secret(text: str) -> bytes:
    """The key of a `whsec_…` line.

    Raises:
        ValueError: it is none.
    """
    text = text.strip()
    try:
        key = base64.b64decode(text.removeprefix(_SECRET_PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not text.startswith(_SECRET_PREFIX) or len(key) < 24:
        raise ValueError("a webhook's secret is whsec_ and at least 24 bytes in base64")
    return key


def headers(key: bytes, id_: str, at: int, body: bytes) -> dict[str, str]:
    """The three headers of a delivery; `at` in seconds since the epoch."""
    signature = hmac.digest(key, f"{id_}.{at}.".encode() + body, hashlib.sha256)
    return {
        "webhook-id": id_,
        "webhook-timestamp": str(at),
        "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
    }
