"""Names and values in .env and in the shell, as `make up` looks at them first: `host/settings`, `host/setting`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What these scripts look at, in a folder with a space in its name."""
    folder = tmp_path / "a checkout"
    shutil.copytree(REPOSITORY / "host", folder / "host")
    shutil.copy(REPOSITORY / ".env.example", folder)
    model = folder / "services/triton/models/camera_motion"
    model.mkdir(parents=True)
    (model / "config.pbtxt").touch()
    return folder


def run(checkout: Path, *words: str, shell: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], **(shell or {})}
    script, *arguments = words
    return subprocess.run(
        [checkout / "host" / script, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_example_with_every_line_taken_is_right(checkout: Path) -> None:
    example = (checkout / ".env.example").read_text()
    (checkout / ".env").write_text(re.sub(r"(?m)^# (?=[A-Z_]+=)", "", example))
    assert run(checkout, "settings").returncode == 0


@pytest.mark.parametrize(
    ("shell", "words"),
    [
        ({"CLIPLANE_LANE": "4"}, "the shell: CLIPLANE_LANE: there is no such setting; CLIPLANE_LANES?"),
        ({"CLIPLANE_NONSENSE_ALTOGETHER": "4"}, "the shell: CLIPLANE_NONSENSE_ALTOGETHER: there is no such setting"),
        ({"HTTP_PROT": "80"}, "the shell: HTTP_PROT: there is no such setting; HTTP_PORT?"),
        ({"HTTP_PORT": "eighty"}, "HTTP_PORT='eighty'"),
        ({"SHM_SIZE": "much"}, "SHM_SIZE='much'"),
        ({"WEB_MEMORY": "all"}, "WEB_MEMORY='all'"),
        ({"TRITON_CPUS": "two"}, "TRITON_CPUS='two'"),
        ({"IMAGE_TAG": "a b"}, "IMAGE_TAG='a b'"),
        (
            {"CLIPLANE_DEFAULT_MODEL": "x3d"},
            "CLIPLANE_DEFAULT_MODEL='x3d': there is no such model; there are: camera_motion",
        ),
    ],
)
def test_a_wrong_name_or_value_in_the_shell_is_named(checkout: Path, shell: dict[str, str], words: str) -> None:
    done = run(checkout, "settings", shell=shell)
    assert done.returncode == 2
    assert done.stderr.startswith(words)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("CLIPLANE_LANE=4", ".env, line 2: CLIPLANE_LANE: there is no such setting; CLIPLANE_LANES?"),
        ("export HTTP_PROT=80", ".env, line 2: HTTP_PROT: there is no such setting; HTTP_PORT?"),
        ("something else", ".env, line 2: it is not NAME=value"),
        ("HTTP_PORT=eighty # in words", "HTTP_PORT='eighty': a port has a number up to 65535"),
    ],
)
def test_a_wrong_line_of_the_file_is_named(checkout: Path, line: str, words: str) -> None:
    (checkout / ".env").write_text(f"# ours\n{line}")
    done = run(checkout, "settings")
    assert (done.returncode, done.stderr.strip()) == (2, words)


def test_what_is_not_ours_is_let_be(checkout: Path) -> None:
    names = (
        "HTTP_PROXY",
        "http_proxy",
        "NO_PROXY",
        "COMPOSE_PROJECT_NAME",
        "DOCKER_HOST",
        "CLIPLANE_BASE",
        "MODEL_ZOO",
    )
    done = run(checkout, "settings", shell=dict.fromkeys(names, "x"))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("text", ["a.b-1", '"a.b-1" # quoted', "'a.b-1'", "a.b-1   # plain", "old\nIMAGE_TAG=a.b-1  "])
def test_a_value_of_the_file_is_read_as_compose_reads_it(checkout: Path, text: str) -> None:
    (checkout / ".env").write_text(f"IMAGE_TAG={text}\n")
    assert run(checkout, "setting", "IMAGE_TAG", "dev").stdout == "a.b-1\n"
    assert run(checkout, "setting", "IMAGE_TAG", "dev", shell={"IMAGE_TAG": "mine"}).stdout == "mine\n"
    assert run(checkout, "setting", "HTTP_PORT", "8080").stdout == "8080\n"


def test_everything_that_compose_takes_from_outside_is_in_the_example() -> None:
    known = set(re.findall(r"(?m)^# ([A-Z][A-Z0-9_]*)=", (REPOSITORY / ".env.example").read_text()))
    known.add("COMPOSE_PROJECT_NAME")  # Compose's own
    for file in ("compose.yaml", "compose.gpu.yaml"):
        taken = set(re.findall(r"(?<!\$)\$\{([A-Z0-9_]+)", (REPOSITORY / file).read_text()))
        assert taken - {"IMAGE_COMMIT", "COLOUR", "RELEASE_MODELS"} <= known  # host/up sets these
