"""What a good server says, for servers that are to say it wrongly."""

from __future__ import annotations

from typing import Any

PREDICTION: dict[str, Any] = {"label": "static", "score": 0.9}
VIEW: dict[str, Any] = {"view": 0, "start_s": 0.0, "end_s": 1.0, "predictions": [PREDICTION]}
VIDEO: dict[str, Any] = {
    "container": "mp4",
    "codec": "h264",
    "width": 320,
    "height": 240,
    "fps": 25.0,
    "frames": 50,
    "duration_s": 2.0,
}
RESULT: dict[str, Any] = {
    "request_id": "1",
    "model": "camera_motion",
    "version": "1",
    "handoff": "system_shm",
    "predictions": [PREDICTION],
    "views": [VIEW],
    "video": VIDEO,
    "timing_ms": {"spool": 1.0, "decode": 2.0, "infer": 3.0, "total": 4.0},
}
WINDOW: dict[str, Any] = {"window": 0, "start_s": 0.0, "end_s": 1.0, "predictions": [PREDICTION]}
SEGMENT: dict[str, Any] = {"label": "static", "start_s": 0.0, "end_s": 2.0, "score": 0.9}
SEGMENTED: dict[str, Any] = {
    **{name: RESULT[name] for name in ("request_id", "model", "version", "handoff", "video", "timing_ms")},
    "stride_s": 1.0,
    "windows": 2,
    "segments": [SEGMENT],
}
SAMPLING = {"clip_length": 16, "temporal_stride": 2, "short_side": 64, "crop": [64, 64], "clips": 4, "views": 4}
MODEL: dict[str, Any] = {
    "name": "camera_motion",
    "version": "1",
    "description": "",
    "labels": ["static"],
    "sampling": SAMPLING,
}
MODELS: dict[str, Any] = {"default": "camera_motion", "models": [MODEL]}
HEALTH: dict[str, Any] = {"status": "ready", "model": "camera_motion", "version": "1", "handoff": "system_shm"}
