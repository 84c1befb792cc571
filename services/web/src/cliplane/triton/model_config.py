"""A model's configuration, as Triton's protocol has it, read as its spec."""

from __future__ import annotations

from tritonclient.grpc import model_config_pb2

from cliplane.errors import NotAVideoModel
from cliplane.triton.model_spec import (
    ModelSpec,
    read_is_multi_label,
    read_label_descriptions,
    read_measured,
    read_sampling,
    read_thresholds,
)


def read_spec(name: str, version: str, config: model_config_pb2.ModelConfig) -> ModelSpec:
    """All but the labels, which the configuration has not.

    Raises:
        NotAVideoModel: the model takes no video.
    """
    parameters = {key: value.string_value for key, value in config.parameters.items()}
    try:
        if config.input[0].data_type != model_config_pb2.TYPE_UINT8:
            raise ValueError("its input is not UINT8 (T, H, W, 3)")
        (class_count,) = config.output[0].dims
        return ModelSpec(
            name=name,
            version=version,
            description=parameters.get("description", ""),
            input_name=config.input[0].name,
            output_name=config.output[0].name,
            max_batch_size=max(config.max_batch_size, 1),
            sampling=read_sampling(parameters, config.input[0].dims),
            labels=(),
            label_descriptions=read_label_descriptions(parameters),
            is_multi_label=read_is_multi_label(parameters),
            thresholds=read_thresholds(parameters, class_count),
            measured=read_measured(parameters),
        )
    except (KeyError, ValueError, IndexError) as exc:
        raise NotAVideoModel(f"model {name!r}: {exc}") from exc
