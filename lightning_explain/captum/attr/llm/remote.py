"""Language models that run elsewhere, explained by removing features of their input."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lightning_explain.captum.attr._utils.interpretable_input import InterpretableInput, TokenizerLike
from lightning_explain.captum.attr.llm.perturbation import LLMAttribution, LogProbs
from lightning_explain.captum.attr.llm.provider import RemoteLLMProvider
from lightning_explain.captum.errors import ArgumentError


class _PlaceholderModel:
    # What a method is made for where the model runs elsewhere.

    def __init__(self) -> None:
        self.device = torch.device("cpu")

    def __call__(self, *args: Any, **kwargs: Any) -> int:
        return 0


class RemoteLLMAttribution(LLMAttribution):
    """A text that a language model elsewhere writes, explained by the features of its input.

    Args:
        attr_method: As in :class:`LLMAttribution`, made for ``RemoteLLMAttribution.placeholder_model``.
        tokenizer: The model's tokenizer.
        provider: The model.
        attr_target: ``"log_prob"``, or ``"prob"`` for probabilities.

    Raises:
        ArgumentError: If ``attr_target`` is another word.
        ArgumentTypeError: If the method is another one.
    """

    placeholder_model = _PlaceholderModel()

    def __init__(
        self,
        attr_method: Any,  # noqa: ANN401  (any attribution class)
        tokenizer: TokenizerLike,
        provider: RemoteLLMProvider,
        attr_target: str = "log_prob",
    ) -> None:
        super().__init__(attr_method, tokenizer, attr_target)
        self.provider = provider

    def _written(self, inp: InterpretableInput, gen_args: dict[str, Any]) -> Tensor:
        generate = getattr(self.provider, "generate", None)
        if not callable(generate):
            raise ArgumentError(f"{type(self.provider).__name__} has no generate(), so target= must be given.")
        text = generate(self._as_text(inp, None), **gen_args)
        written: Tensor = self.tokenizer.encode(text, return_tensors="pt", add_special_tokens=False)[0]
        return written

    def _log_probs(self, inp: InterpretableInput, tokens: Tensor, in_tokens: bool, cached: bool) -> LogProbs:
        text = self.tokenizer.decode(tokens)

        def of_rows(there: Tensor) -> Tensor:
            found = [
                self.provider.get_logprobs(self._as_text(inp, row), text, self.tokenizer) for row in there.split(1)
            ]
            for log_probs in found:
                if len(log_probs) != len(tokens):
                    raise ArgumentError(
                        f"The target has {len(tokens)} tokens, the provider gave {len(log_probs)} log-probabilities."
                    )
            return torch.tensor(found, device=there.device)

        return of_rows

    def _prompt(self, inp: InterpretableInput, there: Tensor) -> str:
        return self._as_text(inp, there)

    def _as_text(self, inp: InterpretableInput, there: Tensor | None) -> str:
        made = inp.to_model_input(there)
        return self.tokenizer.decode(made.flatten()) if isinstance(made, Tensor) else str(made)
