"""Language models explained by gradients at the vectors of their tokens."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from lightning_explain.captum.attr._utils.interpretable_input import (
    InterpretableInput,
    TextTokenInput,
)
from lightning_explain.captum.attr.llm.base import BaseLLMAttribution, model_inputs
from lightning_explain.captum.attr.llm.pieces import pieces
from lightning_explain.captum.attr.llm.result import LLMAttributionResult
from lightning_explain.captum.attr.llm.scores import next_token


class LLMGradientAttribution(BaseLLMAttribution):
    """A text that a language model writes, explained by the tokens of its input.

    The score is the log-probability of each token after those before it; that of the text is their sum.

    Args:
        attr_method: LayerIntegratedGradients, LayerGradientXActivation or LayerGradientShap, made for the model and
            its embedding.
        tokenizer: The model's tokenizer.

    Raises:
        ArgumentTypeError: If the method is another one.
    """

    SUPPORTED_METHODS = ("LayerGradientShap", "LayerGradientXActivation", "LayerIntegratedGradients")
    SUPPORTED_INPUTS = (TextTokenInput,)

    def attribute(
        self,
        inp: InterpretableInput,
        target: str | Tensor | None = None,
        gen_args: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> LLMAttributionResult:
        """Explain a text.

        Args:
            inp: The input and its tokens.
            target: The text, or its token ids (tokens,); None: what the model writes.
            gen_args: How the text is written, where it is not given; None: up to 25 tokens, each the likeliest.
            kwargs: Further arguments of the method's ``attribute``.

        Returns:
            Attributions, summed over the layer's features.

        Raises:
            ArgumentError: If arguments do not fit.
        """
        tokens = self._target_tokens(inp, target, gen_args).to(self.device)
        rows = [self._of_token(inp, tokens, position, kwargs) for position in range(len(tokens))]
        attr = torch.cat(rows)
        if isinstance(inp, TextTokenInput) and inp.itp_mask is not None:
            attr = attr[:, inp.itp_mask[0].to(attr.device)]
        return LLMAttributionResult(
            seq_attr=attr.sum(dim=0),
            token_attr=attr,
            input_tokens=inp.values,
            output_tokens=pieces(tokens, self.tokenizer),
            inp=inp,
        )

    def _of_token(self, inp: InterpretableInput, tokens: Tensor, position: int, kwargs: dict[str, Any]) -> Tensor:
        method = copy.copy(self.attr_method)
        method.forward_func = _NextToken(self, inp, tokens, position)
        attr: Tensor = method.attribute(inp.to_tensor().to(self.device), **kwargs).detach()
        # Behind the input are the tokens written before.
        return attr[:, : attr.shape[1] - position].sum(dim=-1)


class _NextToken(nn.Module):
    # The score of one token, a function of which tokens of the input are there.

    def __init__(self, asker: BaseLLMAttribution, inp: InterpretableInput, tokens: Tensor, position: int) -> None:
        super().__init__()
        self.model = asker.model
        self.inp, self.tokenizer, self.device = inp, asker.tokenizer, asker.device
        self.before, self.token = tokens[:position], int(tokens[position])

    def forward(self, there: Tensor) -> Tensor:
        ids = model_inputs(self.inp, there, self.tokenizer, self.device)["input_ids"]
        return next_token(self.model, torch.cat([ids, self.before.expand(len(ids), -1)], dim=1), self.token)
