"""Schemathesis against the running stack: requests made from /openapi.json, good ones and bad.

No 5xx, and no answer that the document does not tell of. What a schema cannot say of a body, that it is a video, is
said here: so a good request must be answered, and not only be refused in form.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection

from tests import media
from tests.integration.conftest import Stack, wait_until

BASE = os.environ["BASE"]
JOB = "/v1/jobs/{id}"
GETS = ("/v1/jobs", JOB, f"{JOB}/events", "/v1/models", "/livez", "/readyz", "/version", "/openapi.json", "/metrics")


@cache
def video(label: str) -> bytes:
    return media.clip(label, frames=50, width=96, height=96)


videos = st.sampled_from(("pan_left", "zoom_in")).map(video)
for content_type in ("video/mp4", "application/octet-stream"):
    schemathesis.openapi.media_type(content_type, videos)
schemathesis.openapi.format("binary", videos)


@pytest.fixture(scope="module")
def description() -> schemathesis.BaseSchema:
    wait_until(lambda: Stack().is_ready(), seconds=60, what="the stack")
    return schemathesis.openapi.from_url(f"{BASE}/openapi.json")


@pytest.mark.parametrize(
    ("method", "path", "mode"),
    [
        *(("GET", path, GenerationMode.POSITIVE) for path in GETS),
        ("DELETE", JOB, GenerationMode.POSITIVE),
        ("POST", "/v1/classify", GenerationMode.POSITIVE),
        ("POST", "/v1/classify", GenerationMode.NEGATIVE),
    ],
)
def test_every_operation_keeps_its_contract(
    description: schemathesis.BaseSchema, method: str, path: str, mode: GenerationMode
) -> None:
    @given(case=description[path][method].as_strategy(generation_mode=mode))
    @settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
    def keeps(case: schemathesis.Case[Any]) -> None:
        response = case.call(timeout=30)
        # Schemathesis does not count 414 among the refusals of a bad query; and an empty list is sent as no parameter.
        is_good = response.status_code == 414 or [] in (case.query or {}).values()
        case.validate_response(response, excluded_checks=[negative_data_rejection] if is_good else [])

    keeps()


def test_no_operation_is_left_out(description: schemathesis.BaseSchema) -> None:
    paths = description.raw_schema["paths"]
    documented = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    assert documented == {
        ("POST", "/v1/classify"),
        ("POST", "/v1/segments"),
        ("DELETE", JOB),
        *(("GET", path) for path in GETS),
    }


def test_the_most_views_of_this_stack_are_documented() -> None:
    document = httpx.get(f"{BASE}/openapi.json").json()
    (views,) = (p for p in document["paths"]["/v1/classify"]["post"]["parameters"] if p["name"] == "views")
    max_views = views["schema"]["anyOf"][0]["maximum"]
    for count, status in ((max_views, 200), (max_views + 1, 400)):
        response = httpx.post(f"{BASE}/v1/classify", params={"views": count}, content=media.clip(frames=8), timeout=30)
        assert response.status_code == status, response.text
