"""Language models explained by removing features of their input."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from lightning_explain.captum.attr._utils.interpretable_input import (
    ImageMaskInput,
    InterpretableInput,
    TextTemplateInput,
    TextTokenInput,
    TokenizerLike,
)
from lightning_explain.captum.attr.llm.base import BaseLLMAttribution, is_one_of, model_inputs
from lightning_explain.captum.attr.llm.pieces import pieces
from lightning_explain.captum.attr.llm.result import LLMAttributionResult
from lightning_explain.captum.attr.llm.scores import at_once, one_by_one
from lightning_explain.captum.errors import ArgumentError
from lightning_explain.captum.lending import kept
from lightning_explain.randomness import isolated, stream

Inspect = Callable[[str, str, list[float]], None]
LogProbs = Callable[[Tensor], Tensor]


class LLMAttribution(BaseLLMAttribution):
    """A text that a language model writes, explained by the features of its input.

    The score is the log-probability of the text, and of each of its tokens after those before it.

    Args:
        attr_method: FeatureAblation, ShapleyValueSampling, ShapleyValues, or, for the whole text alone, Lime or
            KernelShap, made for the model.
        tokenizer: The model's tokenizer.
        attr_target: ``"log_prob"``, or ``"prob"`` for probabilities.

    Raises:
        ArgumentError: If ``attr_target`` is another word.
        ArgumentTypeError: If the method is another one.
    """

    SUPPORTED_METHODS = ("FeatureAblation", "ShapleyValueSampling", "ShapleyValues", "Lime", "KernelShap")
    SUPPORTED_PER_TOKEN_ATTR_METHODS = ("FeatureAblation", "ShapleyValueSampling", "ShapleyValues")
    SUPPORTED_INPUTS = (TextTemplateInput, TextTokenInput, ImageMaskInput)

    def __init__(self, attr_method: Any, tokenizer: TokenizerLike, attr_target: str = "log_prob") -> None:  # noqa: ANN401
        super().__init__(attr_method, tokenizer)
        if attr_target not in {"log_prob", "prob"}:
            raise ArgumentError(f"Expected attr_target 'log_prob' or 'prob', got {attr_target!r}.")
        self.attr_target = attr_target
        self.include_per_token_attr = is_one_of(attr_method, self.SUPPORTED_PER_TOKEN_ATTR_METHODS)

    def attribute(
        self,
        inp: InterpretableInput,
        target: str | Tensor | None = None,
        num_trials: int = 1,
        gen_args: dict[str, Any] | None = None,
        use_cached_outputs: bool = True,
        _inspect_forward: Inspect | None = None,
        forward_in_tokens: bool = True,
        **kwargs: Any,
    ) -> LLMAttributionResult:
        """Explain a text.

        Args:
            inp: The input and its features.
            target: The text, or its token ids (tokens,); None: what the model writes.
            num_trials: How often the method is run, each time with other random numbers; attributions are the mean.
            gen_args: How the text is written, where it is not given; None: up to 25 tokens, each the likeliest.
            use_cached_outputs: Whether a pass sees the new token alone, and what the model kept of those before.
            _inspect_forward: Called with each input, the text and its probabilities.
            forward_in_tokens: Whether there is a pass for each token of the text, as it would be written; False: one
                pass for all of them, which is as much faster.
            kwargs: Further arguments of the method's ``attribute``.

        Returns:
            Attributions.

        Raises:
            ArgumentError: If arguments do not fit.
        """
        if num_trials < 1:
            raise ArgumentError(f"Expected at least one trial, got num_trials={num_trials}.")
        tokens = self._target_tokens(inp, target, gen_args)
        log_probs = self._log_probs(inp, tokens, forward_in_tokens, use_cached_outputs)
        score = _Score(
            self.model,
            log_probs,
            self.attr_target == "prob",
            self.include_per_token_attr,
            self._told(inp, tokens, _inspect_forward),
        )
        method = copy.copy(self.attr_method)
        method.forward_func = score
        there = inp.to_tensor().to(self.device)
        trials = []
        for trial in range(num_trials):
            with kept(self.model), _other_draws(trial):  # Captum's methods do not borrow what they run
                trials.append(method.attribute(there, **kwargs).reshape(-1, inp.n_itp_features).float())
        attr = inp.format_attr(torch.stack(trials).mean(dim=0))
        return LLMAttributionResult(
            seq_attr=attr[0],
            token_attr=attr[1:] if self.include_per_token_attr else None,
            input_tokens=inp.values,
            output_tokens=pieces(tokens, self.tokenizer),
            inp=inp,
        )

    def _log_probs(self, inp: InterpretableInput, tokens: Tensor, in_tokens: bool, cached: bool) -> LogProbs:
        def of_rows(there: Tensor) -> Tensor:
            # Texts of tokens are equally long, whatever is absent; others go through the model one by one.
            rows = (there,) if isinstance(inp, TextTokenInput) else there.split(1)
            made = [model_inputs(inp, row, self.tokenizer, self.device) for row in rows]
            if in_tokens:
                return torch.cat([one_by_one(self.model, inputs, tokens, cached) for inputs in made])
            return torch.cat([at_once(self.model, inputs, tokens) for inputs in made])

        return of_rows

    def _told(
        self, inp: InterpretableInput, tokens: Tensor, inspect: Inspect | None
    ) -> Callable[[Tensor, Tensor], None]:
        def tell(there: Tensor, probabilities: Tensor) -> None:
            for row, values in zip(there.split(1), probabilities, strict=True):
                if inspect is not None:
                    inspect(self._prompt(inp, row), self.tokenizer.decode(tokens), values.tolist())

        return tell

    def _prompt(self, inp: InterpretableInput, there: Tensor) -> str:
        return self.tokenizer.decode(model_inputs(inp, there, self.tokenizer, self.device)["input_ids"][0])


def _other_draws(trial: int) -> AbstractContextManager[None]:
    # Methods whose draws follow from torch's seed draw the same again; the first trial has the user's.
    return isolated(stream(f"trial {trial}", torch.initial_seed()).initial_seed()) if trial else nullcontext()


class _Score(nn.Module):
    # What is explained: of the text, and behind it of each token. The model is a part of it, so that whoever borrows
    # the score borrows the model.

    def __init__(
        self,
        model: object,
        log_probs: LogProbs,
        as_probabilities: bool,
        per_token: bool,
        tell: Callable[[Tensor, Tensor], None],
    ) -> None:
        super().__init__()
        self.model = model
        self.log_probs, self.tell = log_probs, tell
        self.as_probabilities, self.per_token = as_probabilities, per_token

    def forward(self, there: Tensor) -> Tensor:
        tokens = self.log_probs(there)
        scores = torch.cat([tokens.sum(dim=1, keepdim=True), tokens], dim=1)
        self.tell(there, scores.exp())
        scores = scores.exp() if self.as_probabilities else scores
        return scores if self.per_token else scores[:, 0]
