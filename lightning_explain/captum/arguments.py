"""Captum's arguments, brought into one form: what comes as a tensor, a number or a tuple becomes tensors."""

from __future__ import annotations

from typing import Any, TypeAlias

import torch
from torch import Tensor

from lightning_explain.captum.errors import ArgumentError, ArgumentTypeError
from lightning_explain.inputs import Point, is_continuous

Tensors: TypeAlias = Tensor | tuple[Tensor, ...]
Baselines: TypeAlias = Tensor | int | float | tuple[Tensor | int | float, ...] | None


def as_inputs(inputs: Tensors) -> Point:
    """The inputs as a tuple.

    Returns:
        Tensors.

    Raises:
        ArgumentTypeError: If they are something else.
        ArgumentError: If there is none.
    """
    given = inputs if isinstance(inputs, tuple) else (inputs,)
    for held in given:
        if not isinstance(held, Tensor):
            raise ArgumentTypeError(f"Inputs are a tensor or a tuple of tensors, got {_kind(inputs, held)}.")
    if not given:
        raise ArgumentError("There is nothing to explain: inputs is an empty tuple.")
    return given


def has_samples(point: Point) -> bool:
    """Whether there is at least one row.

    Args:
        point: Tensors (n, ...).

    Returns:
        False if none of them has one.
    """
    return any(leaf.ndim == 0 or len(leaf) > 0 for leaf in point)


def require_samples(point: Point, what: str = "inputs") -> None:
    """Refuse an empty batch.

    Args:
        point: Tensors (n, ...).
        what: What they are.

    Raises:
        ArgumentError: If there are no samples.
    """
    if not has_samples(point):
        shapes = ", ".join(str(tuple(leaf.shape)) for leaf in point)
        raise ArgumentError(f"Expected at least one sample, got {what} of shape {shapes}.")


def as_arguments(additional_forward_args: object) -> tuple[Any, ...]:
    """The arguments that follow the inputs.

    Returns:
        What was given, as a tuple; empty for None.
    """
    if additional_forward_args is None:
        return ()
    return additional_forward_args if isinstance(additional_forward_args, tuple) else (additional_forward_args,)


def as_baselines(baselines: Baselines, inputs: Point, *, broadcast: bool = False) -> Point:
    """A baseline for each input, in its shape.

    Args:
        baselines: None (zeros), a number, a tensor of the input's shape or with one sample, or a tuple of these.
        inputs: The inputs (n, ...).
        broadcast: Whether a tensor of any shape will do that broadcasts against the input's.

    Returns:
        Tensors (n, ...), on the inputs' devices, in their own dtype, detached.

    Raises:
        ArgumentTypeError: If a baseline is neither a number nor a tensor.
        ArgumentError: If one does not fit its input.
    """
    given = baselines if isinstance(baselines, tuple) else (baselines,) * (1 if baselines is not None else len(inputs))
    if len(given) != len(inputs):
        raise ArgumentError(f"Expected a baseline for each of {len(inputs)} input(s), got {len(given)}.")
    return tuple(_baseline(i, base, leaf, broadcast) for i, (base, leaf) in enumerate(zip(given, inputs, strict=True)))


def promoted(point: Point, other: Point) -> Point:
    """Tensors in the dtype that holds both their own numbers and those of others: integers beside 0.5 are not cut off.

    Returns:
        Tensors like ``point``; floating point ones keep their dtype.
    """
    return tuple(
        leaf if leaf.is_floating_point() else leaf.to(torch.promote_types(leaf.dtype, held.dtype))
        for leaf, held in zip(point, other, strict=True)
    )


def as_numbers(point: Point) -> Point:
    """Tensors whose integers are floating point numbers.

    Returns:
        Tensors like ``point``.
    """
    return tuple(leaf if is_continuous(leaf) else leaf.to(torch.get_default_dtype()) for leaf in point)


def require_numbers(point: Point) -> None:
    """Refuse integers, for methods of gradients.

    Args:
        point: The inputs.

    Raises:
        ArgumentTypeError: If there are some.
    """
    for number, leaf in enumerate(point):
        if not is_continuous(leaf):
            raise ArgumentTypeError(
                f"Input {number} holds {leaf.dtype} values, for which there is no gradient. If they are numbers, give"
                " them as such, inputs.float(); of ids, explain the layer that turns them into numbers,"
                " LayerIntegratedGradients(model, <embedding>), or use FeatureAblation."
            )


