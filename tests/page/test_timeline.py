"""The labels over time, and what a card offers when something went wrong: the page in a real browser."""

from __future__ import annotations

import itertools
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from tests import media
from tests.page import test_page

browser, page, clip = test_page.browser, test_page.page, test_page.clip


def two_moves(folder: Path, *, frames: int) -> Path:
    """A video of so many frames of one movement, and as many of another."""
    path = folder / "two moves.mp4"
    both = itertools.chain(*(media.moving_camera(label, frames=frames) for label in ("pan_left", "zoom_in")))
    path.write_bytes(media.encode(both, options={"preset": "ultrafast"}))
    return path


def place_on_the_line(page: Page, block: Locator) -> float:
    """Where it begins: 0 at the beginning of the video, 1 at its end."""
    line, box = page.locator(".timeline").bounding_box(), block.bounding_box()
    assert line
    assert box
    return (box["x"] - line["x"]) / line["width"]


def test_a_block_stands_where_its_view_is_in_the_video_and_the_playhead_follows(page: Page, tmp_path: Path) -> None:
    page.select_option("#views", "4")
    page.set_input_files("#files", two_moves(tmp_path, frames=100))
    page.get_by_role("button", name="Classify").click()
    expect(page.locator(".result")).to_be_visible()
    blocks = page.locator(".timeline button")
    expect(blocks).to_have_text(["pan_left", "pan_left", "zoom_in", "zoom_in"])
    assert len(set(blocks.evaluate_all("all => all.map(one => one.style.background)"))) == 2
    assert abs(place_on_the_line(page, blocks.nth(2)) - 0.5) < 0.03  # the moves change in the middle
    blocks.nth(2).click()
    page.wait_for_function("() => document.querySelector('video').currentTime > 3")
    page.wait_for_function("() => parseFloat(document.querySelector('.playhead').style.left) > 40")
    test_page.shoot(page, "timeline")


def test_what_failed_can_be_tried_again(page: Page, clip: Path) -> None:
    page.route("**/v1/classify*", lambda route: route.abort())
    page.set_input_files("#files", clip)
    page.get_by_role("button", name="Classify").click()
    expect(page.locator(".status.error")).to_contain_text("cannot be reached")
    expect(page.locator(".status.error")).to_contain_text("try again")
    expect(page.locator(".timeline")).to_be_hidden()
    test_page.shoot(page, "unreachable")
    page.unroute("**/v1/classify*")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".status")).to_contain_text("pan_left")
    expect(page.locator(".video")).to_have_count(1)
    expect(page.get_by_role("button", name="Try again")).to_be_hidden()


def test_where_nothing_can_be_copied_the_command_is_shown(page: Page, clip: Path) -> None:
    page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    page.set_input_files("#files", clip)
    page.get_by_role("button", name="Classify").click()
    page.get_by_role("button", name="Copy as curl").click()
    expect(page.locator(".curl")).to_contain_text("curl --data-binary '@a pan'\\''s clip.mp4' '")


def test_where_no_label_reaches_its_score_the_card_says_so(page: Page, clip: Path) -> None:
    page.route("**/v1/classify*", lambda route: route.continue_(url=f"{route.request.url}&min_score=1"))
    page.set_input_files("#files", clip)
    page.get_by_role("button", name="Classify").click()
    expect(page.locator(".status")).to_have_text("no label")
    expect(page.locator(".result")).to_be_visible()
    expect(page.locator(".predictions li")).to_have_count(0)
    expect(page.locator(".timeline button").first).to_have_text("no label")


def test_a_long_video_has_a_row_a_label_and_choosing_a_segment_goes_there(page: Page, tmp_path: Path) -> None:
    page.select_option("#views", "segments")
    page.set_input_files("#files", two_moves(tmp_path, frames=150))
    page.get_by_role("button", name="Classify").click()
    expect(page.locator(".result")).to_be_visible()
    expect(page.locator(".status")).to_contain_text("segments in 11 windows")
    later = page.locator(".segments button").filter(has_text="zoom_in").last
    assert abs(place_on_the_line(page, later) - 0.5) < 0.15
    later.click()
    page.wait_for_function("() => document.querySelector('video').currentTime > 4")
    page.get_by_text("Segment by segment").click()
    expect(page.locator(".views-seen tr").last).to_contain_text("zoom_in")
    test_page.shoot(page, "segments")
