"""The page in a real browser: Debian's Chromium, by Playwright. Screenshots are kept in artifacts/."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests import media

BASE = os.environ["BASE"]
SHOTS = Path(__file__).parents[2] / "artifacts" / "page"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    f"--unsafely-treat-insecure-origin-as-secure={BASE}",  # WebCodecs: as on localhost, or by HTTPS
]

# Chromium's inspector keeps neither the text of an event stream nor the size of a body that is a file: the page does.
RECORD = """window.requests = []; const send = XMLHttpRequest.prototype.send; XMLHttpRequest.prototype.send =
function (body) {
  const request = { sent: 0 };
  this.upload.addEventListener("load", ({ loaded }) => { request.sent = loaded; });
  this.addEventListener("load", () => { window.requests.push({ ...request, text: this.responseText }); });
  send.call(this, body);
};"""


expect.set_options(timeout=30_000)  # as long as Playwright waits for all else


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1000, "height": 900})
    page.add_init_script(RECORD)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if "Content Security" in message.text else None)
    page.goto(BASE)
    expect(page.locator("#model option")).not_to_have_count(0)
    yield page
    page.close()
    assert errors == []


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "a pan's clip.mp4"
    path.write_bytes(media.clip("pan_left", frames=120))
    return path


def shoot(page: Page, name: str) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png", full_page=True)


def test_a_video_is_chosen_and_its_result_seen(page: Page, clip: Path) -> None:
    page.set_input_files("#files", clip)
    page.get_by_role("button", name="Classify").click()
    card = page.locator(".video")
    expect(card.locator(".status")).to_contain_text("pan_left")
    expect(card.locator(".predictions li")).to_have_count(5)
    expect(card.locator(".timeline button")).to_have_count(4)
    expect(card.locator(".stage-names")).to_contain_text("system_shm")
    expect(card.locator(".progress")).to_be_hidden()
    card.locator(".timeline button").last.click()
    page.wait_for_function("document.querySelector('video').currentTime > 1")
    shoot(page, "result")


def test_several_videos_are_answered_one_after_the_other_with_auto(page: Page, clip: Path) -> None:
    page.select_option("#views", "auto")
    page.set_input_files("#files", [clip, clip, clip])
    page.get_by_role("button", name="Classify").click()
    expect(page.locator(".video")).to_have_count(3)
    for k in range(3):
        expect(page.locator(".video .status").nth(k)).to_contain_text("pan_left")


def test_each_view_is_seen_while_others_are_decoded(page: Page, tmp_path: Path) -> None:
    page.evaluate(
        """() => { window.seen = new Set();
        new MutationObserver(() => document.querySelectorAll('.status').forEach(s => window.seen.add(s.textContent)))
          .observe(document.getElementById('videos'), {subtree: true, childList: true, characterData: true}); }"""
    )
    frames = list(media.moving_camera("tilt_up", frames=60, width=640, height=480))
    path = tmp_path / "long.mp4"
    path.write_bytes(media.encode((frames[t % 60] for t in range(600)), options={"preset": "ultrafast"}))
    page.select_option("#views", "10")
    page.set_input_files("#files", path)
    page.get_by_role("button", name="Classify").click()
    expect(page.locator(".timeline button")).to_have_count(10)
    expect(page.locator(".result")).to_be_visible()
    seen = page.evaluate("[...window.seen]")
    assert any(text.endswith("classified …") for text in seen), seen


def test_an_upload_can_be_cancelled(page: Page, clip: Path) -> None:
    page.route("**/v1/classify*", lambda route: None)  # held back: still uploading
    page.set_input_files("#files", [clip, clip])
    page.get_by_role("button", name="Classify").click()
    page.get_by_role("button", name="Cancel").first.click()
    page.get_by_role("button", name="Cancel").first.click()
    expect(page.locator(".status").first).to_have_text("Cancelled.")
    expect(page.locator(".status").last).to_have_text("Cancelled.")
    expect(page.locator(".cancel").first).to_be_hidden()


def test_an_error_is_told_in_words_with_what_to_do(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "text.mp4"
    path.write_text("no video")
    page.set_input_files("#files", path)
    page.get_by_role("button", name="Classify").click()
    expect(page.locator(".status.error")).to_contain_text("no container that is known here")
    expect(page.locator(".status.error")).to_contain_text("Choose a video file: MP4")
    shoot(page, "error")


def test_it_works_by_keyboard_alone(page: Page, clip: Path) -> None:
    page.keyboard.press("Tab")
    with page.expect_file_chooser() as chooser:
        # Playwright asks the page to tell of choosers and does not wait; a key can overtake that, a question cannot.
        assert page.evaluate("document.activeElement.id") == "files"
        page.keyboard.press("Enter")
    chooser.value.set_files(clip)
    for _ in range(4):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".status")).to_contain_text("pan_left")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_nothing_is_cut_off_and_axe_finds_nothing_serious(browser: Browser, clip: Path, scheme: str) -> None:
    page = browser.new_page(viewport={"width": 375, "height": 700}, color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(BASE)
    page.set_input_files("#files", clip)
    page.get_by_role("button", name="Classify").click()
    expect(page.locator(".result")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    found = Axe().run(page).response["violations"]
    assert [v["id"] for v in found if v["impact"] in ("serious", "critical")] == []
    shoot(page, f"phone-{scheme}")
    page.close()


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip that is worth shrinking, over a line that is slow."""
    path = tmp_path_factory.mktemp("page") / "large.mp4"
    frames = media.moving_camera("tilt_up", frames=90, width=1280, height=720)
    path.write_bytes(media.encode(frames, options={"crf": "14", "preset": "ultrafast"}))
    return path


