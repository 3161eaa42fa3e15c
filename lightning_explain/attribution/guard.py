"""Borrowing a model: everything that is touched is given back as it was."""

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lightning_explain.attribution.snapshot import Snapshot
from lightning_explain.randomness import isolated


@contextlib.contextmanager
def borrowed(model: nn.Module, seed: int = 0, *, frozen: bool = True) -> Iterator[None]:
    """Run a block in which ``model`` is in evaluation mode, frozen, eager and differentiable.

    Inside, gradients with respect to inputs work wherever the block stands (under ``no_grad``,
    ``inference_mode`` or anomaly detection), submodules run eagerly even if they were compiled,
    backward hooks rest, and random numbers start from ``seed``. Afterwards, also after an exception, the
    training flags, the hooks, ``requires_grad``, the very ``.grad`` objects, the buffers, all other
    attributes of the modules with the containers, tensors and generators in them, and the random states of
    Python, NumPy and torch are what they were.

    Tensors made in inference mode must be cloned inside before autograd may save them.

    Args:
        model: The module.
        seed: Where the random numbers inside begin.
        frozen: Whether gradients with respect to the parameters are off; otherwise those that were to be trained can
            be trained on what the block computes.

    Yields:
        None.

    Raises:
        TypeError: If ``model`` is no module.
        RuntimeError: If the model's forward pass writes to a parameter.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"A model is a torch.nn.Module, got {type(model).__name__}; wrap it in a Module whose forward calls it."
        )
    modules = list(model.modules())
    parameters = _parameters(modules)
    with contextlib.ExitStack() as stack:
        # With a graph and without one, encoders are to run the same code: without one they drop what is padded.
        stack.callback(torch.backends.mha.set_fastpath_enabled, torch.backends.mha.get_fastpath_enabled())
        torch.backends.mha.set_fastpath_enabled(False)
        stack.enter_context(isolated(seed, {parameter.device for parameter in parameters}))
        stack.enter_context(torch.inference_mode(mode=False))
        stack.enter_context(torch.enable_grad())
        # Anomaly detection is for the user's backward; in ours it only costs time.
        stack.enter_context(torch.autograd.set_detect_anomaly(mode=False))
        if "torch._dynamo" in sys.modules:  # else nothing is compiled, and loading it takes a second
            # Hooks on compiled submodules do not fire, and gradients at layers come back as None.
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        if any(isinstance(module, nn.RNNBase) for module in modules):
            # cuDNN's recurrent layers have no backward in evaluation mode.
            stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        state = _State.of(modules, parameters)
        try:
            _prepare(modules, parameters, frozen)
            yield
        finally:
            state.restore()
        state.require_unwritten(model)


@dataclass(frozen=True)
class _State:
    kept: Snapshot
    training: list[tuple[nn.Module, bool]]
    parameters: list[tuple[nn.Parameter, bool, Tensor | None, int]]
    written: list[tuple[nn.Parameter, Tensor]]

    @classmethod
    def of(cls, modules: list[nn.Module], parameters: list[nn.Parameter]) -> "_State":
        return cls(
            kept=Snapshot.of(modules),
            training=[(module, module.training) for module in modules],
            parameters=[(p, p.requires_grad, p.grad, _version(p)) for p in parameters],
            written=[(parameter, parameter.detach().clone()) for parameter in _written_in_forward(modules)],
        )

    def restore(self) -> None:
        self.kept.restore()
        for module, training in self.training:
            if module.training != training:  # a scripted one, which has no such attribute in Python
                module.training = training
        with torch.no_grad():
            for parameter, value in self.written:
                if not torch.equal(parameter, value):
                    parameter.copy_(value)
        for parameter, requires_grad, grad, _ in self.parameters:
            _set_requires_grad(parameter, requires_grad)
            if parameter.grad is not grad:
                parameter.grad = grad

    def require_unwritten(self, model: nn.Module) -> None:
        restored = {id(parameter) for parameter, _ in self.written}
        for parameter, _, _, version in self.parameters:
            if _version(parameter) != version and id(parameter) not in restored:
                name = next((name for name, known in model.named_parameters() if known is parameter), "?")
                raise RuntimeError(
                    f"The model's forward pass writes to its parameter {name!r} in evaluation mode: explaining it would"
                    " change the model. Write to it in training mode only, or to a buffer."
                )


def _parameters(modules: list[nn.Module]) -> list[nn.Parameter]:
    # Not model.parameters(), which walks through the modules once more; and names are for errors.
    held = (parameter for module in modules for parameter in module._parameters.values())  # noqa: SLF001
    return list({id(parameter): parameter for parameter in held if parameter is not None}.values())


def _written_in_forward(modules: list[nn.Module]) -> list[nn.Parameter]:
    # Embeddings with a largest norm shorten their weights when they are looked up.
    embeddings = (module for module in modules if isinstance(module, (nn.Embedding, nn.EmbeddingBag)))
    return [embedding.weight for embedding in embeddings if embedding.max_norm is not None]  # type: ignore[misc]


def _version(parameter: nn.Parameter) -> int:
    return 0 if parameter.is_inference() else parameter._version  # noqa: SLF001  (how often it was written to)


def _prepare(modules: list[nn.Module], parameters: list[nn.Parameter], frozen: bool) -> None:
    for module in modules:
        if module.training:  # what is so already is not set again, here and below: a model has many modules
            module.training = False  # not eval(): users override train(), and it recurses
        # Those are for the gradients of the user's loss. Forward hooks may belong to the model (weight norm).
        module._backward_hooks.clear()  # noqa: SLF001
        module._backward_pre_hooks.clear()  # noqa: SLF001
    for parameter in parameters:
        if frozen:
            _set_requires_grad(parameter, wanted=False)
        if parameter.grad is not None:
            parameter.grad = None  # set aside, not cleared


def _set_requires_grad(parameter: nn.Parameter, wanted: bool) -> None:
    if parameter.requires_grad == wanted:
        return
    if parameter.is_inference():  # those made in it can be set there alone
        with torch.inference_mode():
            parameter.requires_grad_(wanted)
    else:
        parameter.requires_grad_(wanted)
