"""A large video from the page: where its connection is cut, the upload goes on."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page, Route, expect

from tests import media
from tests.page.test_page import browser as browser
from tests.page.test_page import page as page

SIZE = 17_000_000


def test_a_large_video_is_answered_though_its_connection_is_cut(page: Page, tmp_path: Path) -> None:
    clip = media.clip("tilt_up")
    film = tmp_path / "film.mp4"
    film.write_bytes(clip + (SIZE - len(clip)).to_bytes(4) + b"free" + bytes(SIZE - len(clip) - 8))
    asked: list[str] = []

    def cut_once(route: Route) -> None:
        asked.append(route.request.method)
        if asked.count("PATCH") == 1 and asked[-1] == "PATCH":
            route.abort("connectionreset")
        else:
            route.continue_()

    page.route("**/v1/uploads/*", cut_once)
    page.set_input_files("#files", film)
    page.get_by_role("button", name="Classify").click()
    expect(page.locator(".video .status")).to_contain_text("tilt_up")
    assert asked == ["HEAD", "PATCH", "HEAD", "PATCH"]
