"""TLS, as nginx speaks it with the configuration of the image, and the pairs that it is given."""

from __future__ import annotations

import socket
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from cliplane.ops import tls
from cliplane.ops.tls import Pair
from cliplane.settings import SettingsError
from cliplane_client import CannotConnect, Client, InvalidCertificates, InvalidResponse
from cliplane_client.cli import main

from tests.security.conftest import Front, answer_of

FrontWith = Callable[..., Front]


def pair_in(folder: Path, *, is_given: bool = True) -> Pair:
    """A pair that `make up` would make."""
    folder.mkdir(exist_ok=True)
    tls.make(folder, ["localhost", "127.0.0.1", "::1", "localhost"])
    return Pair(folder / "self-signed.crt", folder / "self-signed.key", ("TLS_CERT", "TLS_KEY"), is_given)


@pytest.fixture
def given(tmp_path: Path) -> Pair:
    return pair_in(tmp_path / "pair")


@pytest.fixture
def front(front_with: FrontWith, given: Pair) -> Front:
    return front_with(pair=given)


def trusting(pair: Pair) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=pair.certificate)


def test_an_upload_goes_through_tls_and_browsers_are_told_to_stay(front: Front, given: Pair) -> None:
    response = httpx.post(f"{front.base}/v1/classify", content=bytes(100_000), verify=trusting(given), timeout=60)
    assert response.json()["size"] == 100_000
    assert response.headers["strict-transport-security"].startswith("max-age=")
    refused = httpx.get(f"{front.base}/nothing", verify=trusting(given))
    assert (refused.status_code, "strict-transport-security" in refused.headers) == (404, True)


def test_a_self_signed_certificate_lets_a_browser_s_user_go_on(front_with: FrontWith, tmp_path: Path) -> None:
    pair = pair_in(tmp_path / "pair", is_given=False)
    front = front_with(pair=pair)
    assert "strict-transport-security" not in httpx.get(f"{front.base}/livez", verify=trusting(pair)).headers


def test_without_tls_nothing_tells_browsers_to_use_it(front_with: FrontWith) -> None:
    assert "strict-transport-security" not in httpx.get(f"{front_with().base}/livez").headers


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda v: v.name)
def test_tls_is_spoken_from_1_2_on(front: Front, given: Pair, version: ssl.TLSVersion) -> None:
    context = trusting(given)
    context.minimum_version = context.maximum_version = version
    with front.connect() as connection, context.wrap_socket(connection, server_hostname="localhost") as spoken:
        assert spoken.version() == version.name.replace("_", ".")


@pytest.mark.filterwarnings("ignore:.*TLSv1_1 is deprecated")
def test_an_older_one_is_refused(front: Front, given: Pair) -> None:
    context = trusting(given)
    context.set_ciphers("ALL:@SECLEVEL=0")  # so that it is the server who refuses
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with front.connect() as connection, pytest.raises(ssl.SSLError, match=r"(?i)protocol.version"):
        context.wrap_socket(connection, server_hostname="localhost")


def test_plain_http_gets_a_problem_that_says_tls(front: Front) -> None:
    response = front.raw(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert response.status == 400
    assert response.problem() == "bad-request"
    assert b"https://" in response.body


def test_inside_the_container_health_is_asked_without_tls(front: Front) -> None:
    with socket.socket(socket.AF_UNIX) as inside:
        inside.connect(str(front.folder / "inside.sock"))
        inside.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
        assert answer_of(inside).status == 200


def test_the_client_trusts_whom_it_is_told_to(
    front: Front, given: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The front's control plane is a stand-in: to be told that it is no Cliplane's is to have reached it."""
    stranger = pair_in(tmp_path / "stranger")
    for ca in (None, stranger.certificate):
        with Client(front.base, ca=ca, retries=0) as client, pytest.raises(CannotConnect):
            client.health()
    with Client(front.base, ca=given.certificate, retries=0) as client, pytest.raises(InvalidResponse):
        client.health()
    monkeypatch.setenv("SSL_CERT_FILE", str(given.certificate))
    with Client(front.base, retries=0) as client, pytest.raises(InvalidResponse):
        client.health()
    assert main(["--base", front.base, "--ca", str(given.certificate), "health"]) == 3
    assert "certificate" not in capsys.readouterr().err
    with pytest.raises(InvalidCertificates):
        Client(front.base, ca=given.key)
    assert main(["--base", front.base, "--ca", "nowhere.pem", "health"]) == 2


def openssl(*words: str | Path) -> str:
    return subprocess.run(["openssl", *words], capture_output=True, text=True, check=True).stdout


def test_the_fingerprint_is_the_one_that_openssl_shows(given: Pair) -> None:
    shown = openssl("x509", "-noout", "-fingerprint", "-sha256", "-in", given.certificate)
    assert shown.strip().partition("=")[2] == given.fingerprint()


def test_a_pair_that_can_be_shown_is_taken(given: Pair) -> None:
    tls.check(given)


def refusal(pair: Pair) -> str:
    with pytest.raises(SettingsError) as caught:
        tls.check(pair)
    return str(caught.value)


def test_a_pair_that_cannot_be_shown_is_named(given: Pair, tmp_path: Path) -> None:
    other = pair_in(tmp_path / "other")
    nothing = tmp_path / "nothing"
    empty, locked, old = tmp_path / "empty", tmp_path / "locked", tmp_path / "old"
    empty.touch()
    openssl("pkey", "-in", given.key, "-aes256", "-passout", "pass:word", "-out", locked)
    year = ("-not_before", "20200101000000Z", "-not_after", "20210101000000Z")
    openssl("req", "-x509", "-key", given.key, "-subj", "/CN=old", *year, "-out", old)
    names = given.names

    def made_of(certificate: Path, key: Path) -> Pair:
        return Pair(certificate, key, names, is_given=True)

    assert refusal(made_of(nothing, given.key)).startswith("TLS_CERT: uid ")
    assert refusal(made_of(given.certificate, nothing)).startswith("TLS_KEY: uid ")
    assert refusal(made_of(empty, given.key)) == "TLS_CERT: not a certificate in PEM"
    assert refusal(made_of(given.certificate, other.key)) == "TLS_KEY: not the key of TLS_CERT"
    assert refusal(made_of(given.certificate, locked)).startswith("TLS_KEY: not a private key")
    assert refusal(made_of(given.certificate, empty)).startswith("TLS_KEY: not a private key")
    assert refusal(made_of(old, given.key)).startswith("TLS_CERT: expired on ")


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"TLS_CERT": "a"}, "both or neither"),
        ({"TLS_KEY": "a"}, "both or neither"),
        ({"TLS": "yes"}, "TLS='yes'"),
        ({"TLS": "self-signed", "TLS_CERT": "a", "TLS_KEY": "b"}, "TLS='self-signed'"),
    ],
)
def test_a_choice_that_cannot_be_is_named(environ: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        tls.pair(environ)


def test_without_a_choice_there_is_no_tls() -> None:
    assert tls.pair({"TLS": "", "TLS_CERT": "", "TLS_KEY": ""}) is None
