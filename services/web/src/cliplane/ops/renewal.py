"""A renewed certificate is shown without a restart: `make certificate` hands it in, PEM on standard input.

The files that are mounted at /tls stay those of the container's start, whatever their paths lead to now.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import re
import signal
import socket
import ssl
import sys

from cliplane.ops import front, takeover, tls
from cliplane.paths import LEAVING, RUN
from cliplane.settings import SettingsError, read_settings

BLOCK = re.compile(r"-----BEGIN ([A-Z ]+)-----\n.*?-----END \1-----\n?", re.DOTALL)


def take_in(text: str, pair: tls.Pair) -> tls.Pair:
    """The pair that is in `text`, in place of the one that was renewed before.

    Raises:
        SettingsError: it is none that nginx could show today.
    """
    tls.RENEWED.mkdir(mode=0o700, exist_ok=True)
    blocks = [(match[1], match[0]) for match in BLOCK.finditer(text)]
    new = dataclasses.replace(pair, certificate=tls.RENEWED / "new.cert", key=tls.RENEWED / "new.key")
    new.certificate.write_text("".join(block for kind, block in blocks if kind == "CERTIFICATE"))
    new.key.touch(mode=0o600)
    new.key.write_text("".join(block for kind, block in blocks if kind.endswith("PRIVATE KEY")))
    tls.check(new)
    kept = dataclasses.replace(pair, certificate=tls.RENEWED / "cert.pem", key=tls.RENEWED / "key.pem")
    new.key.replace(kept.key)
    new.certificate.replace(kept.certificate)
    return kept


def reload_nginx() -> None:
    """Its old worker ends with the requests that it has; clients leave it as they leave an old release."""
    LEAVING.touch()
    try:
        with contextlib.suppress(OSError):
            takeover.wait(lambda: takeover.idle_connections() == 0, takeover.MAX_IDLE_S)
        os.kill(int((RUN / "nginx.pid").read_text()), signal.SIGHUP)
    finally:
        LEAVING.unlink()


def shown() -> str:
    """SHA-256 of the certificate that nginx shows now."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", front.PORT), timeout=5) as plain, context.wrap_socket(plain) as server:
        return tls.colons(hashlib.sha256(server.getpeercert(binary_form=True) or b"").hexdigest())


def main() -> None:
    try:
        pair = tls.pair()
        if not pair or not pair.is_given:
            raise SettingsError("no certificate was given: TLS_CERT and TLS_KEY")
        renewed = take_in(sys.stdin.read(), pair)
    except SettingsError as exc:
        sys.exit(f"{exc}; the one before is shown on")
    (RUN / "nginx-server.conf").write_text(front.nginx_server(renewed, read_settings().path_prefix))
    reload_nginx()
    if not takeover.wait(lambda: shown() == renewed.fingerprint(), takeover.PATIENCE_S):
        sys.exit("nginx does not show the renewed certificate: make logs")
    print(f"shown from now on: SHA-256 {renewed.fingerprint()}")


if __name__ == "__main__":
    main()
