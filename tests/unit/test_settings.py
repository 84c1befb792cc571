"""Settings: their defaults, and the variable that a wrong one names."""

from __future__ import annotations

import pytest
from cliplane.settings import CLIENT_S_OWN, Settings, SettingsError, read_settings
from cliplane_client.address import BASE_VARIABLE, KEY_VARIABLE


def test_settings_have_defaults_and_are_read() -> None:
    assert read_settings({}) == Settings()
    assert read_settings({"CLIPLANE_LANES": "3", "CLIPLANE_SHARED_MEMORY": "false", "PATH": "/"}).lanes == 3
    assert read_settings({"CLIPLANE_LANES": ""}) == Settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CLIPLANE_LANEZ", "1"),
        ("CLIPLANE_LANES", "-1"),
        ("CLIPLANE_LANES", "two"),
        ("CLIPLANE_REQUEST_TIMEOUT_S", "nan"),
        ("CLIPLANE_REQUEST_TIMEOUT_S", "inf"),
        ("CLIPLANE_SHARED_MEMORY", "maybe"),
        ("CLIPLANE_LOG_LEVEL", "loud"),
        ("CLIPLANE_READER", "vlc"),
        ("CLIPLANE_CONTAINERS", "mp4,m3u8"),
        ("CLIPLANE_INFER_TIMEOUT_S", "600"),
        ("CLIPLANE_PATH_PREFIX", "video"),
        ("CLIPLANE_PATH_PREFIX", "/video/"),
        ("CLIPLANE_PATH_PREFIX", "/a;b"),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        read_settings({name: value})


def test_the_client_s_variables_do_not_stop_the_boot() -> None:
    assert {BASE_VARIABLE, KEY_VARIABLE} == CLIENT_S_OWN
    assert read_settings(dict.fromkeys(CLIENT_S_OWN, "https://video.example")) == Settings()
