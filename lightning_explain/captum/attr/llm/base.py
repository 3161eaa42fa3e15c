"""What all explanations of language models have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lightning_explain.captum.attr._utils.interpretable_input import InterpretableInput, TokenizerLike
from lightning_explain.captum.attr.attribution import Attribution
from lightning_explain.captum.errors import ArgumentError, ArgumentTypeError
from lightning_explain.captum.lending import kept

GENERATION: dict[str, Any] = {"max_new_tokens": 25, "do_sample": False, "temperature": None, "top_p": None}
"""How a text is written where it is not given."""


class BaseLLMAttribution(Attribution):
    """The base of explanations of language models.

    Args:
        attr_method: A method made for the model; it is not changed.
        tokenizer: The model's tokenizer.

    Raises:
        ArgumentTypeError: If the method is not among those that can be used.
    """

    SUPPORTED_METHODS: tuple[str, ...] = ()
    SUPPORTED_INPUTS: tuple[type[InterpretableInput], ...] = ()

    def __init__(self, attr_method: Any, tokenizer: TokenizerLike) -> None:  # noqa: ANN401  (any attribution class)
        if not is_one_of(attr_method, self.SUPPORTED_METHODS):
            raise ArgumentTypeError(
                f"{type(self).__name__} takes {', '.join(self.SUPPORTED_METHODS)}; got {type(attr_method).__name__}."
            )
        super().__init__(attr_method.forward_func)
        self.model: Any = attr_method.forward_func
        self.attr_method = attr_method
        self.tokenizer = tokenizer
        self.device: torch.device = _device(self.model)

    def attribute_future(self) -> None:
        """Explain a model that answers later.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError(f"attribute_future is not there for {type(self).__name__}; use attribute.")

    def _target_tokens(
        self, inp: InterpretableInput, target: str | Tensor | None, gen_args: dict[str, Any] | None
    ) -> Tensor:
        if not isinstance(inp, self.SUPPORTED_INPUTS):
            raise ArgumentTypeError(
                f"{type(self).__name__} takes {', '.join(kind.__name__ for kind in self.SUPPORTED_INPUTS)};"
                f" got {type(inp).__name__}."
            )
        if target is not None and gen_args is not None:
            raise ArgumentError("gen_args say how a target is written; there is one already.")
        tokens = self._written(inp, gen_args or GENERATION) if target is None else self._encoded(target)
        if not tokens.numel():
            raise ArgumentError("The target has no tokens; nothing can be explained.")
        return tokens

    def _encoded(self, target: str | Tensor) -> Tensor:
        if isinstance(target, Tensor):
            if target.ndim != 1:
                raise ArgumentError(f"Expected the target's token ids as (tokens,), got shape {tuple(target.shape)}.")
            return target
        if isinstance(target, str):
            return torch.tensor(self.tokenizer.encode(target, add_special_tokens=False))
        raise ArgumentTypeError(f"Expected a target as a text or as token ids, got {type(target).__name__}.")

    def _written(self, inp: InterpretableInput, gen_args: dict[str, Any]) -> Tensor:
        generate = getattr(self.model, "generate", None)
        if not callable(generate):
            raise ArgumentError(f"{type(self.model).__name__} has no generate(), so target= must be given.")
        inputs = model_inputs(inp, None, self.tokenizer, self.device)
        with kept(self.model):  # in evaluation mode: dropout would write another text, and draw
            written: Tensor = generate(**inputs, **gen_args)[0][inputs["input_ids"].shape[1] :]
        return written


def is_one_of(method: object, names: tuple[str, ...]) -> bool:
    """Whether a method is of one of some classes, or of one derived from them, by their names.

    Methods of Captum itself are taken, too.

    Args:
        method: An attribution method.
        names: Names of classes.

    Returns:
        Whether it is.
    """
    return any(kind.__name__ in names for kind in type(method).__mro__)


def model_inputs(
    inp: InterpretableInput, there: Tensor | None, tokenizer: TokenizerLike, device: torch.device
) -> dict[str, Any]:
    """What a language model is given.

    Args:
        inp: The input.
        there: Which of its features are there; None: all.
        tokenizer: Makes token ids of texts.
        device: Where the model is.

    Returns:
        Its arguments by name, with ``input_ids``.

    Raises:
        ArgumentTypeError: If the input is neither a text, nor token ids, nor a mapping.
    """
    made = inp.to_model_input(there)
    if isinstance(made, str):
        made = tokenizer.encode(made, return_tensors="pt")
    if isinstance(made, Tensor):
        return {"input_ids": made.to(device)}
    if not isinstance(made, Mapping):
        raise ArgumentTypeError(f"Expected a text, token ids or a mapping as input, got {type(made).__name__}.")
    return dict(made)


def _device(model: Any) -> torch.device:  # noqa: ANN401
    if hasattr(model, "device"):
        return torch.device(model.device)
    if isinstance(model, nn.Module):
        return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    raise ArgumentTypeError(
        f"Expected a language model as the method's forward function, got {type(model).__name__}: its forward and"
        " generate are called."
    )
