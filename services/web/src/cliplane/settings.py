"""What an operator can set: one frozen dataclass, read once from `CLIPLANE_*`, checked at boot.

Pure: no I/O but the mapping it is given. A wrong value or an unknown name raises `SettingsError`, which
names the variable, so a typing error stops the boot instead of being ignored.
"""

from __future__ import annotations

import dataclasses
import os
import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from cliplane.decoder.media import CODECS, CONTAINERS, Limits

PREFIX = "CLIPLANE_"

CLIENT_S_OWN = frozenset({"CLIPLANE_BASE", "CLIPLANE_KEY"})
"""The client's variables, which may stand in the same shell or file."""

MIB = 1024 * 1024

GRACEFUL_MARGIN_S = 5
"""gunicorn and nginx wait so much longer for a lane than a request may take."""

_HOST = re.compile(r"\*|(\*\.)?[A-Za-z0-9.-]+")

WEBHOOK_HOST = re.compile(
    r"(?P<host>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(:(?P<port>[1-9][0-9]{0,4}))?(?P<private>/private)?"
)
"""An entry of `webhook_hosts`."""
_NETWORK = re.compile(r"[0-9A-Fa-f.:]+(/[0-9]{1,3})?")
_PREFIX = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*")
_ORIGIN = re.compile(r"\*|https?://[A-Za-z0-9.-]+(:[0-9]+)?")


class SettingsError(ValueError):
    """A `CLIPLANE_*` variable is unknown or its value is out of range."""


