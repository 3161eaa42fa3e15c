"""Reading and replacing what goes through a layer, by hooks that are gone afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor, nn

from lightning_explain.attribution.model import FEWEST
from lightning_explain.attribution.tree import map_tensors, tensors
from lightning_explain.inputs import Point, leaves, take
from lightning_explain.registry import unknown

if TYPE_CHECKING:
    from lightning_explain.attribution.place import Layer, Side
    from lightning_explain.attribution.question import Question

Split: TypeAlias = Callable[[Tensor], tuple[Tensor, Tensor]]
"""A tensor -> what is kept of it, and what the model goes on with."""

Change: TypeAlias = Callable[[Tensor], Tensor]

Reached: TypeAlias = Callable[[], None]
"""Told that the run of a layer that is meant is over."""


class NotBatchFirst(ValueError):  # noqa: N818  (an error of the layout, which a caller may get around)
    """What goes through a layer has no row for each sample."""


class UnreachedError(ValueError):
    """A layer did not run in the model's forward pass."""


def named_layers(model: nn.Module) -> dict[str, nn.Module]:
    """The modules of ``model`` by the name that users know, also where parts are compiled.

    Returns:
        Module by dotted name; the model itself is left out.
    """
    return {
        ".".join(part for part in name.split(".") if part != "_orig_mod"): module
        for name, module in model.named_modules()
        if name
    }


def find_layer(model: nn.Module, name: str) -> nn.Module:
    """Find a layer by name.

    Returns:
        The module.

    Raises:
        ValueError: If there is none; the message suggests the nearest and lists all.
    """
    found = _uncompiled(model)
    for part in name.split("."):  # each pass asks: to list all layers takes longer than a small one
        if part not in found._modules or found._modules[part] is None:  # noqa: SLF001
            raise ValueError(unknown("layer", name, named_layers(model)))
        found = _uncompiled(found._modules[part])  # type: ignore[arg-type]  # noqa: SLF001
    return found


def _uncompiled(module: nn.Module) -> nn.Module:
    while "_orig_mod" in module._modules:  # noqa: SLF001
        module = module._modules["_orig_mod"]  # type: ignore[assignment]  # noqa: SLF001
    return module


@contextmanager
def capturing(
    problem: Question, layer: Layer, rows: int, split: Split, reached: Reached = lambda: None
) -> Iterator[list[Tensor]]:
    """Keep what goes through a layer in a forward pass of ``rows`` samples.

    Args:
        problem: Whose model.
        layer: Where.
        rows: The number of samples that will go through.
        split: Makes of a tensor (rows, ...) what is kept, and what the model goes on with.
        reached: Called once they are kept.

    Yields:
        The list that will hold what is kept; leave the block after the forward pass.

    Raises:
        NotBatchFirst: If what goes through the layer has no row for each sample.
        ValueError: If the layer does not exist, was not reached or holds nothing to explain.
    """
    found: list[Tensor] = []
    kept: list[list[Tensor]] = []  # of each run: only at the end it is known which is the last

    def capture(tensor: Tensor) -> Tensor:
        if tensor.ndim == 0 or tensor.shape[0] != rows:
            raise NotBatchFirst(
                f"The {layer.of} of layer {layer.name!r} has shape {tuple(tensor.shape)} for {rows} samples;"
                " expected one row per sample, the batch dimension first."
            )
        here, passed = split(tensor)
        kept[-1].append(here)
        return passed

    def change(run: int) -> Change | None:
        if layer.call >= 0 and run != layer.call:
            return None
        kept.append([])
        return capture

    with _watched(problem.model, layer, change, reached) as runs:
        yield found
    _require_reached(layer, runs[0])
    if layer.call < 0:  # else the pass may have ended at that run
        problem.counted[layer.name] = runs[0]
    found.extend(kept[layer.call if layer.call < 0 else 0])
    if not found:
        raise ValueError(f"The {layer.of} of layer {layer.name!r} holds no tensor to explain.")


@contextmanager
def intercepted(problem: Question, layer: Layer, change: Change) -> Iterator[None]:
    """Pass the tensors of ``layer``, at the run that it names, through ``change``.

    Yields:
        None; leave the block after the forward pass.

    Raises:
        ValueError: If the layer does not exist, or was not reached.
    """
    meant = meant_run(problem, layer)
    with _watched(problem.model, layer, lambda run: change if run == meant else None) as runs:
        yield
    _require_reached(layer, runs[0])


