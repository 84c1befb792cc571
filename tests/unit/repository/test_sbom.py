"""What docker/sbom.py makes of Debian's list and of the page's lock file."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def sbom() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "docker" / "sbom.py"))


def test_a_debian_package_is_named_as_debian_s_tracker_knows_it(sbom: dict[str, Any]) -> None:
    listed = "libstdc++6:amd64\t14.2.0-19\tamd64\tgcc-14\t14.2.0-19\nlogin\t1:4.16+u1\tamd64\tlogin\t1:4.16+u1\n"
    first, second = sbom["debian"](listed, "13")
    assert first["purl"] == (
        "pkg:deb/debian/libstdc%2B%2B6@14.2.0-19?arch=amd64&distro=debian-13&upstream=gcc-14%4014.2.0-19"
    )
    assert second["purl"] == "pkg:deb/debian/login@1%3A4.16%2Bu1?arch=amd64&distro=debian-13"
    assert (first["name"], first["version"]) == ("libstdc++6", "14.2.0-19")


def test_every_package_of_the_page_is_there_with_its_hash(sbom: dict[str, Any]) -> None:
    lock = json.loads((ROOT / "services" / "web" / "package-lock.json").read_text())
    found = {one["purl"]: one for one in sbom["npm"](lock)}
    assert len(found) == len(lock["packages"]) - 1
    direct = lock["packages"][""]["dependencies"]
    assert {f"pkg:npm/{name}@{version}" for name, version in direct.items()} <= set(found)
    assert "pkg:npm/%40scarf/scarf@1.4.0" in found
    for one in found.values():
        (digest,) = one["hashes"]
        assert digest["alg"] == "SHA-512"
        assert len(digest["content"]) == 128


def test_nothing_of_the_python_packages_is_lost(sbom: dict[str, Any]) -> None:
    python = {"bomFormat": "CycloneDX", "metadata": {"tools": {}}, "components": [{"name": "numpy"}]}
    whole = sbom["merged"](python, "web:1", "13", [{"name": "apt"}])
    assert [one["name"] for one in whole["components"]] == ["debian", "numpy", "apt"]
    assert whole["metadata"]["component"]["name"] == "web:1"
    assert whole["metadata"]["tools"] == {}
