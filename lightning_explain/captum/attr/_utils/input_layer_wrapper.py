"""Inputs that pass through a layer of their own, so that whatever explains layers explains them."""

from __future__ import annotations

import inspect

from torch import Tensor, nn

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class InputIdentity(nn.Module):
    """A layer that hands on what it is given.

    Args:
        input_name: The input that passes through it.
    """

    def __init__(self, input_name: str) -> None:
        super().__init__()
        self.input_name = input_name

    def forward(self, x: Tensor) -> Tensor:
        """Hand it on.

        Returns:
            What came.
        """
        return x


class ModelInputWrapper(nn.Module):
    """A model with a layer before each of its inputs: ``wrapped.input_maps["<argument>"]``.

    Args:
        module_to_wrap: The model; it is called as before.

    Example:
        >>> wrapped = ModelInputWrapper(nn.Bilinear(2, 3, 1))
        >>> list(wrapped.input_maps)
        ['input1', 'input2']
    """

    def __init__(self, module_to_wrap: nn.Module) -> None:
        super().__init__()
        self.module = module_to_wrap
        parameters = inspect.signature(module_to_wrap.forward).parameters.values()
        self.arg_name_list = [parameter.name for parameter in parameters if parameter.kind in _POSITIONAL]
        by_name = [parameter.name for parameter in parameters if parameter.kind is inspect.Parameter.KEYWORD_ONLY]
        self.input_maps = nn.ModuleDict({name: InputIdentity(name) for name in [*self.arg_name_list, *by_name]})

    def forward(self, *args: object, **kwargs: object) -> object:
        """Run the model, each argument through its layer.

        Returns:
            What the model gives. Arguments that its signature does not name are handed on as they are.
        """
        names = [*self.arg_name_list, *[""] * len(args)]
        positional = [self._through(name, arg) for name, arg in zip(names, args, strict=False)]
        return self.module(*positional, **{name: self._through(name, arg) for name, arg in kwargs.items()})

    def _through(self, name: str, arg: object) -> object:
        return self.input_maps[name](arg) if name in self.input_maps else arg
