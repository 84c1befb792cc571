"""What Triton answers, in our words: outputs as arrays, errors as ours. Its texts go to the log, never to a client."""

from __future__ import annotations

from typing import Any, NoReturn

import grpc
import numpy as np
import numpy.typing as npt
from tritonclient.utils import InferenceServerException

from cliplane.errors import CliplaneError, InferenceFailed, NotReady, RegionLost, TritonUnavailable, UnknownModel

Probabilities = npt.NDArray[np.float32]  # (views, classes)

UNREACHABLE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)


def inferred(
    result: Any, error: InferenceServerException | None, output_name: str, shape: tuple[int, int]
) -> tuple[Probabilities | None, str, CliplaneError | None]:
    """An answer as `OnInferred` takes it."""
    if error is not None:
        ours = translated(error)
        if isinstance(ours, UnknownModel):  # it was there a moment ago
            ours = NotReady("the model was unloaded, or the inference server restarts")
        return None, "", ours
    try:
        return output_of(result, output_name, shape), result.get_response().model_version, None
    except InferenceFailed as nonsense:
        return None, "", nonsense


def output_of(result: Any, name: str, shape: tuple[int, int]) -> npt.NDArray[Any]:
    """An output of an answer.

    Raises:
        InferenceFailed: it has not this shape, (views, classes), or not as many bytes.
    """
    try:
        output: npt.NDArray[Any] | None = result.as_numpy(name)
    except ValueError:
        output = None
    if output is None or output.shape != shape:
        raise InferenceFailed("the model's output is not (views, classes)")
    return output


def grpc_code(exc: InferenceServerException) -> grpc.StatusCode | None:
    """tritonclient keeps the code only as the text "StatusCode.NAME"."""
    return getattr(grpc.StatusCode, str(exc.status()).removeprefix("StatusCode."), None)


def translated(exc: InferenceServerException) -> CliplaneError:
    """Our error for one of Triton's. The text of the latter goes to the log by `__cause__`, never to a client."""
    code, message = grpc_code(exc), exc.message() or ""
    error: CliplaneError
    if "shared memory region" in message:
        error = RegionLost()
    elif code is grpc.StatusCode.NOT_FOUND or "unknown model" in message:  # while it is unloaded: UNAVAILABLE
        error = UnknownModel()
    elif code in UNREACHABLE:
        error = TritonUnavailable()
    else:
        error = InferenceFailed()
    error.__cause__ = exc
    return error


def translate(exc: InferenceServerException) -> NoReturn:
    raise translated(exc)
