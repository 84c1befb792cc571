"""The certificate that nginx shows, where it speaks TLS: one that is given, or a self-signed pair.

`python -m cliplane.ops.tls NAME…` makes the self-signed pair, for these host names and addresses (`host/up`, once).
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cliplane.paths import RUN
from cliplane.settings import SettingsError

WEB_UID, GROUP = 10002, 10000
DAYS = 3650

RENEWED = RUN / "tls"
"""What `make certificate` has brought since the container's start."""


@dataclass(frozen=True, slots=True)
class Pair:
    """PEM files in the container, and what the operator calls them."""

    certificate: Path
    key: Path
    names: tuple[str, str]
    is_given: bool

    def fingerprint(self) -> str:
        """SHA-256 of the first certificate, as browsers and openssl show it."""
        pem = self.certificate.read_text()
        end = "-----END CERTIFICATE-----"
        digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem[: pem.index(end)] + end)).hexdigest()
        return colons(digest)

    def ends_at(self) -> float:
        """Seconds since the epoch.

        Raises:
            ValueError: the file has no certificate.
        """
        command = ["openssl", "x509", "-noout", "-enddate", "-in", str(self.certificate)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ValueError(f"no certificate: {self.certificate}")
        return ssl.cert_time_to_seconds(done.stdout.strip().removeprefix("notAfter="))


def colons(digest: str) -> str:
    """As browsers and openssl write one."""
    return ":".join(digest[at : at + 2] for at in range(0, len(digest), 2)).upper()


def pair(
    environ: Mapping[str, str] = os.environ, given: Path = Path("/tls"), kept: Path = Path("/keys")
) -> Pair | None:
    """The pair that the settings choose; None: no TLS.

    Raises:
        SettingsError: they choose none that can be.
    """
    tls, certificate, key = (environ.get(name, "").strip() for name in ("TLS", "TLS_CERT", "TLS_KEY"))
    if bool(certificate) != bool(key):
        raise SettingsError("TLS_CERT and TLS_KEY: both or neither")
    if tls not in ("", "self-signed") or (tls and certificate):
        raise SettingsError(f"TLS={tls!r}: self-signed, or not set where TLS_CERT and TLS_KEY are")
    if certificate:
        names = (f"TLS_CERT={certificate!r}", f"TLS_KEY={key!r}")
        folder = RENEWED if (RENEWED / "cert.pem").exists() else given
        return Pair(folder / "cert.pem", folder / "key.pem", names, is_given=True)
    if tls:
        names = ("keys/self-signed.crt", "keys/self-signed.key")
        return Pair(kept / "self-signed.crt", kept / "self-signed.key", names, is_given=False)
    return None


def check(pair: Pair) -> None:
    """Can nginx, as this user, show it today?

    Raises:
        SettingsError: naming the file and what is wrong with it.
    """
    certificate, key = pair.names
    for name, path in ((certificate, pair.certificate), (key, pair.key)):
        try:
            path.read_bytes()
        except OSError as exc:
            who = f"uid {os.getuid()}, gid {os.getgid()} of the web container cannot read it"
            raise SettingsError(f"{name}: {who} ({exc.strerror}): chgrp {GROUP} and chmod 640") from exc
    try:
        ends_at = pair.ends_at()
    except ValueError:
        raise SettingsError(f"{certificate}: not a certificate in PEM") from None
    if ends_at < time.time():
        raise SettingsError(f"{certificate}: expired on {time.strftime('%Y-%m-%d', time.gmtime(ends_at))}")
    try:
        # A passphrase that is empty: nobody is there to be asked for it.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(pair.certificate, pair.key, password="")
    except ssl.SSLError as exc:
        if exc.reason == "KEY_VALUES_MISMATCH":
            raise SettingsError(f"{key}: not the key of {certificate}") from exc
        raise SettingsError(f"{key}: not a private key in PEM without a passphrase") from exc


def make(folder: Path, names: list[str]) -> None:
    """A self-signed pair in `folder`. Only the web container's user can read the key.

    The certificate is no authority's: who trusts it trusts nothing else that this key may sign.
    """
    places = ",".join(dict.fromkeys(f"{'IP' if _is_address(name) else 'DNS'}:{name}" for name in names))
    extensions = (
        "basicConstraints=critical,CA:FALSE",
        "keyUsage=critical,digitalSignature",
        f"subjectAltName={places}",
    )
    with tempfile.TemporaryDirectory(dir=folder) as new:
        key, certificate = Path(new, "key"), Path(new, "crt")
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"),
                *("-days", str(DAYS), "-subj", "/CN=cliplane", "-keyout", key, "-out", certificate),
                *(word for extension in extensions for word in ("-addext", extension)),
            ],
            check=True,
            capture_output=True,
        )
        certificate.chmod(0o644)
        key.chmod(0o400)
        if os.getuid() == 0:
            os.chown(key, WEB_UID, GROUP)
        key.replace(folder / "self-signed.key")
        certificate.replace(folder / "self-signed.crt")  # last: it says that both are there


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


if __name__ == "__main__":
    make(Path("/keys"), sys.argv[1:])
