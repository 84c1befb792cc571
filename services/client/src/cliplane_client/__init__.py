"""A Cliplane server from Python: `Client` and `AsyncClient`, their results and their errors.

Here are the errors' families; `cliplane_client.errors` has one for each problem type.
"""

from cliplane_client.bodies import Digest, ServerPath, digest
from cliplane_client.client import AsyncClient, Client
from cliplane_client.errors import (
    Busy,
    CannotConnect,
    ClientError,
    Failed,
    InvalidAddress,
    InvalidCertificates,
    InvalidHeader,
    InvalidResponse,
    NoAnswer,
    NotReady,
    Problem,
    Refused,
    TimedOut,
)
from cliplane_client.jobs import Job, Jobs, Later
from cliplane_client.responses import Event
from cliplane_client.results import (
    Comparison,
    FileWarning,
    Health,
    Model,
    ModelResult,
    Orientation,
    Prediction,
    Result,
    Sampling,
    Video,
    View,
)
from cliplane_client.segments import Segment, Segments, Window
from cliplane_client.shrinking import Shrinking, shrink

__all__ = [
    "AsyncClient",
    "Busy",
    "CannotConnect",
    "Client",
    "ClientError",
    "Comparison",
    "Digest",
    "Event",
    "Failed",
    "FileWarning",
    "Health",
    "InvalidAddress",
    "InvalidCertificates",
    "InvalidHeader",
    "InvalidResponse",
    "Job",
    "Jobs",
    "Later",
    "Model",
    "ModelResult",
    "NoAnswer",
    "NotReady",
    "Orientation",
    "Prediction",
    "Problem",
    "Refused",
    "Result",
    "Sampling",
    "Segment",
    "Segments",
    "ServerPath",
    "Shrinking",
    "TimedOut",
    "Video",
    "View",
    "Window",
    "digest",
    "shrink",
]
