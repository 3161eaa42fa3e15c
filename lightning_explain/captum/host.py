"""The module that a forward function and some layers belong to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from lightning_explain.captum.errors import ArgumentTypeError
from lightning_explain.randomness import stream


class Host(nn.Module):
    """A module that holds what a forward function runs, as far as that can be known, and the layers by a name.

    Captum is given functions and modules, the engine a model and the names of its layers. What a plain function calls
    cannot be seen from outside: it runs as its caller left it, in training mode perhaps.

    Args:
        forward_func: A module, a method of one, or a function.
        layers: Layers, which become :meth:`name` 0, 1, ...

    Raises:
        ArgumentTypeError: If ``forward_func`` cannot be called, or a layer is no module.
    """

    def __init__(self, forward_func: Callable[..., Any], layers: Sequence[nn.Module] = ()) -> None:
        super().__init__()
        if not callable(forward_func):
            raise ArgumentTypeError(
                f"The forward function is a module or a function, got {type(forward_func).__name__}."
            )
        for number, layer in enumerate(layers):
            if not isinstance(layer, nn.Module):
                raise ArgumentTypeError(f"A layer is a torch.nn.Module, got {type(layer).__name__}.")
            self.add_module(self.name(number), layer)
        owner = owner_of(forward_func)
        if owner is not None:
            self.add_module("owner", owner)

    @staticmethod
    def name(number: int) -> str:
        """The name of a layer.

        Returns:
            The name, as a place is given it.
        """
        return f"layer{number}"

    def in_words(self, message: str) -> str:
        """Call the layers in a message what its reader calls them.

        Returns:
            The message, with the layers' names in the model, or their classes where they are not part of it.
        """
        owned = {module: name for name, module in self.named_modules(remove_duplicate=False) if "owner." in name}
        for name, layer in self.named_children():
            word = owned[layer].removeprefix("owner.") if layer in owned else type(layer).__name__
            message = message.replace(repr(name), repr(word))
        return message


def owner_of(forward_func: Callable[..., Any]) -> nn.Module | None:
    """The module whose method a forward function is, or that it is itself.

    Returns:
        The module; None for other functions.
    """
    while isinstance(forward_func, partial):
        forward_func = forward_func.func
    owner = forward_func if isinstance(forward_func, nn.Module) else getattr(forward_func, "__self__", None)
    return owner if isinstance(owner, nn.Module) else None


def seed() -> int:
    """Where the random numbers of a call begin, such as those that the caller's own functions draw.

    Returns:
        A seed that follows from what torch was seeded with, and is small enough for NumPy.
    """
    return stream("a call", torch.initial_seed()).initial_seed()


def as_module(model: object) -> nn.Module:
    """Check that a model is a module: for methods that change what its operators or layers do.

    Returns:
        The model.

    Raises:
        ArgumentTypeError: If it is something else.
    """
    if not isinstance(model, nn.Module):
        raise ArgumentTypeError(f"The model is a torch.nn.Module, got {type(model).__name__}.")
    return model
