"""Where a webhook may go, how it is signed, and what becomes of one that is not taken."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.server
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cliplane.errors import WebhookForbidden
from cliplane.jobs import webhook, webhook_rules
from cliplane.jobs.asked import Asked
from cliplane.jobs.policy import WEBHOOK_PAUSES_S
from cliplane.jobs.store import Store
from cliplane.jobs.webhook_rules import Target, check_address, target
from cliplane.settings import SettingsError, read_settings

from tests.unit.conftest import Clock

ALLOWED = "hooks.example.com, hooks.example.com:8443, hooks.lan:8000/private, [fd00::7]/private"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://hooks.example.com", Target("https", "hooks.example.com", 443, "/", False)),
        ("https://HOOKS.example.com.:443/a?b=c", Target("https", "hooks.example.com", 443, "/a?b=c", False)),
        ("https://hooks.example.com:8443/", Target("https", "hooks.example.com", 8443, "/", False)),
        ("http://hooks.lan:8000/x", Target("http", "hooks.lan", 8000, "/x", True)),
        ("https://[fd00::7]/", Target("https", "fd00::7", 443, "/", True)),
    ],
)
def test_an_allowed_host_is_reached_as_it_is_listed(url: str, expected: Target) -> None:
    assert target(url, ALLOWED) == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.example.com",
        "http://hooks.example.com/",  # without TLS
        "https://hooks.example.com:22/",
        "https://hooks.example.com.evil.example/",
        "https://evil.example/hooks.example.com",
        "https://hooks.example.com@evil.example/",
        "https://evil.example@hooks.example.com/",
        "https://hooks.example.com#@evil.example/",
        "https://hooks.example.com\\@evil.example/",
        "https://sub.hooks.example.com/",
        "https://hooks.example.com/\r\nHost: evil.example",
        "https://hooks.example.com/ two",
        "https://höoks.example.com/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://[::1",
        "https://hooks.example.com:99999/",
        "ftp://hooks.example.com/",
        "file:///etc/passwd",
        "https://hooks.example.com/" + "x" * 3000,
    ],
)
def test_no_other_address_is_taken(url: str) -> None:
    with pytest.raises(WebhookForbidden):
        target(url, ALLOWED)
    with pytest.raises(WebhookForbidden):
        target("https://hooks.example.com/", "")


PUBLIC, PRIVATE = (target(url, ALLOWED) for url in ("https://hooks.example.com/", "http://hooks.lan:8000/"))


@pytest.mark.parametrize(
    "address",
    [
        *(
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
        ),
        *("::1", "::", "fe80::1%eth0", "fd00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1"),
        *("64:ff9b::7f00:1", "2002:7f00:1::", "255.255.255.255"),
        *("::7f00:1", "64:ff9b:1::7f00:1", "fec0::1", "198.18.0.1", "240.0.0.1", "2001:0:0:0:0:0:80ff:fffe"),
    ],
)
def test_a_public_name_that_leads_inside_is_not_connected_to(address: str) -> None:
    with pytest.raises(WebhookForbidden):
        check_address(address, PUBLIC)


def test_public_addresses_and_private_ones_of_private_hosts_are() -> None:
    for address in ("93.184.215.14", "2606:2800:21f::1"):
        check_address(address, PUBLIC)
    for address in ("127.0.0.1", "10.1.2.3", "fd00::1"):
        check_address(address, PRIVATE)
    for address in ("0.0.0.0", "224.0.0.1", "::", "169.254.169.254", "::ffff:169.254.169.254", "fe80::1"):
        with pytest.raises(WebhookForbidden):
            check_address(address, PRIVATE)


def test_the_ports_are_those_of_the_hosts_and_of_their_names_look_up() -> None:
    assert webhook_rules.ports(ALLOWED) == {443, 8443, 8000, 80, 53}  # 80: [fd00::7]/private may be asked by http
    assert webhook_rules.ports("hooks.example.com") == {443, 53}
    assert webhook_rules.ports("a:70000") == webhook_rules.ports("") == set()


def test_the_setting_is_held_to_its_form() -> None:
    assert read_settings({"CLIPLANE_WEBHOOK_HOSTS": ALLOWED}).webhook_hosts == ALLOWED
    for wrong in ("https://hooks.example.com", "*", "a/b", "hooks.example.com/private/", "a:0"):
        with pytest.raises(SettingsError, match="WEBHOOK_HOSTS"):
            read_settings({"CLIPLANE_WEBHOOK_HOSTS": wrong})


def test_the_signature_is_that_of_the_standards_own_example() -> None:
    # https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    key = webhook_rules.secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")
    headers = webhook_rules.headers(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    for wrong in ("", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_!", "whsec_c2hvcnQ="):
        with pytest.raises(ValueError, match="whsec_"):
            webhook_rules.secret(wrong)


class Receiver(http.server.ThreadingHTTPServer):
    """Answers each POST with the next of `statuses`, and keeps what came."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.taken: list[tuple[str, dict[str, str], bytes]] = []
        super().__init__(("127.0.0.1", 0), _Handler)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Receiver

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.taken.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        status = self.server.statuses.pop(0) if self.server.statuses else 204
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("Location", f"http://{self.server.host}/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST  # noqa: N815


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    yield server
    server.shutdown()
    server.server_close()


Deliver = Callable[..., bool]


@pytest.fixture
def ended(tmp_path: Path, receiver: Receiver, clock: Clock) -> tuple[Store, Deliver]:
    """A job that has ended, and what delivers its webhook."""
    (tmp_path / "webhook").write_text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")
    store = Store(tmp_path, clock)
    asked = Asked("classify", "mp4", {}, webhook=f"http://{receiver.host}/hook?a=b")
    store.add("a", "", asked, 1, request_id="r", idempotency_key=None, max_jobs=9)
    name, _ = store.runners.lock()
    assert store.claim(name)
    assert store.end("a", name, result={"model": "camera_motion"})

    def deliver(allowed: str = f"{receiver.host}/private") -> bool:
        return webhook.deliver_due(store, allowed, tmp_path / "webhook")

    return store, deliver


def test_a_job_is_told_once_and_can_be_verified(ended: tuple[Store, Deliver], receiver: Receiver) -> None:
    store, deliver = ended
    assert deliver()
    assert not deliver()
    ((path, headers, body),) = receiver.taken
    assert path == "/hook?a=b"
    assert headers["host"] == receiver.host
    told = json.loads(body)
    assert told["type"] == "job.done"
    assert told["data"]["result"] == {"model": "camera_motion"}
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    assert headers["webhook-signature"] == "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    assert (store.get("a", "").webhook_state, store.get("a", "").webhook_attempts) == ("delivered", 1)


@pytest.mark.parametrize("status", [302, 307, 400, 500, 503])
def test_what_is_not_taken_is_sent_again_later_and_no_redirect_is_followed(
    ended: tuple[Store, Deliver], receiver: Receiver, clock: Clock, status: int
) -> None:
    store, deliver = ended
    receiver.statuses = [status]
    assert deliver()
    assert not deliver()
    clock.now += WEBHOOK_PAUSES_S[0]
    assert deliver()
    assert [path for path, _, _ in receiver.taken] == ["/hook?a=b"] * 2
    assert len({headers["webhook-id"] for _, headers, _ in receiver.taken}) == 1
    assert (store.get("a", "").webhook_state, store.get("a", "").webhook_attempts) == ("delivered", 2)


def test_it_is_given_up_after_all_attempts_or_when_the_receiver_says_gone(
    ended: tuple[Store, Deliver], receiver: Receiver, clock: Clock
) -> None:
    store, deliver = ended
    receiver.statuses = [500] * 99
    while store.get("a", "").webhook_state == "pending":
        assert deliver()
        clock.now += 1e5
    assert store.get("a", "").webhook_attempts == len(receiver.taken) == len(WEBHOOK_PAUSES_S) + 1
    assert store.get("a", "").webhook_state == "given-up"


def test_gone_ends_it(ended: tuple[Store, Deliver], receiver: Receiver) -> None:
    store, deliver = ended
    receiver.statuses = [410]
    assert deliver()
    assert store.get("a", "").webhook_state == "given-up"


def test_a_host_that_is_allowed_no_more_or_leads_inside_is_not_connected_to(
    ended: tuple[Store, Deliver], receiver: Receiver
) -> None:
    store, deliver = ended
    assert deliver("hooks.example.com")
    assert not receiver.taken
    assert store.get("a", "").webhook_state == "given-up"


def test_the_address_that_was_checked_is_the_one_that_is_connected_to(
    ended: tuple[Store, Deliver], receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = int(receiver.host.partition(":")[2])
    asked: list[str] = []

    def rebinding(host: str, port: int, **_: object) -> list[object]:
        asked.append(host)
        address = "93.184.215.14" if len(asked) == 1 else "127.0.0.1"  # another one at the second look
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    to = Target("http", "hooks.example.com", port, "/", may_be_private=False)
    connected: list[tuple[str, int]] = []

    def connect(address: tuple[str, int], *_: object) -> socket.socket:
        connected.append(address)
        raise ConnectionRefusedError

    with monkeypatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", rebinding)
        patch.setattr(socket, "create_connection", connect)
        pinned = webhook._Pinned(to, webhook.resolve(to))
        with pytest.raises(ConnectionRefusedError):
            pinned.request("POST", "/")
        assert connected == [("93.184.215.14", port)]
        with pytest.raises(WebhookForbidden):
            webhook.resolve(to)
    assert not receiver.taken
