"""What a newcomer sees: what the page is for, an example, what labels mean, what was doubtful, and who may ask.

docs/page.png is artifacts/page/door.png of these tests, with fewer colours:
ffmpeg -i door.png -vf "crop=iw:1250:0:0,split[a][b];[a]palettegen=96[p];[b][p]paletteuse=dither=none" page.png
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, Route, expect

from tests import media
from tests.page import test_page

browser, page, clip = test_page.browser, test_page.page, test_page.clip


def test_who_has_no_video_at_hand_tries_the_example(page: Page) -> None:
    expect(page.locator("main > p").first).to_contain_text("names what happens in a video")
    expect(page.locator("#model-card")).to_contain_text("8 frames, every 5th at 25 a second: 1.6 s")
    page.get_by_role("button", name="Try the example").click()
    card = page.locator(".video")
    expect(card.locator(".status")).to_contain_text("pan_right")
    expect(card.locator(".predictions li").first).to_contain_text("The camera turns to the right.")
    expect(card.locator(".warnings")).to_be_hidden()
    card.locator(".timeline button").nth(1).click()
    page.wait_for_function(
        "() => { const { seeking, currentTime } = document.querySelector('video');"
        " return !seeking && currentTime > 0.1; }"
    )
    page.set_viewport_size({"width": 720, "height": 1200})
    test_page.shoot(page, "door")


def test_what_was_doubtful_in_a_file_stands_above_its_labels(page: Page, clip: Path) -> None:
    response = httpx.post(f"{test_page.BASE}/v1/classify", content=clip.read_bytes(), timeout=60).json()
    response["warnings"] = [
        {"type": "rate-assumed", "detail": "<b>25</b> frames a second"},
        {"type": "damaged", "detail": ""},
    ]
    events = {"video": response["video"], "warning": response["warnings"][0], "news": {}, "result": response}
    stream = "".join(f"event: {name}\ndata: {json.dumps(data)}\n\n" for name, data in events.items())
    page.route(
        "**/v1/classify*", lambda route: route.fulfill(body=stream, headers={"Content-Type": "text/event-stream"})
    )
    page.set_input_files("#files", clip)
    page.get_by_role("button", name="Classify").click()
    warnings = page.locator(".warnings li")
    expect(warnings).to_have_text(["Rate assumed: <b>25</b> frames a second", "Damaged"])
    expect(warnings.first).to_be_visible()
    found = Axe().run(page).response["violations"]
    assert [v["id"] for v in found if v["impact"] in ("serious", "critical")] == []


def test_a_server_that_asks_for_a_key_gets_it_with_each_request(page: Page, clip: Path) -> None:
    asked: list[str] = []

    def doorkeeper(route: Route) -> None:
        key = route.request.headers.get("authorization", "")
        asked.append(f"{route.request.method} {key}")
        if key == "Bearer s3cret":
            route.continue_()
        else:
            problem = {"type": "urn:cliplane:problem:unauthorized", "title": "A key is needed", "status": 401}
            route.fulfill(status=401, body=json.dumps(problem), content_type="application/problem+json")

    page.route("**/v1/*", doorkeeper)
    page.reload()
    sign_in = page.locator("#sign-in")
    expect(page.locator("#notice")).to_contain_text("asks for a key")
    for key, said in (("wrong", "does not accept"), ("s3cret", "")):
        page.get_by_label("Key").fill(key)
        page.get_by_role("button", name="Sign in").click()
        expect(page.locator("#notice")).to_contain_text(said)
    expect(sign_in).to_be_hidden()
    expect(page.locator("#model option")).not_to_have_count(0)
    page.set_input_files("#files", clip)
    page.get_by_role("button", name="Classify").click()
    expect(page.locator(".status")).to_contain_text("pan_left")
    assert asked[-1] == "POST Bearer s3cret"
    page.reload()  # the tab remembers it
    expect(page.locator("#model option")).not_to_have_count(0)
    expect(sign_in).to_be_hidden()
    assert "s3cret" not in page.content()


def test_a_key_that_is_withdrawn_is_asked_for_again(page: Page, clip: Path) -> None:
    page.route("**/v1/classify*", lambda route: route.fulfill(status=401, body="{}"))
    page.set_input_files("#files", clip)
    page.get_by_role("button", name="Classify").click()
    expect(page.locator("#sign-in")).to_be_visible()
    expect(page.get_by_role("button", name="Try again")).to_be_visible()


def large(label: str = "tilt_up", **options: str) -> bytes:
    frames = media.moving_camera(label, frames=60, width=640, height=480)
    return media.encode(frames, options={"crf": "12", "preset": "ultrafast", **options})


FILES: dict[str, Callable[[], bytes]] = {
    "with a cover before it": lambda: media.covered(large()),
    "of a front camera": lambda: media.remuxed(large(), matrix=[-1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30]),
    "with pixels that are not square": lambda: large(**{"x264-params": "sar=4/3"}),
}


@pytest.mark.parametrize("kind", FILES)
def test_what_is_shrunk_here_has_the_answer_of_the_file(page: Page, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(FILES[kind]())
    raw, _ = test_page.classify(page, path, "off")
    small, sent = test_page.classify(page, path, "on")
    assert sent < path.stat().st_size / 2 or "cover" in kind  # the library takes the cover, which no browser decodes
    assert small["predictions"][0]["label"] == raw["predictions"][0]["label"]
    assert small["video"]["frames"] == raw["video"]["frames"]


def test_a_clock_that_leaps_is_the_server_s_to_judge(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "leaps.mkv"
    path.write_bytes(media.remuxed(large(), "matroska", change=media.leaping))
    _, sent = test_page.classify(page, path, "on")
    assert sent >= path.stat().st_size
    expect(page.locator(".shrunk")).to_contain_text("the server shall judge")
