"""What is read from a model's config.pbtxt, and the few lines that are changed in it. Texts in, texts out."""

from __future__ import annotations

import re

from cliplane.policy.sampling import Sampling
from cliplane.triton.model_spec import read_sampling

PARAMETERS = ("temporal_stride", "short_side", "clips", "crops", "frame_rate", "fit", "mode", "pixels")


class NotOurs(Exception):
    """The config has not the form that `make model` writes."""


def sampling(text: str) -> Sampling:
    """How the model wants its videos cut.

    Raises:
        NotOurs: something is missing, or is none of the values it can have.
    """
    dims = _numbers(text, r"input\s*\[.*?dims:\s*\[\s*(\d+),\s*(\d+),\s*(\d+),\s*(\d+)")
    if dims[1] != dims[2]:
        raise NotOurs(f"its crop is {dims[1]} × {dims[2]}, not a square")
    said = {key: value for key in PARAMETERS if (value := parameter(text, key)) is not None}
    try:
        return read_sampling(said, dims)
    except KeyError as exc:
        raise NotOurs(f"it has no parameter {exc.args[0]}") from exc
    except ValueError as exc:
        raise NotOurs(str(exc)) from exc


def classes(text: str) -> int:
    """How many classes the output has.

    Raises:
        NotOurs: it has not one dimension.
    """
    return _numbers(text, r"output\s*\[.*?dims:\s*\[\s*(\d+)\s*\]")[0]


def _numbers(text: str, pattern: str) -> tuple[int, ...]:
    found = re.search(pattern, text, re.DOTALL)
    if not found:
        raise NotOurs(f"its config.pbtxt does not match {pattern}")
    return tuple(map(int, found.groups()))


def parameter(text: str, key: str) -> str | None:
    """The value of one of `parameters`."""
    found = re.search(rf'key:\s*"{key}"\s*value:?\s*{{\s*string_value:\s*"([^"]*)"', text)
    return found.group(1) if found else None


def with_parameter(text: str, key: str, value: str) -> str:
    """The text with one of `parameters` set."""
    if parameter(text, key) is not None:
        return re.sub(rf'(key:\s*"{key}"\s*value:?\s*{{\s*string_value:\s*)"[^"]*"', rf'\g<1>"{value}"', text)
    line = f'  {{ key: "{key}" value {{ string_value: "{value}" }} }}'
    changed, count = re.subn(r"(parameters\s*\[.*?\}\s*\})\s*\n\]", rf"\g<1>,\n{line}\n]", text, flags=re.DOTALL)
    if count != 1:
        raise NotOurs("its parameters are not one list")
    return changed


def with_model_file(text: str, file: str | None) -> str:
    """The text with `default_model_filename` set, or without it."""
    text = re.sub(r"default_model_filename:.*\n", "", text)
    return (
        text if file is None else re.sub(r"(backend:.*\n)", rf'\g<1>default_model_filename: "{file}"\n', text, count=1)
    )


def with_tensorrt(text: str, *, is_wanted: bool) -> str:
    """The text with ONNX Runtime's TensorRT asked for, or without it."""
    text = re.sub(r"optimization .*\n", "", text)
    asked = 'optimization { execution_accelerators { gpu_execution_accelerator [ { name: "tensorrt" } ] } }\n'
    return text + asked if is_wanted else text
