"""LitServe, as https://lightning.ai/docs/litserve has it: a LitAPI that takes an uploaded file; one worker a core."""

import tempfile

import litserve
from fastapi import UploadFile

from bench.peers.pipeline import WORKERS, make_classifier


class ClassifyAPI(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.classifier = make_classifier()

    def decode_request(self, request: UploadFile) -> bytes:
        return request.file.read()

    def predict(self, video: bytes) -> dict[str, object]:
        with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
            file.write(video)
            file.flush()
            return self.classifier.classify(file.name)

    def encode_response(self, output: dict[str, object]) -> dict[str, object]:
        return output


if __name__ == "__main__":
    server = litserve.LitServer(
        ClassifyAPI(api_path="/classify"), accelerator="cpu", workers_per_device=WORKERS, timeout=120
    )
    server.run(port=8000, generate_client_file=False, log_level="warning")
