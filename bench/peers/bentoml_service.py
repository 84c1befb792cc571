"""BentoML, as https://docs.bentoml.com has it: a service class whose method takes the uploaded file's path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bentoml

from bench.peers.pipeline import WORKERS, make_classifier


@bentoml.service(workers=WORKERS, traffic={"timeout": 120})
class Classify:
    def __init__(self) -> None:
        self.classifier = make_classifier()

    @bentoml.api
    def classify(self, video: Path) -> dict[str, Any]:
        return self.classifier.classify(str(video))
