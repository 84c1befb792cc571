"""`make up` tells the truth: what is wrong is said in seconds, by name, and leaves nothing running."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from cliplane.ops.tls import make

from tests.integration.conftest import PROJECT, docker

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def project() -> Iterator[str]:
    """A Compose project of its own, taken away again."""
    name = f"{PROJECT}-up-{uuid.uuid4().hex[:6]}"
    yield name
    containers = docker("ps", "-aq", "--filter", f"label=com.docker.compose.project={name}").split()
    if containers:
        docker("rm", "-fv", *containers)
    for kind in ("network", "volume"):
        left = docker(kind, "ls", "-q", "--filter", f"label=com.docker.compose.project={name}").split()
        if left:
            docker(kind, "rm", *left)
    for folder in (REPOSITORY / "services/triton").glob(f".models.{name}-*"):
        shutil.rmtree(folder)


def up(project: str, checkout: Path = REPOSITORY, /, **settings: str) -> subprocess.CompletedProcess[str]:
    return host(["host/up", "--no-build"], project, settings, checkout)


def host(
    command: list[str], project: str, settings: dict[str, str], checkout: Path = REPOSITORY
) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": "/root", "IMAGE_TAG": os.environ["IMAGE_TAG"], **settings}
    return subprocess.run(
        command,
        cwd=checkout,
        env={"COMPOSE_PROJECT_NAME": project, "HTTP_PORT": "0", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )


@contextlib.contextmanager
def another_checkout() -> Iterator[Path]:
    """As much of one as `make up` needs; in the repository, for Docker is to find it."""
    with tempfile.TemporaryDirectory(dir=REPOSITORY) as folder:
        for part in ("host", "compose.yaml", ".env.example", "services/triton/models"):
            (Path(folder) / part).parent.mkdir(parents=True, exist_ok=True)
            subprocess.run(["cp", "-R", REPOSITORY / part, Path(folder) / part], check=True)
        yield Path(folder)


def containers(project: str) -> list[str]:
    return docker("ps", "-q", "--filter", f"label=com.docker.compose.project={project}").split()


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("CLIPLANE_LANE", "4", "the shell: CLIPLANE_LANE: there is no such setting; CLIPLANE_LANES?"),
        ("CLIPLANE_LANES", "two", "CLIPLANE_LANES='two': not a whole number"),
        ("CLIPLANE_CODECS", "h265", "CLIPLANE_CODECS: 'h265' is none of h264, hevc,"),
        ("CLIPLANE_DEFAULT_MODEL", "nothing", "CLIPLANE_DEFAULT_MODEL='nothing': there is no such model;"),
        (
            "CLIPLANE_TRITON_GRPC",
            "nowhere.invalid:8001",
            "CLIPLANE_TRITON_GRPC='nowhere.invalid:8001': 'nowhere.invalid'",
        ),
        ("CLIPLANE_TRITON_GRPC", "triton", "CLIPLANE_TRITON_GRPC='triton': must be unix:PATH or host:port"),
        (
            "SHM_SIZE",
            "60m",
            "SHM_SIZE=60m: 2 lanes of CLIPLANE_REGION_BYTES=67108864 need 704 MiB: SHM_SIZE=704m would do",
        ),
        ("HTTP_PORT", "eighty", "HTTP_PORT='eighty': a port has a number"),
    ],
)
def test_a_wrong_setting_is_named_before_anything_starts(project: str, variable: str, value: str, words: str) -> None:
    began = time.monotonic()
    done = up(project, **{variable: value})
    assert time.monotonic() - began < 30  # 4 s on a host that has nothing else to do
    assert done.returncode == 2
    assert done.stderr.splitlines()[-2].startswith(words)
    assert done.stderr.splitlines()[-1] == "make up: nothing was started"
    assert not containers(project)


def test_it_prints_the_address_and_a_second_one_on_that_port_or_of_that_name_leaves_nothing(project: str) -> None:
    done = up(project)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ready: http://127.0.0.1:")
    examined = host(["host/doctor", "--json"], project, {})
    found = json.loads(examined.stdout)
    assert examined.returncode < 2, found
    checks = {row["check"] for row in found if row["verdict"] == "ok"}
    assert checks >= {
        "/dev/shm",
        "one /dev/shm",
        "user of web",
        "user of triton",
        "model camera_motion",
        "round trip",
    }
    port = done.stdout.split("/")[2].rpartition(":")[2]
    other = f"{project}-2"
    refused = up(other, HTTP_PORT=port)
    assert refused.returncode == 1
    assert port in refused.stderr
    assert "already allocated" in refused.stderr or "something else listens" in refused.stderr
    assert not containers(other)
    volumes = docker("volume", "ls", "-q", "--filter", f"label=com.docker.compose.project={other}").split()
    assert set(volumes) <= {f"{other}_jobs"}
    docker("volume", "rm", "-f", f"{other}_jobs")
    with another_checkout() as checkout:
        taken = up(project, checkout)
    assert taken.returncode == 1
    assert f"a stack of this name was started from {REPOSITORY}" in taken.stderr
    again = up(project, HTTP_PORT=port)  # the one that runs is in nobody's way
    assert again.returncode == 0, again.stderr


def test_a_self_signed_pair_is_made_once_and_kept(project: str) -> None:
    with another_checkout() as checkout:
        done = up(project, checkout, TLS="self-signed")
        assert done.returncode == 0, done.stderr
        ready, said = done.stdout.splitlines()
        assert ready.startswith("ready: https://127.0.0.1:")
        first = checkout / "keys/self-signed.crt"
        command = ["openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in", str(first)]
        fingerprint = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("=")[1].strip()
        assert said.endswith(f"SHA-256 {fingerprint}")
        key = (checkout / "keys/self-signed.key").stat()
        assert (key.st_uid, key.st_gid, key.st_mode & 0o777) == (10002, 10000, 0o400)
        assert up(project, checkout, TLS="self-signed").stdout.splitlines()[-1] == said


def test_a_pair_that_cannot_be_is_named_before_anything_starts(project: str) -> None:
    with tempfile.TemporaryDirectory(dir=REPOSITORY) as folder:
        Path(folder).chmod(0o755)
        for name in ("one", "other"):
            Path(folder, name).mkdir()
            make(Path(folder, name), ["localhost"])
            Path(folder, name, "self-signed.key").chmod(0o440)
        certificate, key = f"{folder}/one/self-signed.crt", f"{folder}/other/self-signed.key"
        for files, words in (
            ({"TLS_CERT": certificate}, "TLS_CERT and TLS_KEY: both or neither"),
            ({"TLS_CERT": f"{folder}/none", "TLS_KEY": key}, f"TLS_CERT='{folder}/none': there is no such file"),
            ({"TLS_CERT": certificate, "TLS_KEY": key}, f"TLS_KEY='{key}': not the key of TLS_CERT='{certificate}'"),
        ):
            done = up(project, **files)
            assert done.returncode == 2
            assert done.stderr.splitlines()[-2].startswith(words)
            assert not containers(project)


def test_a_renewed_certificate_is_shown_without_a_restart_and_a_wrong_one_is_not(project: str) -> None:
    with tempfile.TemporaryDirectory(dir=REPOSITORY) as folder:
        Path(folder).chmod(0o755)
        for number in range(2):
            issued = Path(folder, f"{number}")
            issued.mkdir()
            make(issued, ["localhost"])
            (issued / "self-signed.key").chmod(0o440)
        # As certbot has them: links, which lead elsewhere after a renewal.
        files = {"TLS_CERT": Path(folder, "fullchain.pem"), "TLS_KEY": Path(folder, "privkey.pem")}
        for file, name in zip(files.values(), ("crt", "key"), strict=True):
            file.symlink_to(f"0/self-signed.{name}")
        settings = {name: str(file) for name, file in files.items()}
        done = up(project, **settings)
        assert done.returncode == 0, done.stderr

        def renew(certificate: int, key: int) -> subprocess.CompletedProcess[str]:
            for (_, file), issued in zip(files.items(), (certificate, key), strict=True):
                name = file.readlink().name
                file.unlink()
                file.symlink_to(f"{issued}/{name}")
            return host(["host/certificate"], project, settings)

        web = f"{project}-web-1"
        started = docker("inspect", "-f", "{{.State.StartedAt}}", web)
        wrong = renew(1, 0)
        assert wrong.returncode == 1
        assert f"TLS_KEY='{files['TLS_KEY']}': not the key of TLS_CERT=" in wrong.stderr
        right = renew(1, 1)
        assert right.returncode == 0, right.stderr
        command = ["openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in", str(files["TLS_CERT"])]
        fingerprint = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("=")[1].strip()
        assert right.stdout.strip() == f"shown from now on: SHA-256 {fingerprint}"  # it has asked nginx
        assert docker("inspect", "-f", "{{.State.StartedAt}}", web) == started


@pytest.mark.parametrize(("cpus", "threads"), [("0.5", 1), ("1", 1), ("1.5", 2), ("2", 2)])
def test_the_sizes_follow_the_quota_of_the_container(cpus: str, threads: int) -> None:
    ask = (
        "from cliplane.kernel import cpus; from cliplane import settings; from cliplane.ops import sizing;"
        "found = sizing.sizes(settings.Settings(), cpus.available_cpus(), cpus.available_memory());"
        "print(found.cpus, found.memory_bytes, found.lanes, found.decoder_threads)"
    )
    image = f"cliplane-web:{os.environ['IMAGE_TAG']}"
    words = ("run", "--rm", "--cpus", cpus, "--memory", "1g", "--entrypoint", "python", image, "-c", ask)
    assert docker(*words).split() == [str(float(cpus)), str(2**30), "1", str(threads)]  # 1 GiB has room for one lane