def classify(page: Page, path: Path, shrink: str) -> tuple[dict[str, Any], int]:
    """Choose, send, wait: the server's answer, and how many bytes the browser sent it."""
    page.select_option("#shrink", shrink)
    page.set_input_files("#files", path)
    before = page.evaluate("window.requests.length")
    page.get_by_role("button", name="Classify").click()
    page.wait_for_function("before => window.requests.length > before", arg=before, timeout=120_000)
    request = page.evaluate("window.requests.at(-1)")
    return json.loads(request["text"].strip().rsplit("data: ", 1)[1]), request["sent"]


def test_the_first_paint_costs_little_and_the_library_comes_when_it_is_needed(
    browser: Browser, clip: Path, large: Path
) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.add_init_script(RECORD)
    network = context.new_cdp_session(page)
    network.send("Network.enable")
    transferred: list[int] = []
    network.on("Network.loadingFinished", lambda event: transferred.append(event["encodedDataLength"]))
    page.goto(BASE, wait_until="networkidle")
    painted = "performance.getEntriesByName('first-contentful-paint').length"
    page.wait_for_function(painted)
    expect(page.locator("#model option")).not_to_have_count(0)
    assert 1_000 < sum(transferred) <= 100_000
    classify(page, clip, "off")
    asked = "performance.getEntriesByType('resource').filter(e => e.name.includes('/vendor/')).length"
    assert page.evaluate(asked) == 0
    classify(page, large, "on")
    assert page.evaluate(asked) == 1
    context.close()


def test_the_interface_is_documented_from_its_own_description(page: Page) -> None:
    page.get_by_role("link", name="The HTTP interface").click()
    document = httpx.get(f"{BASE}/openapi.json").json()
    operations = {(method, path) for path, methods in document["paths"].items() for method in methods}
    expect(page.locator(".opblock")).to_have_count(len(operations))
    shown = page.locator(".opblock-summary").all_text_contents()
    for method, path in operations:
        assert any(method.upper() in text and path in text.replace("\u200b", "") for text in shown), (method, path)
    classify = page.locator(".opblock-post").filter(has_text="/v1/classify").first
    classify.locator(".opblock-summary-control").click()
    expect(classify).to_contain_text("how many labels to answer")
    asked = page.evaluate("performance.getEntriesByType('resource').map(e => new URL(e.name).origin)")
    assert set(asked) == {BASE.rstrip("/")}
    shoot(page, "docs")
