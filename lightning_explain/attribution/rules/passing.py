"""Modules that relevance goes through as it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from lightning_explain.attribution.rules.pullback import pulled
from lightning_explain.attribution.rules.relevance import away_from_zero


@contextmanager
def passing(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Let each output's relevance go to the input at its place, whatever a module does, by hooks that are gone after.

    That is so for modules that make one tensor of one, of the same shape; what others do follows the rules of
    operators.

    Args:
        modules: The modules.

    Yields:
        None; run the model in the block.
    """
    handles = []
    try:
        for module in modules:
            before: list[Tensor | None] = []
            handles.append(module.register_forward_pre_hook(lambda _, args, before=before: _enter(args, before)))
            handles.append(module.register_forward_hook(lambda _, _args, out, before=before: _leave(out, before.pop())))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _enter(args: tuple[Any, ...], before: list[Tensor | None]) -> tuple[Any, ...] | None:
    active = [i for i, arg in enumerate(args) if isinstance(arg, Tensor) and arg.requires_grad]
    before.append(args[active[0]] if len(active) == 1 else None)
    if len(active) != 1:
        return None
    # A clone, for the module may work in place.
    return tuple(arg.clone() if i == active[0] else arg for i, arg in enumerate(args))


def _leave(out: Any, x: Tensor | None) -> Tensor | None:  # noqa: ANN401
    if x is None or not isinstance(out, Tensor) or out.shape != x.shape:
        return None
    with torch.no_grad():
        value = out.detach().clone()
        ratio = value / away_from_zero(x)
    return pulled(value, lambda gradient: (gradient * ratio,), x)
