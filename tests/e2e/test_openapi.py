"""The examples of /openapi.json: what they send is answered as they say."""

from __future__ import annotations

from typing import Any

import httpx
import jsonschema
import pytest

CLASSIFY = "/v1/classify"


@pytest.fixture(scope="module")
def document(http: httpx.Client) -> dict[str, Any]:
    found: dict[str, Any] = http.get("/openapi.json").json()
    return found


@pytest.fixture(scope="module")
def operation(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["paths"][CLASSIFY]["post"]
    return found


def answer_schema(document: dict[str, Any], content: dict[str, Any]) -> dict[str, Any]:
    return {**content["schema"], "components": document["components"]}


def example_video(http: httpx.Client, operation: dict[str, Any], content_type: str) -> bytes:
    (example,) = operation["requestBody"]["content"][content_type]["examples"].values()
    return http.get(example["externalValue"]).raise_for_status().content


@pytest.mark.parametrize("content_type", ["application/octet-stream", "video/mp4", "multipart/form-data"])
def test_the_example_video_is_answered_as_in_the_example(
    http: httpx.Client, document: dict[str, Any], operation: dict[str, Any], content_type: str
) -> None:
    assert content_type in operation["requestBody"]["content"]
    video = example_video(http, operation, content_type)
    params: dict[str, str | int] = {"model": "camera_motion", "views": 2, "top": 2}
    if content_type == "multipart/form-data":
        response = http.post(CLASSIFY, params=params, files={"video": ("example.mp4", video)})
    else:
        response = http.post(CLASSIFY, params=params, content=video, headers={"Content-Type": content_type})
    assert response.status_code == 200, response.text
    content = operation["responses"]["200"]["content"]["application/json"]
    told = content["examples"]["pan"]["value"]
    for result in (response.json(), told):
        jsonschema.validate(result, answer_schema(document, content))
    same = ("model", "version", "video")
    assert {name: response.json()[name] for name in same} == {name: told[name] for name in same}
    for got, said in zip(response.json()["predictions"], told["predictions"], strict=True):
        assert got["label"] == said["label"]
        assert got["score"] == pytest.approx(said["score"], abs=0.02)  # another CPU rounds otherwise


def test_every_example_of_a_parameter_is_taken(http: httpx.Client, operation: dict[str, Any]) -> None:
    video = example_video(http, operation, "video/mp4")
    tried = 0
    for parameter in operation["parameters"]:
        for example in parameter["examples"].values():
            given = {parameter["name"]: str(example["value"])}
            place = parameter["in"]
            assert place in ("query", "header")
            params, headers = (given, {}) if place == "query" else ({}, given)
            response = http.post(CLASSIFY, content=video, params=params, headers=headers)
            assert response.status_code == 200, (parameter["name"], response.text)
            tried += 1
    assert tried >= len(operation["parameters"])


@pytest.mark.parametrize(
    ("status", "method", "query", "body"),
    [
        ("400", "POST", {"views": "none"}, b"x"),
        ("404", "POST", {"model": "nobody"}, None),
        ("405", "GET", {}, b""),
        ("415", "POST", {}, b"no video"),
        ("422", "POST", {}, b"\0\0\0\x18ftypisom" + bytes(500)),
    ],
)
def test_a_problem_is_told_as_in_its_example(
    http: httpx.Client,
    document: dict[str, Any],
    operation: dict[str, Any],
    status: str,
    method: str,
    query: dict[str, str],
    body: bytes | None,
) -> None:
    if body is None:
        body = example_video(http, operation, "video/mp4")
    got = http.request(method, CLASSIFY, params=query, content=body).json()
    content = operation["responses"][status]["content"]["application/problem+json"]
    (example,) = content["examples"].values()
    jsonschema.validate(got, answer_schema(document, content))
    same = ("type", "title", "status", "detail")
    assert {name: got[name] for name in same} == {name: example["value"][name] for name in same}


def test_every_example_of_an_answer_fits_its_schema(document: dict[str, Any]) -> None:
    seen = 0
    for operations in document["paths"].values():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                for content in response["content"].values():
                    for example in content.get("examples", {}).values():
                        jsonschema.validate(example["value"], answer_schema(document, content))
                        assert example["value"].get("status", int(status)) in (int(status), "live", "ready")
                        seen += 1
    assert seen > 10
