#!/usr/bin/env python3
"""Adds to a CycloneDX file of an image's Python packages what else the image is made of: Debian's packages, asked of
the image itself, and the page's npm packages, of their lock file.

    sbom.py IMAGE [--npm package-lock.json] <python.json >image.json
"""

from __future__ import annotations

import argparse
import base64
import json
import subprocess
import sys
import urllib.parse
from pathlib import Path
from typing import Any

FIELDS = ("binary:Package", "Version", "Architecture", "source:Package", "source:Version")

Component = dict[str, Any]


def debian(listed: str, release: str) -> list[Component]:
    """The components of `dpkg-query -W -f` with FIELDS, tab by tab, on a Debian of this VERSION_ID."""
    found = []
    for line in listed.splitlines():
        package, version, architecture, source, source_version = line.split("\t")
        name = package.partition(":")[0]  # "libc6:amd64" where several architectures may be installed
        qualifiers = {"arch": architecture, "distro": f"debian-{release}"}
        if (source, source_version) != (name, version):  # what Debian's security tracker goes by
            qualifiers["upstream"] = f"{source}@{source_version}"
        found.append(_component(f"pkg:deb/debian/{_quoted(name)}@{_quoted(version)}", name, version, qualifiers))
    return found


def npm(lock: dict[str, Any]) -> list[Component]:
    """The components of a package-lock.json, with the hashes and licences that it has."""
    found = []
    for place, package in lock["packages"].items():
        if not place:
            continue  # the page itself
        name = place.rpartition("node_modules/")[2]
        one = _component(f"pkg:npm/{_quoted(name)}@{_quoted(package['version'])}", name, package["version"], {})
        algorithm, _, digest = package["integrity"].partition("-")
        content = base64.b64decode(digest, validate=True).hex()
        one["hashes"] = [{"alg": algorithm.upper().replace("SHA", "SHA-"), "content": content}]
        one["licenses"] = [{"expression": package["license"]}]
        found.append(one)
    return found


def merged(python: dict[str, Any], image: str, release: str, more: list[Component]) -> dict[str, Any]:
    """The whole image's document."""
    about = python.get("metadata", {}) | {"component": {"type": "container", "bom-ref": image, "name": image}}
    system = {"type": "operating-system", "bom-ref": "debian", "name": "debian", "version": release}
    return python | {"metadata": about, "components": [system, *python.get("components", []), *more]}


def _component(purl: str, name: str, version: str, qualifiers: dict[str, str]) -> Component:
    told = "&".join(f"{key}={_quoted(value)}" for key, value in sorted(qualifiers.items()))
    purl = f"{purl}?{told}" if told else purl
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def _quoted(text: str) -> str:
    return urllib.parse.quote(text, safe="/")  # which parts an npm scope from its name


def _in(image: str, program: str, *arguments: str) -> str:
    command = ["docker", "run", "--rm", "--network", "none", "--entrypoint", program, image, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("image")
    parser.add_argument("--npm", type=Path)
    args = parser.parse_args()
    lines = _in(args.image, "cat", "/etc/os-release").splitlines()
    release = dict(line.split("=", 1) for line in lines if "=" in line)["VERSION_ID"].strip('"')
    listed = _in(args.image, "dpkg-query", "-W", "-f", "\\t".join(f"${{{name}}}" for name in FIELDS) + "\\n")
    more = debian(listed, release) + (npm(json.loads(args.npm.read_text())) if args.npm else [])
    json.dump(merged(json.load(sys.stdin), args.image, release, more), sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
