"""Texts whose features are their tokens."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from lightning_explain.captum.attr._utils.interpretable_input.interpretable import InterpretableInput


class TokenizerLike(Protocol):
    """What is asked of a tokenizer, as those of transformers answer it."""

    def __call__(self, text: str, **kwargs: Any) -> Any:  # noqa: ANN401  (a mapping of lists)
        """Token ids and where they are in the text."""

    def encode(self, text: str, **kwargs: Any) -> Any:  # noqa: ANN401  (a list, or a tensor)
        """Token ids."""

    def decode(self, token_ids: Any, **kwargs: Any) -> str:  # noqa: ANN401  (a list, or a tensor)
        """The text."""

    def convert_ids_to_tokens(self, token_ids: list[int]) -> list[str]:
        """Tokens."""

    def convert_tokens_to_ids(self, tokens: list[str]) -> list[int]:
        """Token ids."""


class TextTokenInput(InterpretableInput):
    """A text as token ids: where a token is absent, the baseline's id stands in its place.

    Args:
        text: The text.
        tokenizer: Makes token ids of it.
        baselines: The id that stands for absent tokens, or its token. 0 is often the unknown token.
        skip_tokens: Tokens, or their ids, that are no features: they are always there.
    """

    def __init__(
        self,
        text: str,
        tokenizer: TokenizerLike,
        baselines: int | str = 0,
        skip_tokens: list[int] | list[str] | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.inp_tensor: Tensor = tokenizer.encode(text, return_tensors="pt")
        self.skip_tokens: list[int] | None = self._ids(skip_tokens) if skip_tokens else None
        self.itp_mask: Tensor | None = None
        self.itp_tensor = self.inp_tensor
        if self.skip_tokens:
            self.itp_mask = ~torch.isin(self.inp_tensor, torch.tensor(self.skip_tokens))
            self.itp_tensor = self.inp_tensor[self.itp_mask][None]
        self.values = tokenizer.convert_ids_to_tokens(self.itp_tensor[0].tolist())
        self.n_itp_features = len(self.values)
        self.baselines: int = self._ids([baselines])[0] if isinstance(baselines, str) else baselines

    def to_tensor(self) -> Tensor:
        """All features there.

        Returns:
            Ones, (1, features), int64.
        """
        return torch.ones_like(self.itp_tensor)

    def to_model_input(self, perturbed_tensor: Tensor | None = None) -> Tensor:
        """The token ids.

        Args:
            perturbed_tensor: (n, features): which of them are there, by being one. None: all, of one text.

        Returns:
            (n, tokens), on its device.
        """
        if perturbed_tensor is None:
            return self.inp_tensor
        device = perturbed_tensor.device
        kept = torch.where(perturbed_tensor == 1, self.itp_tensor.to(device), self.baselines)
        if self.itp_mask is None:
            return kept
        ids = self.inp_tensor.to(device).repeat(len(kept), 1)
        ids[:, self.itp_mask[0].to(device)] = kept
        return ids

    def _ids(self, tokens: list[Any]) -> list[int]:
        return self.tokenizer.convert_tokens_to_ids(tokens) if isinstance(tokens[0], str) else tokens
