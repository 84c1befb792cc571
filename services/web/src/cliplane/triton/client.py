"""The gRPC adapter to Triton: a model's spec, regions, inference.

Makes its client when it is made itself: in the worker, after the fork, never before it.
"""

from __future__ import annotations

import contextlib
import queue
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NoReturn

import numpy as np
from tritonclient import grpc as triton_grpc
from tritonclient.utils import InferenceServerException

from cliplane.errors import (
    CliplaneError,
    NotAVideoModel,
    NotReady,
    SharedMemoryForbidden,
    SharedMemoryNotShared,
    TritonUnavailable,
    UnknownModel,
)
from cliplane.triton.model_config import read_spec
from cliplane.triton.model_spec import ModelSpec
from cliplane.triton.region import TRITON_MARKER, Region
from cliplane.triton.responses import UNREACHABLE, Probabilities, grpc_code, inferred, output_of, translate, translated
from cliplane.triton.under_way import CallsUnderWay

SPEC_MAX_AGE_S = 2.0
"""How long a model's spec is believed before Triton is asked again: it polls its repository as often."""

CONTROL_TIMEOUT_S = 5.0
"""Of what is no inference: Triton answers it at once, or not at all."""

LABELS_TIMEOUT_S = 60.0

SETTLE_S = 2.0

OnInferred = Callable[["Probabilities | None", "str", "CliplaneError | None"], None]