def _setting(default: object, doc: str, *, low: float | None = None, high: float | None = None) -> typing.Any:
    return field(default=default, metadata={"doc": doc, "low": low, "high": high})


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting of the web container; `CLIPLANE_` + the upper-case field name is its variable."""

    lanes: int = _setting(0, "requests classified at once, a process each; 0: as CPUs and memory allow", low=0, high=64)
    queue: int = _setting(16, "requests that may wait for a lane; more get 503 at once", low=1, high=4096)
    default_model: str = _setting("camera_motion", "model that answers when a request names none")
    max_upload_bytes: int = _setting(512 * MIB, "largest request body; more gets 413", low=1024)
    request_timeout_s: float = _setting(60.0, "time a lane has for one request; then 504", low=1, high=3600)
    infer_timeout_s: float = _setting(30.0, "time Triton has for one inference; then 504", low=0.1, high=3600)
    region_bytes: int = _setting(64 * MIB, "shared memory of one lane, all views of a request", low=4096)
    max_views: int = _setting(30, "most views a request may ask for; more gets 400", low=1, high=1000)
    max_pixels: int = _setting(4096 * 2304, "largest frame, width x height; more gets 422", low=1)
    max_duration_s: float = _setting(7200.0, "longest video; more gets 422", low=0.1)
    max_frames: int = _setting(1_000_000, "most frames of a video; more gets 422", low=1)
    max_streams: int = _setting(16, "most video streams in a file; more gets 422", low=1)
    max_damage: float = _setting(
        0.5, "part of the frames that views need that may be lost to damage; more gets 422", low=0, high=1
    )
    containers: str = _setting(",".join(CONTAINERS), "containers that may reach a demuxer, of these; another gets 415")
    codecs: str = _setting(",".join(CODECS), "video formats that may be decoded, of these; another gets 422")
    reader: Literal["pyav", "decord"] = _setting("pyav", "what reads the frames: pyav or decord")
    decoder_threads: int = _setting(
        0, "decoder threads; 0: available CPUs / current requests, at most 4", low=0, high=64
    )
    decoder_memory_bytes: int = _setting(2048 * MIB, "address space of one decoder", low=256 * MIB)
    decoder_max_videos: int = _setting(500, "a decoder is replaced after this many videos", low=1)
    triton_grpc: str = _setting(
        "unix:/run/triton/grpc.sock:8001", "Triton's gRPC service: unix:PATH; host:port opens TCP to the lanes"
    )
    shared_memory: bool = _setting(True, "hand frames over in shared memory; false: in the gRPC message")
    spool_bytes: int = _setting(0, "space for uploads, promised ones too; more get 507; 0: 0.8 of what is free", low=0)
    uploads: int = _setting(256, "uploads under way at once; more get 503", low=1, high=2000)
    client_uploads: int = _setting(128, "requests of one address at once; more get 429", low=1, high=2000)
    client_rate: int = _setting(0, "requests of one address a second; more get 429; 0: no limit", low=0, high=100_000)
    upload_timeout_s: float = _setting(1800.0, "longest time of an upload; then 408", low=1, high=86400)
    upload_stall_s: float = _setting(
        30.0, "an upload that brings less than 1 KiB a second for so long gets 408", low=1, high=3600
    )
    otlp_grpc: str = _setting("", "OpenTelemetry collector that gets traces, unix:PATH; empty: no traces")
    require_key: bool = _setting(False, "classifying needs a key of keys/keys (make key NAME=…); without: 401")
    max_jobs: int = _setting(1000, "jobs of one key that have not ended; more get 429", low=1, high=1_000_000)
    job_timeout_s: float = _setting(14400.0, "time a job has, waits for requests included", low=1, high=7 * 86400)
    jobs_keep_s: float = _setting(86400.0, "how long a job's answer is kept after its end", low=60, high=90 * 86400)
    jobs_min_free_bytes: int = _setting(1024 * MIB, "free space that jobs leave on their volume; then 507", low=0)
    webhook_hosts: str = _setting(
        "", "hosts that webhooks may be sent to: hooks.example.com, or hooks.lan:8000/private in a network of yours"
    )
    trusted_proxies: str = _setting("", "addresses or networks whose X-Forwarded-For names the client")
    allowed_hosts: str = _setting(
        "", "hosts this stack answers as, beside addresses and names without a dot (*: any); another gets 421"
    )
    cors_origins: str = _setting("", "origins whose pages may ask and read, e.g. https://app.example.com (*: any)")
    path_prefix: str = _setting("", "answer below this path too, e.g. /video: for a gateway that does not take it away")
    log_level: str = _setting("info", "debug, info, warning or error")

    @property
    def triton_is_here(self) -> bool:
        """Whether Triton is reached without a network, so that nothing here needs one."""
        return self.triton_grpc.startswith("unix:")

    def decoder_limits(self) -> Limits:
        """What the decoder holds a video to."""
        return Limits(
            max_pixels=self.max_pixels,
            max_duration_s=self.max_duration_s,
            max_frames=self.max_frames,
            max_streams=self.max_streams,
            max_damage=self.max_damage,
            codecs=self.codecs,
        )

    def variables(self) -> dict[str, str]:
        """The effective values by the names of their variables."""
        return {variable_name(f.name): str(getattr(self, f.name)) for f in dataclasses.fields(self)}


def variable_name(field_name: str) -> str:
    """The environment variable of a field: `lanes` → `CLIPLANE_LANES`."""
    return PREFIX + field_name.upper()


def read_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Settings from `environ`.

    Raises:
        SettingsError: naming the first unknown variable, or the variable and the value that is wrong.
    """
    types = typing.get_type_hints(Settings)
    fields = {variable_name(f.name): f for f in dataclasses.fields(Settings)}
    values: dict[str, object] = {}
    for variable, text in environ.items():
        if not variable.startswith(PREFIX) or variable in CLIENT_S_OWN:
            continue
        if variable not in fields:
            raise SettingsError(f"{variable}: there is no such setting")
        # Compose hands on `${CLIPLANE_LANES:-}` as an empty string: that means "not set".
        if text.strip():
            values[fields[variable].name] = _parse(
                variable, text.strip(), types[fields[variable].name], fields[variable]
            )
    settings = Settings(**values)  # type: ignore[arg-type]
    if settings.log_level not in ("debug", "info", "warning", "error"):
        raise SettingsError(f"CLIPLANE_LOG_LEVEL={settings.log_level!r}: debug, info, warning or error")
    for variable, listed, known in (
        ("CLIPLANE_CONTAINERS", settings.containers, CONTAINERS),
        ("CLIPLANE_CODECS", settings.codecs, CODECS),
    ):
        for name in listed.split(","):
            if name not in known:
                raise SettingsError(f"{variable}: {name!r} is none of {', '.join(known)}")
    for setting, form in (
        ("allowed_hosts", _HOST),
        ("cors_origins", _ORIGIN),
        ("trusted_proxies", _NETWORK),
        ("webhook_hosts", WEBHOOK_HOST),
    ):
        for name in filter(None, map(str.strip, getattr(settings, setting).split(","))):
            if not form.fullmatch(name):
                raise SettingsError(f"{variable_name(setting)}: {name!r} is not of the form {form.pattern}")
    if not _PREFIX.fullmatch(settings.path_prefix):
        raise SettingsError(
            f"{variable_name('path_prefix')}={settings.path_prefix!r}: a path such as /video, without a / at its end"
        )
    if settings.otlp_grpc and not settings.otlp_grpc.startswith("unix:/"):
        raise SettingsError(
            f"{variable_name('otlp_grpc')}={settings.otlp_grpc!r}: unix:PATH; a lane can reach no network"
        )
    min_bytes = max(settings.lanes, 1) * settings.max_upload_bytes
    if 0 < settings.spool_bytes < min_bytes:
        raise SettingsError(
            f"CLIPLANE_SPOOL_BYTES={settings.spool_bytes}: must be 0, or at least {min_bytes}: an upload of each lane"
        )
    if settings.infer_timeout_s > settings.request_timeout_s:
        raise SettingsError(
            f"CLIPLANE_INFER_TIMEOUT_S={settings.infer_timeout_s}: longer than CLIPLANE_REQUEST_TIMEOUT_S"
        )
    return settings


def _parse(variable: str, text: str, kind: type, spec: dataclasses.Field[typing.Any]) -> object:
    if kind is bool:
        if text.lower() in ("1", "true", "yes", "on"):
            return True
        if text.lower() in ("0", "false", "no", "off"):
            return False
        raise SettingsError(f"{variable}={text!r}: true or false")
    if kind is str:
        return text
    if choices := typing.get_args(kind):
        if text not in choices:
            raise SettingsError(f"{variable}={text!r}: {' or '.join(choices)}")
        return text
    try:
        number = kind(text)
    except ValueError:
        raise SettingsError(f"{variable}={text!r}: not {'a whole number' if kind is int else 'a number'}") from None
    low, high = spec.metadata["low"], spec.metadata["high"]
    # `not >=` and not `<`: NaN compares false with everything, and must be refused.
    if (low is not None and not number >= low) or (high is not None and not number <= high):
        bounds = f"at least {low}" if high is None else f"from {low} to {high}"
        raise SettingsError(f"{variable}={text!r}: must be {bounds}")
    return number
