"""FastAPI and uvicorn, as https://fastapi.tiangolo.com has it: a plain `def` route with an UploadFile.

uvicorn --workers WORKERS starts this once for each; a worker's model is used by one request at a time.
"""

import shutil
import tempfile
import threading

from fastapi import FastAPI, UploadFile

from bench.peers.pipeline import make_classifier

app = FastAPI()
classifier = make_classifier()
lock = threading.Lock()


@app.post("/classify")
def classify(video: UploadFile) -> dict[str, object]:
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        shutil.copyfileobj(video.file, file)
        file.flush()
        with lock:
            return classifier.classify(file.name)
