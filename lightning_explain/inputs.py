"""Model inputs: a tensor, a tuple of tensors, or a dict of tensors, all with the batch first."""

from collections.abc import Mapping
from typing import TypeAlias

import torch
from torch import Tensor

Inputs: TypeAlias = Tensor | tuple[Tensor, ...] | Mapping[str, Tensor]
Point: TypeAlias = tuple[Tensor, ...]


def leaves(inputs: Inputs) -> Point:
    """The tensors of ``inputs``, in order.

    Returns:
        A tuple with one tensor for each input.

    Raises:
        TypeError: If ``inputs``, or something in it, is not a tensor.
    """
    if isinstance(inputs, Tensor):
        return (inputs,)
    found = tuple(inputs.values()) if isinstance(inputs, Mapping) else inputs
    wrong = "" if isinstance(found, tuple) else type(inputs).__name__
    if not wrong and not all(isinstance(leaf, Tensor) for leaf in found):
        held = zip(names(inputs), found, strict=True)
        first = next(f"{type(leaf).__name__} for {name}" for name, leaf in held if not isinstance(leaf, Tensor))
        wrong = f"{type(inputs).__name__} with {first}"
    if wrong:
        raise TypeError(f"Inputs must be a tensor, a tuple of tensors or a dict of tensors, got {wrong}.")
    return found


def rebuild(inputs: Inputs, point: Point) -> Inputs:
    """Put the tensors ``point`` into the structure of ``inputs``.

    Returns:
        What ``inputs`` is, a tensor, a tuple or a dict, holding the tensors of ``point``.
    """
    if isinstance(inputs, Tensor):
        return point[0]
    if isinstance(inputs, Mapping):
        return dict(zip(inputs, point, strict=True))
    return point


def names(inputs: Inputs) -> tuple[str, ...]:
    """How the inputs are called in messages and captions: ``input``, ``input[0]`` or the key.

    Returns:
        One name for each tensor.
    """
    if isinstance(inputs, Tensor):
        return ("input",)
    if isinstance(inputs, Mapping):
        return tuple(str(key) for key in inputs)
    return tuple(f"input[{i}]" for i in range(len(inputs)))


def batch_size(inputs: Inputs) -> int:
    """The common first dimension of all inputs.

    Returns:
        The number of samples.

    Raises:
        ValueError: If there is no input, one has no batch dimension, or they disagree.
    """
    shapes = [tuple(leaf.shape) for leaf in leaves(inputs)]
    if not shapes or any(len(shape) == 0 for shape in shapes):
        raise ValueError(f"Every input needs a batch dimension; got shapes {shapes}.")
    if len({shape[0] for shape in shapes}) > 1:
        listed = ", ".join(f"{n} {s}" for n, s in zip(names(inputs), shapes, strict=True))
        raise ValueError(f"All inputs must have the same number of samples; got {listed}.")
    return shapes[0][0]


def take(inputs: Inputs, rows: Tensor) -> Inputs:
    """The samples ``rows`` of every input.

    Returns:
        Inputs of the same structure, with ``len(rows)`` samples.
    """
    return rebuild(inputs, pick(leaves(inputs), rows))


def pick(point: Point, rows: Tensor) -> Point:
    """The rows ``rows`` of every tensor.

    Returns:
        Tensors (len(rows), ...).
    """
    return tuple(leaf.index_select(0, rows) for leaf in point)


def is_continuous(tensor: Tensor) -> bool:
    """Whether gradients with respect to ``tensor`` can exist.

    Returns:
        True for floating point tensors.
    """
    return tensor.is_floating_point()


def varied(inputs: Inputs) -> list[int]:
    """Which inputs attributions are about: those with floating point values; all, if none has such values.

    Returns:
        Their numbers.
    """
    point = leaves(inputs)
    return [i for i, leaf in enumerate(point) if is_continuous(leaf)] or list(range(len(point)))


def first_floating(inputs: Inputs) -> Tensor:
    """The first input with floating point values, which a mask and a modality refer to.

    Returns:
        That tensor; the first of all, if none has such values.
    """
    point = leaves(inputs)
    return next((leaf for leaf in point if is_continuous(leaf)), point[0])


def column(tensor: Tensor, like: Tensor) -> Tensor:
    """Shape the vector ``tensor`` (n,) so that it broadcasts over the rows of ``like`` (n, ...).

    Returns:
        A view of shape (n, 1, ..., 1).

    Example:
        >>> column(torch.ones(2), torch.ones(2, 3, 4)).shape
        torch.Size([2, 1, 1])
    """
    return tensor.view(-1, *[1] * (like.ndim - 1))


def require_finite(inputs: Inputs, what: str = "") -> None:
    """Refuse inputs that hold NaN or infinity.

    Args:
        inputs: The tensors.
        what: What they are, to stand before their name.

    Raises:
        ValueError: If one does; the message names the input and the first bad sample.
    """
    for name, leaf in zip(names(inputs), leaves(inputs), strict=True):
        finite = torch.isfinite(leaf).flatten(1).all(dim=1) if leaf.ndim > 1 else torch.isfinite(leaf)
        if not finite.all():
            bad = (~finite).nonzero().flatten()
            raise ValueError(
                f"{what}{name} holds NaN or infinity in {len(bad)} sample(s), the first is sample {int(bad[0])}."
            )
