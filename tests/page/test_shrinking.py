"""Videos that are made smaller in the browser before they are sent: as good, and only where it pays."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests import media
from tests.page import test_page
from tests.page.test_page import BASE, RECORD, classify, shoot

browser, page, large = test_page.browser, test_page.page, test_page.large


def test_a_shrunk_video_is_small_and_has_the_same_label(page: Page, large: Path) -> None:
    raw, raw_bytes = classify(page, large, "off")
    expect(page.locator(".shrunk").first).to_be_empty()
    small, small_bytes = classify(page, large, "on")
    assert raw_bytes >= large.stat().st_size
    assert small_bytes < raw_bytes / 10
    assert (raw["video"]["height"], small["video"]["height"]) == (720, 96)
    assert small["video"]["frames"] == raw["video"]["frames"] == 90
    assert small["video"]["fps"] == pytest.approx(raw["video"]["fps"], rel=0.01)
    assert small["predictions"][0]["label"] == raw["predictions"][0]["label"] == "tilt_up"
    expect(page.locator(".shrunk").first).to_contain_text(" MB sent instead of ")
    shoot(page, "shrunk")


def test_a_video_filmed_on_its_side_is_shrunk_upright(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "turned.mp4"
    path.write_bytes(media.turned(-90, label="pan_right"))
    answer, _ = classify(page, path, "on")
    assert (answer["video"]["width"], answer["video"]["height"]) == (96, 128)
    assert answer["predictions"][0]["label"] == "tilt_down"


def test_an_mp4_behind_another_one_goes_as_it_is_and_the_server_tells_of_it(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "joined.mp4"
    path.write_bytes(media.clip("tilt_up", width=320, height=240) * 2)
    answer, sent = classify(page, path, "on")
    assert sent >= path.stat().st_size
    assert [warning["type"] for warning in answer["warnings"]] == ["ends-early"]


def test_auto_shrinks_where_the_line_is_slow(page: Page, large: Path) -> None:
    # A busy machine makes shrinking slower: it may take a minute here and still pay.
    line = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 100_000}
    page.context.new_cdp_session(page).send("Network.emulateNetworkConditions", line)
    answer, sent = classify(page, large, "auto")
    assert sent < large.stat().st_size / 10
    assert answer["predictions"][0]["label"] == "tilt_up"
    expect(page.locator(".shrunk")).to_contain_text(" MB sent instead of ")


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip that is just large enough to be measured for, and long enough to take its time to shrink."""
    path = tmp_path_factory.mktemp("page") / "long.mp4"
    frames = media.moving_camera("tilt_up", frames=90, speed=0.03)
    path.write_bytes(media.encode(frames, fps=5, options={"crf": "20", "preset": "ultrafast"}))
    assert 1_000_000 < path.stat().st_size < 1_500_000
    return path


@pytest.mark.parametrize("server_s", [0, 3])
def test_auto_sends_as_it_is_where_the_line_is_fast_however_busy_the_server(
    page: Page, long: Path, server_s: int
) -> None:
    page.evaluate(
        """ms => { const real = window.fetch; window.fetch = async (to, options) => {
        const response = await real(to, options);
        if (options?.method === "POST") await new Promise((go) => setTimeout(go, ms));  // its queue is long
        return response; }; }""",
        1000 * server_s,
    )
    answer, sent = classify(page, long, "auto")
    assert sent >= long.stat().st_size
    assert answer["predictions"][0]["label"] == "tilt_up"
    expect(page.locator(".shrunk")).to_contain_text("Sent as it is")


@pytest.mark.parametrize("missing", ["VideoEncoder", "VideoDecoder"])
def test_a_browser_that_cannot_shrink_sends_the_video_as_it_is(browser: Browser, large: Path, missing: str) -> None:
    page = browser.new_page()
    page.add_init_script(f"{RECORD}; delete window.{missing}")
    page.goto(BASE)
    expect(page.locator("#model option")).not_to_have_count(0)
    answer, sent = classify(page, large, "on")
    assert sent >= large.stat().st_size
    assert answer["predictions"][0]["label"] == "tilt_up"
    expect(page.locator(".shrunk")).to_be_empty()
    page.close()


def test_what_the_browser_cannot_read_goes_as_it_is(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "old.avi"
    path.write_bytes(media.encode(media.moving_camera("pan_right"), container="avi", codec="mpeg4"))
    answer, sent = classify(page, path, "on")
    assert sent >= path.stat().st_size
    assert answer["predictions"][0]["label"] == "pan_right"
    expect(page.locator(".shrunk")).to_be_empty()


def test_shrinking_can_be_cancelled(page: Page, large: Path) -> None:
    page.route("**/vendor/mediabunny.js", lambda route: None)  # held back: still at it
    page.select_option("#shrink", "on")
    page.set_input_files("#files", [large, large])
    with page.expect_request("**/vendor/mediabunny.js"):
        page.get_by_role("button", name="Classify").click()
    page.get_by_role("button", name="Cancel").last.click()
    expect(page.locator(".status").last).to_have_text("Cancelled.")
