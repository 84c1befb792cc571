"""A Ray Data pipeline: rows are paths and answers, never bytes.

    python examples/batch/ray_data.py manifest.jsonl results/ http://a:8080 http://b:8080

A line of the manifest is {"server_path": "2026/11/cam3.mp4"}, beneath the servers' MEDIA_ROOT.
"""

from __future__ import annotations

import itertools
import sys
from typing import Any

import ray
from cliplane_client import Client, ClientError, ServerPath

VIDEOS_AT_ONCE = 2
"""At each server: as many as it has lanes."""


class Classifier:
    """An actor; each has one server at a time, and another where that does not answer."""

    def __init__(self, hosts: list[str]) -> None:
        mine = ray.get_runtime_context().get_actor_id() or "0"
        first = int(mine, 16) % len(hosts)
        self._clients = [Client(host) for host in hosts[first:] + hosts[:first]]

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        error = ""
        for client in self._clients:
            try:
                best = client.classify(ServerPath(row["server_path"])).predictions[0]
            except ClientError as exc:
                error = f"{type(exc).__name__}: {exc}"
            else:
                return {**row, "label": best.label, "score": best.score, "error": ""}
        return {**row, "label": "", "score": 0.0, "error": error}


def main(manifest: str, results: str, hosts: list[str]) -> None:
    videos = ray.data.read_json(manifest, lines=True)
    count = VIDEOS_AT_ONCE * len(hosts)
    answers = videos.repartition(8 * count).map(
        Classifier, fn_constructor_args=[hosts], concurrency=count, num_cpus=0.1
    )
    answers.write_json(results)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], list(itertools.islice(sys.argv, 3, None)))
