"""Sends a webhook: one POST to an address that was resolved once and checked. No redirect is followed, no body read."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import ssl
import threading
import time
from pathlib import Path

import msgspec
import structlog

from cliplane import metrics
from cliplane.errors import JobsFull, JobsUnavailable, WebhookForbidden
from cliplane.jobs import webhook_rules
from cliplane.jobs.asked import Row, document
from cliplane.jobs.policy import webhook_pause_s
from cliplane.jobs.store import Store
from cliplane.jobs.webhook_rules import PORTS, Target

log = structlog.get_logger()

SECRET = Path("/keys/webhook")
"""The secret that webhooks are signed with, by `make webhook-secret`."""

CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"

TIMEOUT_S, MAX_S = 10.0, 30.0
"""Of each step, and of a whole attempt."""


def read_secret(file: Path = SECRET) -> bytes:
    """Raises:
    WebhookForbidden: there is none.
    """
    try:
        return webhook_rules.secret(file.read_text())
    except (OSError, ValueError) as exc:
        raise WebhookForbidden("there is no secret to sign with: make webhook-secret") from exc


def deliver_due(store: Store, allowed_hosts: str, secret: Path = SECRET) -> bool:
    """Send the webhook that is due, if any, and write down how that went; True: there was one."""
    row = store.due_webhook()
    if row is None:
        return False
    try:
        status = send(row, allowed_hosts, secret)
        is_delivered, reason = 200 <= status < 300, f"status {status}"
    except WebhookForbidden as error:
        is_delivered, status, reason = False, 410, error.detail
    except (OSError, http.client.HTTPException) as exc:
        is_delivered, status, reason = False, 0, type(exc).__name__
    # Gone (410) is the receiver's word that it wants no more of them; what is forbidden now stays so.
    pause_s = None if is_delivered or status == 410 else webhook_pause_s(row.webhook_attempts + 1)
    try:
        store.webhook_sent(row.id, is_delivered=is_delivered, pause_s=pause_s)
    except (JobsFull, JobsUnavailable):
        time.sleep(TIMEOUT_S)  # else it would be sent again at once, again and again
        raise
    outcome: metrics.WebhookOutcome = "delivered" if is_delivered else "retried" if pause_s is not None else "given-up"
    metrics.WEBHOOKS.labels(outcome).inc()
    say = log.info if is_delivered else log.warning
    say("webhook", job=row.id, outcome=outcome, reason=reason, attempt=row.webhook_attempts + 1)
    return True


def send(row: Row, allowed_hosts: str, secret: Path = SECRET) -> int:
    """One attempt; returns the status of the answer.

    Raises:
        WebhookForbidden: the address is not allowed, or not any more.
        OSError, HTTPException: there is no answer.
    """
    to = webhook_rules.target(row.asked.webhook, allowed_hosts)
    told = document(row)
    body = msgspec.json.encode({"type": f"job.{row.state}", "timestamp": told["ended_at"], "data": told})
    signed = webhook_rules.headers(read_secret(secret), f"msg_{row.id}", int(time.time()), body)
    connection = _Pinned(to, resolve(to))
    # A byte now and then would keep each read within its own time.
    end = threading.Timer(MAX_S, connection.hang_up)
    end.daemon = True
    end.start()
    try:
        sent = {"Content-Type": "application/json", "User-Agent": "cliplane", **signed}
        connection.request("POST", to.path, body, sent)
        return connection.getresponse().status
    finally:
        end.cancel()
        connection.close()


def resolve(to: Target) -> str:
    """The one address that is connected to: no second look-up can give another.

    Raises:
        WebhookForbidden: any of the host's addresses is not allowed.
        OSError: the name has none.
    """
    addresses = [str(info[4][0]) for info in socket.getaddrinfo(to.host, to.port, type=socket.SOCK_STREAM)]
    for address in addresses:
        webhook_rules.check_address(address, to)
    return addresses[0]


class _Pinned(http.client.HTTPConnection):
    """HTTP to a fixed address, with TLS for the host's name where it is https."""

    def __init__(self, to: Target, address: str) -> None:
        super().__init__(to.host, to.port, timeout=TIMEOUT_S)
        self.default_port = PORTS[to.scheme]
        self._to, self._address = to, address

    def hang_up(self) -> None:
        with contextlib.suppress(OSError, AttributeError):  # not connected yet, or closed already
            self.sock.shutdown(socket.SHUT_RDWR)

    def connect(self) -> None:
        self.sock = socket.create_connection((self._address, self._to.port), TIMEOUT_S)
        if self._to.scheme == "https":
            trusted = os.environ.get("SSL_CERT_FILE") or CERTIFICATES
            context = ssl.create_default_context(cafile=trusted)
            self.sock = context.wrap_socket(self.sock, server_hostname=self._to.host)
