"""Which module an operator belongs to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import TypeAlias, TypeVar

import torch
from torch import nn

from lightning_explain.attribution.interception import named_layers

T = TypeVar("T")

Meant: TypeAlias = str | type[nn.Module] | nn.Module
"""A pattern of a module's dotted name, a module type, or a module."""

Running: TypeAlias = list[tuple[str, nn.Module]]


@contextmanager
def running(model: nn.Module) -> Iterator[Running]:
    """Watch which modules are running, by hooks that are gone afterwards.

    Yields:
        A stack of names and modules, the innermost last; the model itself is called ``""``.
    """
    stack: Running = []
    handles = []
    try:
        for name, module in {"": model, **named_layers(model)}.items():
            entered = (name, module)
            handles.append(module.register_forward_pre_hook(lambda *_, entered=entered: stack.append(entered)))
            handles.append(module.register_forward_hook(lambda *_: _leave(stack), always_call=True))
        yield stack
    finally:
        for handle in handles:
            handle.remove()


def require_operators(model: nn.Module, method: str) -> None:
    """Check that the operators of a model can be seen while it runs.

    Args:
        model: The model.
        method: Which method wants to see them.

    Raises:
        ValueError: If a part of it is TorchScript, which runs its operators out of sight.
    """
    scripted = [part.original_name for part in model.modules() if isinstance(part, torch.jit.ScriptModule)]
    if scripted:
        raise ValueError(
            f"{method} changes how operators are differentiated, and TorchScript runs those of {scripted[0]} out of"
            " sight: explain the model that it was made of, or use integrated gradients."
        )


def matches(wanted: Meant, name: str, module: nn.Module) -> bool:
    """Whether a module is meant.

    Returns:
        True if it is.
    """
    if isinstance(wanted, nn.Module):
        return module is wanted
    return fnmatchcase(name, wanted) if isinstance(wanted, str) else isinstance(module, wanted)


def named_for(pairs: Iterable[tuple[Meant, T]], name: str, module: nn.Module) -> T | None:
    """What stands beside the first of several descriptions that means a module.

    Returns:
        It, or None.
    """
    return next((held for wanted, held in pairs if matches(wanted, name, module)), None)


def _leave(stack: Running) -> None:
    if stack:
        stack.pop()
