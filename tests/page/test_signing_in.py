"""Signing in where keys are asked for by a whole stack: its nginx, its file of keys."""

from __future__ import annotations

from pathlib import Path

import httpx
from playwright.sync_api import Browser, expect

from tests.integration.conftest import wait_until
from tests.integration.test_make_up import another_checkout, host, project
from tests.integration.test_upgrade import reachable
from tests.page import test_page

__all__ = ["project"]  # a fixture

browser, clip = test_page.browser, test_page.clip


def test_the_page_signs_in_with_a_key_of_make_key_until_it_is_withdrawn(
    browser: Browser, project: str, clip: Path
) -> None:
    with another_checkout() as checkout:
        key = host(["host/key", "person"], project, {}, checkout).stdout.strip()
        up = host(["host/up", "--no-build"], project, {"CLIPLANE_REQUIRE_KEY": "true"}, checkout)
        assert up.returncode == 0, up.stderr
        with reachable(project) as base:
            page = browser.new_page()
            page.goto(base)
            expect(page.locator("#notice")).to_contain_text("asks for a key")
            for word, said in (("wrong", "does not accept"), (key, "")):
                page.get_by_label("Key").fill(word)
                page.get_by_role("button", name="Sign in").click()
                expect(page.locator("#notice")).to_contain_text(said)
            expect(page.locator("#model option")).not_to_have_count(0)
            page.set_input_files("#files", clip)
            page.get_by_role("button", name="Classify").click()
            expect(page.locator(".status")).to_contain_text("pan_left")
            (checkout / "keys/keys").write_text("")  # read anew within a second
            question = {"Authorization": f"Bearer {key}"}
            wait_until(lambda: httpx.get(f"{base}/v1/models", headers=question).status_code == 401, what="a refusal")
            page.reload()
            expect(page.locator("#notice")).to_contain_text("does not accept")
            page.close()
