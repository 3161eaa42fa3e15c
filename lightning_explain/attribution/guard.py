"""Borrowing a model: everything that is touched is given back as it was."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lightning_explain.randomness import isolated

_HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks_with_kwargs",
)


@contextlib.contextmanager
def borrowed(model: nn.Module, seed: int = 0) -> Iterator[None]:
    """Run a block in which ``model`` is in evaluation mode, frozen, eager and differentiable.

    Inside, gradients with respect to inputs work wherever the block stands (under ``no_grad``,
    ``inference_mode`` or anomaly detection), submodules run eagerly even if they were compiled, and
    random numbers start from ``seed``. Afterwards, also after an exception, the training flags, the
    hooks, ``requires_grad``, the very ``.grad`` objects, the buffers and the random states of Python,
    NumPy and torch are what they were.

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
    modes: list[tuple[nn.Module, bool]]
    hooks: list[tuple[dict[int, object], set[int]]]
    parameters: list[tuple[nn.Parameter, bool, Tensor | None]]
    buffers: list[tuple[nn.Module, str, Tensor | None, Tensor | None]]

    @classmethod
    def of(cls, model: nn.Module) -> "_State":
        modules = list(model.modules())
        hooks = [getattr(module, name) for module in modules for name in _HOOKS]
        return cls(
            modes=[(module, module.training) for module in modules],
            hooks=[(registered, set(registered)) for registered in hooks],
            parameters=[(p, p.requires_grad, p.grad) for p in model.parameters()],
            buffers=[
                (module, name, buffer, None if buffer is None else buffer.detach().clone())
                for module in modules
                for name, buffer in module._buffers.items()
            ],
        )

    def restore(self) -> None:
        for module, mode in self.modes:
            module.training = mode
        for registered, before in self.hooks:
            for key in [key for key in registered if key not in before]:
                del registered[key]
        for parameter, requires_grad, grad in self.parameters:
            parameter.requires_grad_(requires_grad)
            parameter.grad = grad
        with torch.no_grad():
            for module, name, buffer, value in self.buffers:
                module._buffers[name] = buffer
                if buffer is not None and value is not None and not _same(buffer, value):
                    buffer.copy_(value)


def _prepare(model: nn.Module) -> None:
    for module in model.modules():
        module.training = False  # not eval(): users override train(), and it recurses
    for parameter in model.parameters():
        parameter.requires_grad_(False)
        parameter.grad = None  # set aside, not cleared


def _same(a: Tensor, b: Tensor) -> bool:
    # torch.equal would call two NaNs different; then the copy does no harm.
    return a.shape == b.shape and torch.equal(a, b)
