"""Ray Serve, as https://docs.ray.io/en/latest/serve has it: a FastAPI ingress deployment, one replica a core."""

import shutil
import tempfile

import ray
from fastapi import FastAPI, UploadFile
from ray import serve

from bench.peers.pipeline import WORKERS, make_classifier

app = FastAPI()


@serve.deployment(num_replicas=WORKERS, ray_actor_options={"num_cpus": 1}, max_ongoing_requests=1)
@serve.ingress(app)
class Classify:
    def __init__(self) -> None:
        self.classifier = make_classifier()

    @app.post("/classify")
    def classify(self, video: UploadFile) -> dict[str, object]:
        with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
            shutil.copyfileobj(video.file, file)
            file.flush()
            return self.classifier.classify(file.name)


if __name__ == "__main__":
    # Its object store is a quarter of the memory unless it is told otherwise; nothing goes through it here.
    ray.init(num_cpus=WORKERS + 1, object_store_memory=100 * 2**20, include_dashboard=False)
    serve.start(http_options={"host": "0.0.0.0", "port": 8000})
    serve.run(Classify.bind(), blocking=True)  # type: ignore[attr-defined]  # by its decorator
