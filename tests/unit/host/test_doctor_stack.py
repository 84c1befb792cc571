"""`make doctor`, of the disk and of a stack that runs: each fault is provoked and found."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest
from cliplane.ops import doctor, tls

from tests.unit.host.test_doctor import Host

DOCKER = """#!/bin/bash
case "$*" in
  "info --format {{.ServerVersion}}"*) echo "27.0.1|2|%(root)s|4|$((8 << 30))|$(date -u +%%Y-%%m-%%dT%%H:%%M:%%SZ)" ;;
  "compose version"*) echo 2.30.0 ;;
  "image inspect cliplane-web:"*) exit %(no_image)s ;;
  "image inspect"*) ;;
  "compose ps -q --status running web") echo %(running)s ;;
  "compose ps -aq") echo one two ;;
  "ps -aq"*listener*) echo listener ;;
  "exec listener cat"*) echo a ;;
  "ps -aq"*triton*) echo triton ;;
  "inspect -f {{range .Mounts}}"*) echo %(own_models)s ;;
  "inspect -f {{.Name}}"*one) echo '/one|%(one)s' ;;
  "inspect -f {{.Name}}"*two) echo '/two|running|0|a' ;;
  "compose exec -T web"*) %(inside)s ;;
  *) exit 1 ;;
esac
"""
MODEL = "ok\\x1fmodel camera_motion\\x1fversion 1 is ready\\x1f\\x1f"
WELL = {
    "no_image": "0",
    "running": "two",
    "one": "running|0|a",
    "inside": f"printf '{MODEL}\\n'",
    "free_mib": "9000",
    "own_models": "",
}


def examined(folder: Path, **faults: str) -> tuple[int, dict[str, dict[str, str]]]:
    host, facts = Host(folder), WELL | faults
    scripts = {
        "docker": DOCKER % {**facts, "root": folder},
        "df": f"#!/bin/bash\nprintf '%s\\n' - '- - - {int(facts['free_mib']) * 1024}'\n",
    }
    for name, text in scripts.items():
        (host.bin / name).write_text(text)
        (host.bin / name).chmod(0o755)
    command = [str(host.checkout / "host/doctor"), "--json"]
    environment = {"PATH": f"{host.bin}:{os.environ['PATH']}", "HTTP_PORT": "0"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, {row["check"]: row for row in json.loads(done.stdout)}


@pytest.mark.parametrize(
    ("faults", "check", "verdict", "words"),
    [
        ({"free_mib": "4000"}, "disk", "warn", "4000 MiB are free"),
        ({"free_mib": "500"}, "disk", "FAIL", "500 MiB are free"),
        ({"no_image": "1"}, "image web", "warn", "there is no cliplane-web:dev"),
        ({"running": ""}, "stack", "warn", "it does not run"),
        ({"one": "restarting|3|a"}, "one", "FAIL", "restarting"),
        ({"one": "exited|0|a"}, "one", "FAIL", "exited"),
        ({"one": "running|2|a"}, "one", "warn", "restarted 2 times"),
        ({"one": "exited|0|b"}, "one", "ok", "kept for make rollback"),
        ({"inside": "echo no such module; exit 1"}, "web", "FAIL", "no such module"),
        ({"inside": "true"}, "model camera_motion", "FAIL", "it is not served"),
        ({"own_models": "/"}, "models given", "warn", "the checkout's camera_motion is not the release's"),
        ({}, "model camera_motion", "ok", "version 1 is ready"),
    ],
)
def test_a_fault_is_found(tmp_path: Path, faults: dict[str, str], check: str, verdict: str, words: str) -> None:
    code, found = examined(tmp_path, **faults)
    assert found[check]["verdict"] == verdict
    assert words in found[check]["found"]
    assert code == {"ok": 0, "warn": 1, "FAIL": 2}[verdict]


def test_no_name_and_no_answer_moves_the_cursor(tmp_path: Path) -> None:
    """What the web container says comes from processes that parse strangers' files."""
    inside = r"printf 'FAIL\x1fround trip\x1f\x1b]0;owned\x07\xc2\x9b2J\x7f\x1fneeded\x1f\x1b[2J\n'"
    _, found = examined(tmp_path, inside=inside)
    assert found["round trip"] == {
        "verdict": "FAIL",
        "check": "round trip",
        "found": "?]0;owned??2J?",
        "needed": "needed",
        "command": "?[2J",
    }


@pytest.mark.parametrize(("days", "verdict"), [(90, "ok"), (13, "warn"), (-2, "FAIL")])
def test_a_certificate_that_ends_is_found(monkeypatch: pytest.MonkeyPatch, days: int, verdict: str) -> None:
    pair = tls.Pair(Path("cert.pem"), Path("key.pem"), ("TLS_CERT", "TLS_KEY"), is_given=True)
    monkeypatch.setattr(tls.Pair, "ends_at", lambda _: time.time() + (days + 0.5) * 24 * 3600)
    ((found, *_),) = doctor.certificate(pair)
    assert found == verdict


def test_a_round_trip_that_fails_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = {"title": "Shared memory is too small", "detail": "60 MiB"}
    monkeypatch.setattr(doctor, "ask", lambda _: (503, problem))
    ((verdict, _, words, *_),) = doctor.round_trip()
    assert (verdict, words) == ("FAIL", "Shared memory is too small: 60 MiB")

    def nobody(_: str) -> None:
        raise ConnectionRefusedError("Connection refused")

    monkeypatch.setattr(doctor, "ask", nobody)
    ((verdict, _, words, *_),) = doctor.round_trip()
    assert (verdict, words) == ("FAIL", "Connection refused")
