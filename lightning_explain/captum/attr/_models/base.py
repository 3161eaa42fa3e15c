"""Embeddings set aside, so that a model of token ids takes the vectors that stand for them."""

from __future__ import annotations

import operator
import warnings

import torch
from torch import Tensor, nn

from lightning_explain.captum.errors import ArgumentError


class InterpretableEmbeddingBase(nn.Module):
    """Stands where an embedding was: it is given the vectors, and hands them on.

    Args:
        embedding: The layer that makes the vectors.
        full_name: Where it was in its model, with dots.
    """

    def __init__(self, embedding: nn.Module, full_name: str) -> None:
        super().__init__()
        self.num_embeddings = getattr(embedding, "num_embeddings", None)
        self.embedding_dim = getattr(embedding, "embedding_dim", None)
        self.embedding = embedding
        self.full_name = full_name
        self.training = embedding.training

    def forward(self, *inputs: object, **kwargs: object) -> object:
        """Hand the vectors on.

        Args:
            inputs: What the embedding would be called with, the vectors in place of its first argument.
            kwargs: The same by keyword.

        Returns:
            The first of them.

        Raises:
            ArgumentError: If there is none.
        """
        given = [*inputs, *kwargs.values()]
        if not given:
            raise ArgumentError(f"The embedding {self.full_name!r} was called without vectors to hand on.")
        return given[0]

    def indices_to_embeddings(self, *input: object, **kwargs: object) -> Tensor:  # noqa: A002  (Captum's name)
        """The vectors of token ids.

        Args:
            input: What the embedding is called with.
            kwargs: The same by keyword.

        Returns:
            What it gives, (..., features) for ids (...).
        """
        vectors: Tensor = self.embedding(*input, **kwargs)
        return vectors


class TokenReferenceBase:
    """A baseline for token ids: the same token everywhere.

    Args:
        reference_token_idx: Its id, such as that of padding.
    """

    def __init__(self, reference_token_idx: int = 0) -> None:
        self.reference_token_idx = reference_token_idx

    def generate_reference(self, sequence_length: int, device: torch.device) -> Tensor:
        """The baseline of a text.

        Args:
            sequence_length: Tokens.
            device: Where it lies.

        Returns:
            (tokens,), int64.
        """
        return torch.full((sequence_length,), self.reference_token_idx, dtype=torch.int64, device=device)


def configure_interpretable_embedding_layer(
    model: nn.Module, embedding_layer_name: str = "embedding"
) -> InterpretableEmbeddingBase:
    """Let a model take vectors where it took token ids; :func:`remove_interpretable_embedding_layer` undoes it.

    Args:
        model: It is changed in place.
        embedding_layer_name: The embedding's name, with dots.

    Returns:
        What stands in its place; it makes vectors of ids.

    Raises:
        ArgumentError: If that was done before.
    """
    embedding = operator.attrgetter(embedding_layer_name)(model)
    if type(embedding) is InterpretableEmbeddingBase:
        raise ArgumentError(
            f"{embedding_layer_name!r} takes vectors already; remove_interpretable_embedding_layer undoes that."
        )
    warnings.warn(
        f"{embedding_layer_name!r} now takes vectors in place of token ids; give the model its embedding back with"
        " remove_interpretable_embedding_layer when you are done.",
        stacklevel=2,
    )
    interpretable = InterpretableEmbeddingBase(embedding, embedding_layer_name)
    _put(model, embedding_layer_name, interpretable)
    return interpretable


def remove_interpretable_embedding_layer(model: nn.Module, interpretable_emb: InterpretableEmbeddingBase) -> None:
    """Give a model its embedding back.

    Args:
        model: It is changed in place.
        interpretable_emb: What stands in the embedding's place.
    """
    _put(model, interpretable_emb.full_name, interpretable_emb.embedding)


def _put(model: nn.Module, name: str, layer: nn.Module) -> None:
    holder, _, last = name.rpartition(".")
    setattr(operator.attrgetter(holder)(model) if holder else model, last, layer)
