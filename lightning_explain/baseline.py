"""Baselines: the input that stands for "nothing there"."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_explain.inputs import Inputs, Point, is_continuous, leaves, names, rebuild
from lightning_explain.registry import unknown

Baseline: TypeAlias = str | float | Inputs


def zeros(inputs: Tensor) -> Tensor:
    """All zeros.

    Returns:
        A tensor like ``inputs``.
    """
    return torch.zeros_like(inputs)


def mean(inputs: Tensor) -> Tensor:
    """The mean over the samples, for every element of its own; the same for each sample.

    Returns:
        A tensor like ``inputs``.
    """
    return inputs.mean(dim=0, keepdim=True).expand_as(inputs).contiguous()


def blur(inputs: Tensor) -> Tensor:
    """A Gaussian blur of every sample over its last one or two dimensions, edges repeated.

    The standard deviation is a twelfth of the longer blurred side, so that a picture of any
    resolution keeps its colours and loses its shapes.

    Returns:
        A tensor like ``inputs``, of shape (n, channels, [height,] width).

    Raises:
        ValueError: If ``inputs`` has fewer than three dimensions: then nothing is spatial.
    """
    if inputs.ndim < 3:
        raise ValueError(f"The baseline 'blur' needs (n, channels, ..., width); got shape {tuple(inputs.shape)}.")
    dims = (-1,) if inputs.ndim == 3 else (-2, -1)
    sigma = max(inputs.shape[d] for d in dims) / 12
    blurred = inputs
    for dim in dims:
        blurred = _blur_along(blurred, dim, sigma)
    return blurred


def _blur_along(inputs: Tensor, dim: int, sigma: float) -> Tensor:
    radius = max(1, round(3 * sigma))
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = (kernel / kernel.sum()).to(inputs)
    lines = inputs.transpose(dim, -1)
    flat = F.pad(lines.reshape(-1, 1, lines.shape[-1]), (radius, radius), mode="replicate")
    return F.conv1d(flat, kernel.view(1, 1, -1)).reshape(lines.shape).transpose(dim, -1).contiguous()


BASELINES: dict[str, Callable[[Tensor], Tensor]] = {"zeros": zeros, "mean": mean, "blur": blur}


def resolve(baseline: Baseline, inputs: Inputs) -> Inputs:
    """Turn a name, a number or tensors into a baseline that has the shapes of ``inputs``.

    Integer inputs (token ids, flags) stay as they are under a name: nothing says which id is
    "nothing"; give a tensor or a number to choose one.

    Args:
        baseline: ``"zeros"``, ``"mean"``, ``"blur"``, a number, or tensors in the structure of
            ``inputs``, each of the input's shape or with 1 sample.
        inputs: The inputs that it belongs to.

    Returns:
        Tensors in the structure of ``inputs``, on their devices, in their dtypes.

    Raises:
        ValueError: If the name is unknown, or a tensor has another shape.
    """
    point = leaves(inputs)
    if isinstance(baseline, str):
        if baseline not in BASELINES:
            raise ValueError(unknown("baseline", baseline, BASELINES))
        make = BASELINES[baseline]
        return rebuild(inputs, tuple(make(leaf) if is_continuous(leaf) else leaf.clone() for leaf in point))
    if isinstance(baseline, (int, float)):
        return rebuild(inputs, tuple(torch.full_like(leaf, baseline) for leaf in point))
    return rebuild(inputs, _match(baseline, inputs))


def background(baselines: Inputs, inputs: Inputs) -> Inputs:
    """Bring a distribution of baselines to the inputs' structure, devices and dtypes.

    Args:
        baselines: Tensors (K, ...) in the structure of ``inputs``.
        inputs: The inputs (n, ...) that they are baselines of.

    Returns:
        Tensors (K, ...).

    Raises:
        ValueError: If one is missing, or has another shape.
    """
    given = _in_order(baselines, inputs)
    for name, tensor, leaf in zip(names(inputs), given, leaves(inputs), strict=True):
        if tensor.shape[1:] != leaf.shape[1:] or len(tensor) != len(given[0]) or len(tensor) == 0:
            raise ValueError(
                f"The baselines of {name} have shape {tuple(tensor.shape)}; expected (K, "
                f"{', '.join(map(str, leaf.shape[1:]))}), with the same number K of baselines for every input."
            )
    return rebuild(inputs, tuple(tensor.to(leaf).clone() for tensor, leaf in zip(given, leaves(inputs), strict=True)))


def _in_order(baseline: Inputs, inputs: Inputs) -> Point:
    if isinstance(baseline, Mapping) and isinstance(inputs, Mapping):
        missing = [name for name in names(inputs) if name not in baseline]
        if missing:
            raise ValueError(f"The baseline lacks {missing}; the inputs are {list(names(inputs))}.")
        given: Point = tuple(baseline[name] for name in inputs)
    else:
        given = leaves(baseline)
    if len(given) != len(leaves(inputs)):
        raise ValueError(f"Expected a baseline for each of the {len(leaves(inputs))} inputs, got {len(given)}.")
    return given


def _match(baseline: Inputs, inputs: Inputs) -> Point:
    point, given = leaves(inputs), _in_order(baseline, inputs)
    for name, tensor, leaf in zip(names(inputs), given, point, strict=True):
        if tensor.shape not in {leaf.shape, (1, *leaf.shape[1:])}:
            raise ValueError(
                f"The baseline of {name} has shape {tuple(tensor.shape)}; expected {tuple(leaf.shape)},"
                f" or {(1, *leaf.shape[1:])} for the same one in every sample."
            )
    return tuple(tensor.to(leaf).expand_as(leaf).clone() for tensor, leaf in zip(given, point, strict=True))
