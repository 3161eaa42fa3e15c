"""Borrowing a model: everything that is touched is given back as it was."""

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lightning_explain.randomness import isolated


@contextlib.contextmanager
def borrowed(model: nn.Module, seed: int = 0) -> Iterator[None]:
    """Run a block in which ``model`` is in evaluation mode, frozen, eager and differentiable.

    Inside, gradients with respect to inputs work wherever the block stands (under ``no_grad``,
    ``inference_mode`` or anomaly detection), submodules run eagerly even if they were compiled,
    backward hooks rest, and random numbers start from ``seed``. Afterwards, also after an exception, the
    training flags, the hooks, ``requires_grad``, the very ``.grad`` objects, the buffers, all other
    attributes of the modules and the random states of Python, NumPy and torch are what they were.

    Tensors made in inference mode must be cloned inside before autograd may save them.

    Args:
        model: The module.
        seed: Where the random numbers inside begin.

    Yields:
        None.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(isolated(seed, {parameter.device for parameter in model.parameters()}))
        stack.enter_context(torch.inference_mode(mode=False))
        stack.enter_context(torch.enable_grad())
        # Anomaly detection is for the user's backward; in ours it only costs time.
        stack.enter_context(torch.autograd.set_detect_anomaly(mode=False))
        if "torch._dynamo" in sys.modules:  # else nothing is compiled, and loading it takes a second
            # Hooks on compiled submodules do not fire, and gradients at layers come back as None.
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        if any(isinstance(module, nn.RNNBase) for module in model.modules()):
            # cuDNN's recurrent layers have no backward in evaluation mode.
            stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        state = _State.of(model)
        try:
            _prepare(model)
            yield
        finally:
            state.restore()


@dataclass(frozen=True)
class _State:
    attributes: list[tuple[dict[str, Any], dict[str, Any]]]
    parameters: list[tuple[nn.Parameter, bool, Tensor | None]]
    buffers: list[tuple[Tensor, Tensor]]

    @classmethod
    def of(cls, model: nn.Module) -> "_State":
        # Training flags, hooks, buffers and whatever a forward pass may keep live in these.
        owned = [held for module in model.modules() for held in (vars(module), *_dicts(module))]
        return cls(
            attributes=[(held, dict(held)) for held in owned],
            parameters=[(p, p.requires_grad, p.grad) for p in model.parameters()],
            buffers=[(buffer, buffer.detach().clone()) for buffer in model.buffers()],
        )

    def restore(self) -> None:
        for held, before in self.attributes:
            if list(held) != list(before) or any(held[key] is not before[key] for key in before):
                held.clear()
                held.update(before)
        for parameter, requires_grad, grad in self.parameters:
            parameter.requires_grad_(requires_grad)
            parameter.grad = grad
        with torch.no_grad():
            for buffer, value in self.buffers:
                if not _same(buffer, value):
                    buffer.copy_(value)


def _dicts(module: nn.Module) -> list[dict[str, Any]]:
    return [value for value in vars(module).values() if isinstance(value, dict)]


def _prepare(model: nn.Module) -> None:
    for module in model.modules():
        module.training = False  # not eval(): users override train(), and it recurses
        # Those are for the gradients of the user's loss. Forward hooks may belong to the model (weight norm).
        module._backward_hooks.clear()  # noqa: SLF001
        module._backward_pre_hooks.clear()  # noqa: SLF001
    for parameter in model.parameters():
        parameter.requires_grad_(False)
        parameter.grad = None  # set aside, not cleared


def _same(a: Tensor, b: Tensor) -> bool:
    # torch.equal would call two NaNs different; then the copy does no harm.
    return a.shape == b.shape and torch.equal(a, b)