def meant_run(problem: Question, layer: Layer) -> int:
    """Which of a layer's runs in a forward pass is meant.

    Returns:
        Its number, from 0; negative if there are too few.
    """
    return layer.call if layer.call >= 0 else _runs(problem, layer) + layer.call


def as_it_came(problem: Question, layer: Layer, point: Point) -> Point:
    """Put the batch where the layer has it.

    Args:
        problem: Whose model.
        layer: Where.
        point: Tensors like the layer's variable, (n, ...) each.

    Returns:
        Tensors that are laid out as what goes through the layer is.
    """
    dims = _batch_dims(find_layer(problem.model, layer.name), layer.of)
    return tuple(leaf.movedim(0, dim) if 0 < dim < leaf.ndim else leaf for leaf, dim in zip(point, dims, strict=False))


@contextmanager
def _watched(
    model: nn.Module, layer: Layer, change: Callable[[int], Change | None], reached: Reached = lambda: None
) -> Iterator[list[int]]:
    # The list holds how often the layer has run.
    module = find_layer(model, layer.name)
    runs = [0]

    def at_a_run(tree: Any) -> Any:  # noqa: ANN401
        runs[0] += 1
        changed = change(runs[0] - 1)
        if changed is None:
            return None
        dims, every = _batch_dims(module, layer.of), not tensors(tree)
        if layer.whole:
            tree = map_tensors(tree, lambda tensor: changed(tensor[None])[0], every=every)
        else:
            tree = map_tensors(tree, lambda tensor: _batch_first(tensor, next(dims), changed), every=every)
        reached()
        return tree

    if layer.of == "output":
        handle = module.register_forward_hook(lambda _module, _args, result: at_a_run(result))
    else:
        handle = module.register_forward_pre_hook(
            lambda _module, args, kwargs: at_a_run((args, kwargs)), with_kwargs=True
        )
    try:
        yield runs
    finally:
        handle.remove()


def _runs(problem: Question, layer: Layer) -> int:
    # How often the layer runs in a forward pass.
    if layer.name not in problem.counted:
        few = torch.arange(1 if layer.whole else FEWEST, device=leaves(problem.inputs)[0].device) % problem.samples
        with torch.no_grad(), _watched(problem.model, layer, lambda _: None) as runs:
            problem.forward(problem.model, take(problem.inputs, few))
        problem.counted[layer.name] = runs[0]
    return problem.counted[layer.name]  # type: ignore[no-any-return]


def _require_reached(layer: Layer, runs: int) -> None:
    if runs == 0:
        raise UnreachedError(
            f"The layer {layer.name!r} was never reached in the model's forward pass: it is unused for these"
            " inputs, or its weights are used without calling it (as in a fused attention)."
        )
    if not -runs <= layer.call < runs:
        raise ValueError(
            f"The layer {layer.name!r} ran {runs} time(s) in the model's forward pass; call={layer.call} asks for"
            f" run number {layer.call + 1 if layer.call >= 0 else layer.call}, and counts from 0 (or -1, from the end)."
        )


def _batch_dims(module: nn.Module, of: Side) -> Iterator[int]:
    first = 0 if _is_batch_first(module) else 1
    if isinstance(module, nn.RNNBase):
        return chain([first], repeat(1))  # then the states, (layers, n, ...)
    return repeat(first) if of == "input" else chain([first], repeat(0))  # then attention weights, (n, ...)


def _is_batch_first(module: nn.Module) -> bool:
    # Encoders and decoders do not say so themselves: their attention does.
    if isinstance(module, (nn.TransformerEncoder, nn.TransformerDecoder)):
        return _is_batch_first(module.layers[0])
    if isinstance(module, (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)):
        module = module.self_attn
    return bool(getattr(module, "batch_first", True))


def _batch_first(tensor: Tensor, batch_dim: int, change: Change) -> Tensor:
    if batch_dim == 0 or tensor.ndim <= batch_dim:
        return change(tensor)
    return change(tensor.movedim(batch_dim, 0)).movedim(0, batch_dim)
