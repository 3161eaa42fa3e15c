"""Which module an operator belongs to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import TypeAlias

from torch import nn

from lightning_explain.attribution.interception import named_layers

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


def matches(wanted: str | type[nn.Module], name: str, module: nn.Module) -> bool:
    """Whether a module is meant by a pattern of its dotted name, or by a type.

    Returns:
        True if it is.
    """
    return fnmatchcase(name, wanted) if isinstance(wanted, str) else isinstance(module, wanted)


def _leave(stack: Running) -> None:
    if stack:
        stack.pop()
