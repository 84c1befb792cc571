"""Writes rules.yaml and dashboard.json, which kustomize cannot take from observability/: `make kubernetes-rules`."""

from __future__ import annotations

from pathlib import Path

import yaml

HERE = Path(__file__).parent
SOURCE = HERE.parents[3] / "observability"


def main() -> None:
    files = [yaml.safe_load((SOURCE / "rules" / f"{name}.yml").read_text()) for name in ("recording", "alerts")]
    groups = [group for file in files for group in file["groups"]]
    kind = {"apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule", "metadata": {"name": "cliplane"}}
    text = yaml.safe_dump(kind | {"spec": {"groups": groups}}, sort_keys=False, width=1000)
    (HERE / "rules.yaml").write_text(f"# Written by `make kubernetes-rules` from observability/rules.\n{text}")
    (HERE / "dashboard.json").write_bytes((SOURCE / "grafana" / "cliplane.json").read_bytes())


if __name__ == "__main__":
    main()
