"""Health, versions, models, metrics, the page."""

from __future__ import annotations

import re

import httpx
import pytest

from tests import media


def test_it_is_live_and_ready(http: httpx.Client) -> None:
    assert http.get("/livez").json() == {"status": "live"}
    ready = http.get("/readyz").json()
    assert ready["status"] == "ready"
    assert ready["handoff"] in ("system_shm", "cuda_shm", "grpc")


def test_versions_are_told(http: httpx.Client) -> None:
    versions = http.get("/version").json()
    assert re.fullmatch(r"\d+\.\d+\.\d+", versions["cliplane"])
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", versions["triton"])
    assert versions["models"].items() >= {"camera_motion": "1"}.items()
    assert versions["image"]
    assert versions["sizes"]["lanes"] >= 1
    assert f"cliplane_landlock_version {versions['landlock']:.1f}" in http.get("/metrics").text


def test_the_models_are_listed_with_labels_and_sampling(http: httpx.Client) -> None:
    response = http.get("/v1/models").json()
    default = next(model for model in response["models"] if model["name"] == response["default"])
    assert len(default["labels"]) >= 2
    assert default["sampling"]["views"] == default["sampling"]["clips"] * default["sampling"]["crops"]


def test_every_documented_address_answers_as_documented(http: httpx.Client) -> None:
    document = http.get("/openapi.json").json()
    for path, operations in document["paths"].items():
        if "get" in operations:
            response = http.get(path)
            assert str(response.status_code) in operations["get"]["responses"], path
            content = operations["get"]["responses"][str(response.status_code)]["content"]
            assert response.headers["content-type"].split(";")[0] in content, path


@pytest.mark.parametrize("path", ["/", "/index.html", "/app.js", "/upload.js", "/card.js", "/style.css"])
def test_the_page_s_files_can_be_read(http: httpx.Client, path: str) -> None:
    response = http.get(path)
    assert response.status_code == 200
    assert len(response.content) > 100


def test_a_request_s_name_is_echoed_or_made(http: httpx.Client) -> None:
    for path in ("/", "/livez", "/nothing"):
        assert http.get(path, headers={"X-Request-ID": "my-name.1"}).headers["x-request-id"] == "my-name.1"
        assert re.fullmatch(r"[0-9a-f]{32}", http.get(path).headers["x-request-id"])
        evil = http.get(path, headers={"X-Request-ID": 'a"b {evil}'}).headers["x-request-id"]
        assert re.fullmatch(r"[0-9a-f]{32}", evil)


def test_what_is_here_now_is_measured(http: httpx.Client) -> None:
    text = http.get("/metrics").text
    now = {name: float(value) for name, value in re.findall(r"^(cliplane_\w+) (\S+)$", text, re.MULTILINE)}
    assert now["cliplane_ready"] == 1
    assert 1 <= now["cliplane_lanes"] <= now["cliplane_lanes_wanted"]
    assert 0 <= now["cliplane_lanes_busy"] <= now["cliplane_lanes"]
    assert now["cliplane_decoders"] >= 1
    assert now["cliplane_decoders_memory_bytes"] > 1e6
    assert 0 < now["cliplane_shm_bytes"] <= now["cliplane_shm_limit_bytes"]
    assert re.search(r'^cliplane_build_info{.*version="\d+\.\d+\.\d+"} 1.0$', text, re.MULTILINE)
    assert re.search(r'^cliplane_problems_total{key="",type="decoder-crashed"} \d', text, re.MULTILINE)


def test_views_that_auto_saves_are_counted(http: httpx.Client) -> None:
    def saved() -> float:
        found = re.findall(r"^cliplane_views_saved_total\{.*\} (\S+)$", http.get("/metrics").text, re.MULTILINE)
        return sum(map(float, found))

    before = saved()
    auto = http.post("/v1/classify?views=auto", content=media.clip(frames=80)).json()["auto"]
    assert saved() == before + auto["planned"] - auto["used"]


def test_a_classified_video_is_counted(http: httpx.Client) -> None:
    def counted() -> float:
        text = http.get("/metrics").text
        found = re.findall(r'^cliplane_requests_total\{.*outcome="classified"\} (\S+)$', text, re.MULTILINE)
        return sum(float(value) for value in found)

    before = counted()
    assert http.post("/v1/classify", content=media.clip(frames=8)).status_code == 200
    assert counted() == before + 1
    text = http.get("/metrics").text
    assert "cliplane_triton_up 1.0" in text
    assert re.search(r'^cliplane_triton_views_total\{model=".+",version="\d+"\} [1-9]', text, re.MULTILINE)
