"""Whether the spool has room."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cliplane.errors import ClientGone, SpoolFilling
from cliplane.intake.spool import budget_bytes, check_room, open_upload, whole_uploads
from cliplane.settings import Settings, SettingsError, read_settings


def test_an_upload_of_each_lane_must_have_room(tmp_path: Path) -> None:
    settings = Settings(lanes=2, max_upload_bytes=1000, spool_bytes=5000)
    check_room(settings, 3000, tmp_path)
    with pytest.raises(SpoolFilling, match="1999 bytes are left; an upload of each lane needs 2000"):
        check_room(settings, 3001, tmp_path)


def test_so_must_it_on_the_disk(tmp_path: Path) -> None:
    disk = os.statvfs(tmp_path)
    free = disk.f_bavail * disk.f_frsize
    with pytest.raises(SpoolFilling):
        check_room(Settings(lanes=2, max_upload_bytes=free, spool_bytes=10 * free), 0, tmp_path)


def test_the_budget_is_a_part_of_what_is_free_and_of_what_will_be(tmp_path: Path) -> None:
    disk = os.statvfs(tmp_path)
    assert 0 < budget_bytes(tmp_path) <= disk.f_blocks * disk.f_frsize


def test_only_whole_uploads_are_counted(tmp_path: Path) -> None:
    (tmp_path / "whole").touch(0o640)
    (tmp_path / "under way").touch(0o600)
    (tmp_path / "beside").mkdir()
    assert whole_uploads(tmp_path) == 1


def test_a_budget_that_has_no_room_for_the_lanes_is_refused_with_the_one_that_has() -> None:
    with pytest.raises(SettingsError, match="CLIPLANE_SPOOL_BYTES=1000: must be 0, or at least 1073741824"):
        read_settings({"CLIPLANE_LANES": "2", "CLIPLANE_SPOOL_BYTES": "1000"})


def test_a_body_that_nginx_has_taken_away_means_that_its_client_has_left(tmp_path: Path) -> None:
    with pytest.raises(ClientGone):
        open_upload(str(tmp_path / "gone"))
