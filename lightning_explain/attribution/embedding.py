"""Token ids have no gradient; the vectors that stand for them have."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lightning_explain.attribution.interception import named_layers
from lightning_explain.attribution.place import Layer


def token_embedding(model: nn.Module) -> Layer:
    """The place where a model has turned its token ids into vectors.

    That is the model's own ``get_input_embeddings()``, as those of transformers have; else its only ``nn.Embedding``.

    Returns:
        The layer, one attribution for each token and feature, (n, tokens, features).

    Raises:
        ValueError: If the model has none, or more than one of which none is said to be it.

    Example:
        >>> token_embedding(nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 2)))
        Layer(name='0', of='output', channel_dim=-1, call=0)
    """
    layers = named_layers(model)
    ask = getattr(model, "get_input_embeddings", None)
    if callable(ask):
        chosen = ask()
        found = [name for name, layer in layers.items() if layer is chosen]
    else:
        found = [name for name, layer in layers.items() if isinstance(layer, nn.Embedding)]
    if len(found) != 1:
        raise ValueError(
            f"Expected one embedding of tokens, found {', '.join(found) or 'none'}; name it:"
            " Layer('<embedding>', channel_dim=-1)."
        )
    return Layer(found[0], channel_dim=-1)


def embedded(
    model: nn.Module, inputs: Mapping[str, Tensor], ids: str = "input_ids", vectors: str = "inputs_embeds"
) -> dict[str, Tensor]:
    """Give a model vectors in place of token ids, so that they can be explained at the input.

    Args:
        model: Takes either, by keyword, as models of transformers do.
        inputs: Its inputs, with ids (n, tokens).
        ids: The name of the ids.
        vectors: The name of the vectors.

    Returns:
        The inputs with vectors (n, tokens, features), detached, in place of the ids.

    Raises:
        ValueError: If there are no ids of that name, or no embedding.
    """
    if ids not in inputs:
        raise ValueError(f"Expected token ids under {ids!r}; the inputs are {list(inputs)}.")
    table = named_layers(model)[token_embedding(model).name]
    with torch.no_grad():
        made = table(inputs[ids].to(next(table.parameters()).device))
    return {(vectors if name == ids else name): (made if name == ids else held) for name, held in inputs.items()}
