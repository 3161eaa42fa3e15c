"""Log-probabilities of a text's tokens: all at once, or one after the other as it would be written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

ModelInputs = dict[str, Any]


@torch.no_grad()
def at_once(model: Callable[..., Any], inputs: ModelInputs, tokens: Tensor) -> Tensor:
    """Log-probabilities from one pass over input and text together.

    A model that looks back alone gives what it would give token by token, up to rounding.

    Args:
        model: Gives ``logits``.
        inputs: Its inputs, with ``input_ids`` (n, length).
        tokens: The text (tokens,).

    Returns:
        (n, tokens).
    """
    ids = inputs["input_ids"]
    written = tokens.to(ids.device).expand(len(ids), -1)
    joined = torch.cat([ids, written], dim=1)
    mask = _longer(_mask(inputs), written.shape[1])
    given = model(**{**inputs, "input_ids": joined, "attention_mask": mask})
    logits = _logits(given)[:, ids.shape[1] - 1 : -1]
    return _log_softmax(logits).gather(-1, written[..., None])[..., 0]


@torch.no_grad()
def one_by_one(model: Callable[..., Any], inputs: ModelInputs, tokens: Tensor, cached: bool) -> Tensor:
    """Log-probabilities from one pass for each token, as the text would be written.

    Args:
        model: Gives ``logits``, and ``past_key_values`` where it keeps them.
        inputs: Its inputs, with ``input_ids`` (n, length).
        tokens: The text (tokens,).
        cached: Whether a pass sees the new token alone, and what the model kept of those before.

    Returns:
        (n, tokens).
    """
    found = []
    step = {**inputs, "attention_mask": _mask(inputs), "use_cache": cached}
    ids = inputs["input_ids"]
    for token in tokens.tolist():
        given = model(**step)
        found.append(_log_softmax(_logits(given)[:, -1])[:, token])
        new = ids.new_full((len(ids), 1), token)
        mask = _longer(step["attention_mask"], 1)
        kept = getattr(given, "past_key_values", None) if cached else None
        if kept is None:
            step = {**step, "input_ids": torch.cat([step["input_ids"], new], dim=1), "attention_mask": mask}
        else:
            step = {"input_ids": new, "attention_mask": mask, "past_key_values": kept, "use_cache": True}
    return torch.stack(found, dim=1)


def next_token(model: Callable[..., Any], ids: Tensor, token: int) -> Tensor:
    """Log-probability of the next token, differentiable.

    Args:
        model: Gives ``logits``.
        ids: (n, length).
        token: The token.

    Returns:
        (n,).
    """
    return _log_softmax(_logits(model(ids))[:, -1])[:, token]


def _mask(inputs: ModelInputs) -> Tensor:
    mask = inputs.get("attention_mask")
    return torch.ones_like(inputs["input_ids"]) if mask is None else mask


def _longer(mask: Tensor, by: int) -> Tensor:
    return torch.cat([mask, mask.new_ones(len(mask), by)], dim=1)


def _logits(given: Any) -> Tensor:  # noqa: ANN401  (what a model gives)
    logits: Tensor = given.logits
    # Some models give (n, 1, length, vocabulary).
    return logits[:, 0] if logits.ndim == 4 else logits


def _log_softmax(logits: Tensor) -> Tensor:
    return logits.float().log_softmax(dim=-1) if logits.dtype != torch.float64 else logits.log_softmax(dim=-1)