class Triton:
    """One gRPC channel to Triton, for one process."""

    def __init__(self, address: str) -> None:
        # Reconnect soon: after a restart of Triton the default back-off would answer 503 for two minutes. What gRPC
        # calls the least back-off is the time that one attempt has: on a busy host a shake of hands takes more than an
        # instant.
        options = [
            ("grpc.enable_http_proxy", 0),  # a Docker client's settings put http_proxy into containers
            ("grpc.max_send_message_length", -1),
            ("grpc.max_receive_message_length", -1),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 2000),
            ("grpc.max_reconnect_backoff_ms", 500),
        ]
        self._client = triton_grpc.InferenceServerClient(address, channel_args=options)
        self._under_way = CallsUnderWay()
        self._specs: dict[str, tuple[float, str, ModelSpec]] = {}

    def server_version(self) -> str:
        """Triton's own version.

        Raises:
            TritonUnavailable: it does not answer.
        """
        try:
            return str(self._client.get_server_metadata(client_timeout=CONTROL_TIMEOUT_S).version)
        except InferenceServerException as exc:
            translate(exc)

    def statistics(self) -> list[Any]:
        """Of each version of each model, `ModelStatistics` of Triton's gRPC protocol.

        Raises:
            TritonUnavailable: it does not answer.
        """
        try:
            return list(self._client.get_inference_statistics(client_timeout=CONTROL_TIMEOUT_S).model_stats)
        except InferenceServerException as exc:
            if grpc_code(exc) in UNREACHABLE:
                translate(exc)
            return []  # it has no model

    def is_live(self, within_s: float) -> bool:
        """Whether Triton says so in this time."""
        try:
            return bool(self._client.is_server_live(client_timeout=within_s))
        except InferenceServerException:
            return False

    def models(self) -> list[ModelSpec]:
        """The models that are ready and take video, by name.

        Raises:
            TritonUnavailable: Triton does not answer.
        """
        specs = []
        for name in sorted({model.name for model in self._index() if model.state == "READY"}):
            with contextlib.suppress(UnknownModel, NotAVideoModel):  # it may have gone in between
                specs.append(self.spec(name))
        return specs

    def knows(self, name: str) -> bool:
        """Whether Triton has ever described a model of that name to this process."""
        return name in self._specs

    def spec(self, name: str) -> ModelSpec:
        """The spec of the newest ready version of a model, at most `SPEC_MAX_AGE_S` old.

        Raises:
            UnknownModel: the repository has none of that name.
            NotReady: it has, but the model is not loaded (NotAVideoModel: it does not take video).
            TritonUnavailable: Triton does not answer.
        """
        read_at, fingerprint, spec = self._specs.get(name, (0.0, "", None))
        if spec is not None and time.monotonic() - read_at < SPEC_MAX_AGE_S:
            return spec
        try:
            if not self._client.is_model_ready(name, client_timeout=CONTROL_TIMEOUT_S):
                self._raise_not_ready(name)
            metadata = self._client.get_model_metadata(name, client_timeout=CONTROL_TIMEOUT_S)
            config = self._client.get_model_config(name, client_timeout=CONTROL_TIMEOUT_S).config
            version = max(metadata.versions, key=int)
            seen = version + config.SerializeToString(deterministic=True).hex()
            if spec is None or seen != fingerprint:
                spec = read_spec(name, version, config)
                spec = replace(spec, labels=self._labels(name, config.input[0], config.output[0]))
        except InferenceServerException as exc:
            error = translated(exc)
            if isinstance(error, UnknownModel):
                self._raise_not_ready(name)
            raise error from exc
        self._specs[name] = (time.monotonic(), seen, spec)
        return spec

    def _raise_not_ready(self, name: str) -> NoReturn:
        """The repository's index says whether there is such a model; a server that starts or ends unloads all."""
        if any(model.name == name for model in self._index()):
            raise NotReady(f"model {name!r} is not loaded")
        raise UnknownModel(f"model {name!r} is not in the repository")

    def _index(self) -> list[Any]:
        """What the repository holds, loaded or not: a `ModelIndex` of Triton's gRPC protocol each."""
        try:
            return list(self._client.get_model_repository_index(client_timeout=CONTROL_TIMEOUT_S).models)
        except InferenceServerException as exc:
            translate(exc)

    def _labels(self, name: str, input_: Any, output: Any) -> tuple[str, ...]:
        """The labels by class index, from Triton's classification extension: it alone reads `labels.txt`, and it
        answers an inference with "score:index:label", the best first. So one view of zeros is classified."""
        (class_count,) = output.dims
        frames = triton_grpc.InferInput(input_.name, [1, *input_.dims], "UINT8")
        frames.set_data_from_numpy(np.zeros((1, *input_.dims), np.uint8))
        wanted = triton_grpc.InferRequestedOutput(output.name, class_count=class_count)
        responses: queue.SimpleQueue[tuple[Any, InferenceServerException | None]] = queue.SimpleQueue()

        def on_response(result: Any, error: InferenceServerException | None) -> None:
            responses.put((result, error))

        self._client.async_infer(name, [frames], on_response, outputs=[wanted])
        try:
            result, error = responses.get(timeout=LABELS_TIMEOUT_S)
        except queue.Empty:
            raise TritonUnavailable(f"model {name!r} does not answer") from None
        if error is not None:
            raise error
        labels = [str(index) for index in range(class_count)]
        for entry in output_of(result, output.name, (1, class_count))[0]:
            _, index, *label = entry.decode().split(":", 2)
            if label:
                labels[int(index)] = label[0]
        return tuple(labels)

    def register(self, region: Region) -> None:
        """Make Triton map a region, afresh: an old registration of the name would keep the old memory.

        Raises:
            HandoffError: Triton cannot map it, and which of the reasons it is.
            TritonUnavailable: Triton does not answer.
        """
        assert region.name is not None
        try:
            self.unregister(region)
            self._client.register_system_shared_memory(
                region.name, f"/{region.name}", region.byte_size, client_timeout=CONTROL_TIMEOUT_S
            )
        except InferenceServerException as exc:
            if grpc_code(exc) in UNREACHABLE:
                translate(exc)
            if not TRITON_MARKER.exists():
                raise SharedMemoryNotShared("Triton's marker is not in this /dev/shm") from exc
            raise SharedMemoryForbidden("Triton sees this /dev/shm and may not open the region: uid and gid") from exc

    def unregister(self, region: Region) -> bool:
        """Make Triton unmap a region; False if it refuses, since an inference has it. One it does not know is no error;
        nor is a Triton that does not answer: if it lives, the janitor finds the region without an owner."""
        return self.unregister_name(region.name or "")

    def unregister_name(self, name: str) -> bool:
        """`unregister`, for a region of somebody else."""
        try:
            self._client.unregister_system_shared_memory(name, client_timeout=CONTROL_TIMEOUT_S)
        except InferenceServerException as exc:
            return "in use" not in (exc.message() or "")
        return True

    def registered(self) -> list[str]:
        """The names of all regions that Triton has mapped, whoever made them.

        Raises:
            TritonUnavailable: it does not answer.
        """
        try:
            return sorted(self._client.get_system_shared_memory_status(client_timeout=CONTROL_TIMEOUT_S).regions)
        except InferenceServerException as exc:
            translate(exc)

    def infer(
        self,
        spec: ModelSpec,
        region: Region,
        offset: int,
        views: int,
        *,
        shared: bool,
        request_id: str,
        on_inferred: OnInferred,
        traceparent: str = "",
    ) -> None:
        """Start the inference of `views` views of a region, from `offset` bytes on; `on_inferred` is called on a thread
        of gRPC's with (views, classes) float32 and the version that answered, or with an error.

        It is never cancelled, and has no deadline, for that is a cancellation too: Triton dies of them (ADR 11). Who
        waits no longer ends the region's turn, and drops the answer. A payload is inferred to its end.

        Args:
            shared: hand over the region's name and the offset; else copy the frames into the message.
            traceparent: W3C's, of the step that asks; sent as metadata of the call.

        Raises:
            TritonUnavailable: too many earlier calls have not ended.
        """
        sampling = spec.sampling
        shape = (views, sampling.clip_length, sampling.crop_height, sampling.crop_width, 3)
        byte_size = views * sampling.view_bytes
        frames = triton_grpc.InferInput(spec.input_name, shape, "UINT8")
        parameters: dict[str, str | int] = {}
        if shared:
            frames.set_shared_memory(region.name, byte_size, offset)
            parameters = {"cliplane_region": region.name or "", "cliplane_turn": region.turn}
        call = self._under_way.begin(0 if shared else byte_size)
        if not shared:
            frames.set_data_from_numpy(np.frombuffer(region.view(offset, byte_size), np.uint8).reshape(shape))

        def on_response(result: Any, error: InferenceServerException | None) -> None:
            try:
                on_inferred(*inferred(result, error, spec.output_name, (views, len(spec.labels))))
            finally:
                self._under_way.end(call)  # only now: the lane may be closed when none is under way

        self._client.async_infer(
            spec.name,
            [frames],
            on_response,
            outputs=[triton_grpc.InferRequestedOutput(spec.output_name)],
            request_id=request_id,
            parameters=parameters,
            headers={"traceparent": traceparent} if traceparent else None,
        )

    def settle(self) -> bool:
        """Give the calls that are under way a moment to end; False if they do not."""
        return self._under_way.wait(SETTLE_S)

    def close(self) -> None:
        self.settle()  # closing the channel cancels them
        self._client.close()
