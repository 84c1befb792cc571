"""What nginx's configuration takes from the settings; `boot.py` writes it where nginx.conf includes it. Pure."""

from __future__ import annotations

import re

from cliplane.ops.tls import Pair
from cliplane.settings import GRACEFUL_MARGIN_S, Settings

MIN_BYTES_PER_S = 1024

PORT = 8080
"""Of every web container, in its own network; the published port is `listener.py`'s."""

HSTS_S = 365 * 24 * 3600

KEYS = "/keys/keys"
"""The file of API keys, by `make key`."""

# A name that an attacker may let resolve to this host has a dot and is no address (DNS rebinding).
_NEVER_REBOUND = (r'""', r'"~^[0-9.]+$"', r'"~^\["', r'"~^[^.]+$"', r'"~\.localhost$"')


def nginx_settings(settings: Settings) -> str:
    """Directives for nginx's `http` block."""
    return "\n".join(
        [
            f"client_max_body_size {settings.max_upload_bytes};",
            f"proxy_read_timeout {settings.request_timeout_s + GRACEFUL_MARGIN_S:.0f}s;",
            # Idle uploads are ended, and answered, by uploads.lua; nginx itself would only close the connection.
            f"client_body_timeout {2 * settings.upload_stall_s:.0f}s;",
            *_uploads(settings),
            # The address of a client is what its last proxy of these says; another's word for it counts nothing.
            *(f"set_real_ip_from {network};" for network in _listed(settings.trusted_proxies)),
            "real_ip_header X-Forwarded-For;",
            "real_ip_recursive on;",
            *_map("1", "$cliplane_max_upload", {}, str(settings.max_upload_bytes)),
            *_hosts(_listed(settings.allowed_hosts)),
            *_origins(_listed(settings.cors_origins)),
            "",
        ]
    )


def nginx_server(pair: Pair | None, path_prefix: str = "") -> str:
    """Directives for nginx's one `server` block: where it listens, the certificate that it shows, its path's prefix."""
    return "\n".join([*_listening(pair), *_without(path_prefix), ""])


def listen(port: int, pair: Pair | None) -> str:
    """nginx's directive."""
    return f"listen {port} {'ssl ' if pair else ''}default_server;"


def _listening(pair: Pair | None) -> list[str]:
    if not pair:
        return [listen(PORT, pair), 'set $cliplane_hsts "";']
    # A browser that was told so for a certificate it does not trust would not let its user go on (RFC 6797, 12.1).
    hsts = f"max-age={HSTS_S}" if pair.is_given else ""
    return [
        listen(PORT, pair),
        f"ssl_certificate {pair.certificate};",
        f"ssl_certificate_key {pair.key};",
        "ssl_protocols TLSv1.2 TLSv1.3;",
        "ssl_ciphers ECDHE+AESGCM:ECDHE+CHACHA20;",  # of TLS 1.2; 1.3 has none to leave out
        "ssl_session_cache shared:tls:1m;",
        "ssl_session_tickets off;",
        f'set $cliplane_hsts "{hsts}";',
    ]


def _without(prefix: str) -> list[str]:
    """Takes the prefix away before anything looks at the path; what comes without it is answered as well."""
    if not prefix:
        return []
    path = re.escape(prefix)
    # To nginx a rewritten path is an internal one, for which the errors' own addresses are open.
    return [f'rewrite "^{path}$" {prefix}/ permanent;', rf'rewrite "^{path}(/(?!\.problem/).*)$" $1;']


def _uploads(settings: Settings) -> list[str]:
    """What uploads.lua holds uploads to, and `limit_req`'s zone: an empty key is not limited."""
    limits = {
        "of_client": settings.client_uploads,
        "under_way": settings.uploads,
        "spool_bytes": settings.spool_bytes,
        "upload_bytes": settings.max_upload_bytes,
        "lanes": max(settings.lanes, 1),
        "queue": settings.queue,
        "seconds": settings.upload_timeout_s,
        "stall_s": settings.upload_stall_s,
        "bytes_per_s": MIN_BYTES_PER_S,
    }
    table = ", ".join(f"{name} = {value}" for name, value in limits.items())
    keys = f' require("keys").file = "{KEYS}"' if settings.require_key else ""
    return [
        f'init_by_lua_block {{ require("uploads").limits = {{{table}}}{keys} }}',
        *_map("1", "$cliplane_limited", {}, "$binary_remote_addr" if settings.client_rate else '""'),
        f"limit_req_zone $cliplane_limited zone=client:4m rate={settings.client_rate or 1}r/s;",
    ]


def _hosts(names: list[str]) -> list[str]:
    """`$cliplane_is_misdirected`: whether a request is for another host than this. An error's own address has none."""
    known = dict.fromkeys((*_NEVER_REBOUND, *names), "0")
    return [
        *_map("$host", "$cliplane_is_unknown_host", known, "0" if "*" in names else "1", "hostnames;"),
        *_map("$uri", "$cliplane_is_misdirected", {r'"~^/\.problem/"': "0"}, "$cliplane_is_unknown_host"),
    ]


def _origins(origins: list[str]) -> list[str]:
    """`$cliplane_cors_origin`: the request's origin if its pages may read the answers, else nothing."""
    any_origin = {'"~."': "$http_origin"} if "*" in origins else {}
    known = {f'"~^{re.escape(origin)}$"': "$http_origin" for origin in origins if origin != "*"}
    return [
        *_map("$http_origin", "$cliplane_cors_origin", any_origin | known, '""'),
        *_map("1", "$cliplane_cors_vary", {}, "Origin" if origins else '""'),
    ]


def _map(source: str, target: str, table: dict[str, str], default: str, *options: str) -> list[str]:
    rows = [f"  {key} {value};" for key, value in table.items() if key != "*"]
    return [f"map {source} {target} {{", *(f"  {option}" for option in options), *rows, f"  default {default};", "}"]


def _listed(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
