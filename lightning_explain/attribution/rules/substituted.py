"""A model's parameters and buffers, replaced for the length of a forward pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.func import functional_call

from lightning_explain.attribution.model import Forward


@dataclass(frozen=True, eq=False)
class Substituted:
    """A way to call a model that lends it other tensors; nothing is written to its own.

    Args:
        forward: How the model is called.
        tensors: Name of a parameter or buffer -> what stands in for it.
    """

    forward: Forward
    tensors: Mapping[str, Tensor]

    def __call__(self, model: nn.Module, inputs: Any) -> Any:  # noqa: ANN401
        """Call the model.

        Returns:
            What it returns.
        """
        lent = {f"model.{name}": tensor for name, tensor in self.tensors.items()}
        return functional_call(_Called(model, self.forward), lent, (inputs,))


class _Called(nn.Module):
    def __init__(self, model: nn.Module, forward: Forward) -> None:
        super().__init__()
        self.model, self._call = model, forward

    def forward(self, inputs: Any) -> Any:  # noqa: ANN401
        return self._call(self.model, inputs)