def require_alike(point: Point, like: Point, what: str) -> None:
    """Refuse tensors that are not as many as others, and of their shapes.

    Args:
        point: Tensors.
        like: The others.
        what: What the tensors are, and whose shapes they should have, as the message begins.

    Raises:
        ArgumentError: If two shapes differ.
    """
    shapes = [[tuple(leaf.shape) for leaf in tensors] for tensors in (like, point)]
    if shapes[0] != shapes[1]:
        raise ArgumentError(f"{what}, {shapes[0]}, got {shapes[1]}.")


def as_masks(feature_mask: Tensors | None, inputs: Point) -> Point | None:
    """A feature mask for each input, with as many dimensions.

    Args:
        feature_mask: None, or whole numbers that broadcast against the inputs: a tensor, or one for each input.
        inputs: The inputs (n, ...).

    Returns:
        Masks (1 or n, ...).

    Raises:
        ArgumentTypeError: If one is no tensor of whole numbers.
        ArgumentError: If one does not fit its input.
    """
    if feature_mask is None:
        return None
    given = feature_mask if isinstance(feature_mask, tuple) else (feature_mask,)
    if len(given) != len(inputs):
        raise ArgumentError(f"Expected a feature mask for each of {len(inputs)} input(s), got {len(given)}.")
    return tuple(_mask(i, held, leaf) for i, (held, leaf) in enumerate(zip(given, inputs, strict=True)))


def positions(inputs: Point) -> Point:
    """Feature masks in which every position is a feature, the same in all samples.

    Args:
        inputs: The inputs (n, ...).

    Returns:
        Masks (1, ...), numbered from 0 through all inputs.
    """
    masks, first = [], 0
    for leaf in inputs:
        size = leaf.shape[1:].numel() if leaf.ndim else 1
        numbers = torch.arange(first, first + size, device=leaf.device)
        masks.append(numbers.reshape((1, *leaf.shape[1:]) if leaf.ndim else ()))
        first += size
    return tuple(masks)


def shaped_like(given: object, point: Point) -> Tensors:
    """Attributions in the form of what they are about.

    Args:
        given: The inputs as they were given.
        point: One tensor for each.

    Returns:
        A tuple where ``given`` is one, else the tensor.
    """
    return point if isinstance(given, tuple) else point[0]


def _baseline(number: int, base: object, leaf: Tensor, broadcast: bool) -> Tensor:
    if base is None or isinstance(base, (int, float)):
        value = 0 if base is None else base
        fractional = isinstance(value, float) and not leaf.is_floating_point()
        return torch.full_like(leaf, value, dtype=torch.get_default_dtype() if fractional else leaf.dtype)
    if not isinstance(base, Tensor):
        raise ArgumentTypeError(f"The baseline of input {number} is a number or a tensor, got {type(base).__name__}.")
    if base.ndim == 0:
        base = base.expand(1, *leaf.shape[1:]) if leaf.ndim else base
    if base.shape not in {leaf.shape, (1, *leaf.shape[1:])} and not (broadcast and _broadcasts(base, leaf)):
        raise ArgumentError(
            f"The baseline of input {number} has shape {tuple(base.shape)}; expected {tuple(leaf.shape)}, or"
            f" {(1, *leaf.shape[1:])} for the same one in every sample."
        )
    return base.detach().to(leaf.device).expand_as(leaf)


def _mask(number: int, mask: object, leaf: Tensor) -> Tensor:
    if not isinstance(mask, Tensor):
        raise ArgumentTypeError(f"The feature mask of input {number} is a tensor, got {type(mask).__name__}.")
    if mask.is_complex() or (mask.is_floating_point() and not torch.equal(mask, mask.round())):
        raise ArgumentTypeError(f"The feature mask of input {number} holds integers, got {mask.dtype}.")
    if not _broadcasts(mask, leaf):
        raise ArgumentError(
            f"The feature mask of input {number} has shape {tuple(mask.shape)}, which does not broadcast against"
            f" the input's, {tuple(leaf.shape)}."
        )
    return mask.long().reshape((1,) * (leaf.ndim - mask.ndim) + tuple(mask.shape))


def _broadcasts(tensor: Tensor, leaf: Tensor) -> bool:
    sides = zip(tensor.shape[::-1], leaf.shape[::-1], strict=False)
    return tensor.ndim <= leaf.ndim and all(size in {1, side} for size, side in sides)


def _kind(inputs: object, held: object) -> str:
    if isinstance(inputs, tuple):
        return f"a tuple with {type(held).__name__}"
    return type(inputs).__name__ + (" (make it a tuple)" if isinstance(inputs, list) else "")
