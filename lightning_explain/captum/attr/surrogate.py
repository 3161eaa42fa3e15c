"""LIME whose parts are the caller's: what is drawn, how much it counts, what is fitted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from inspect import isgeneratorfunction
from itertools import islice
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from lightning_explain.attribution.features import Features
from lightning_explain.attribution.linear import lasso
from lightning_explain.attribution.methods import Method
from lightning_explain.attribution.methods.lime import coalitions_of, distances
from lightning_explain.attribution.problem import Problem
from lightning_explain.captum.attr.similarity import ExponentialKernel
from lightning_explain.captum.errors import ArgumentError
from lightning_explain.inputs import Point, leaves, pick
from lightning_explain.precision import accurate

ALPHA = 0.01
"""The strength of LIME's lasso, in units of the output."""


class InterpretableModel(Protocol):
    """A model that is fitted to samples, and then says what it learnt."""

    def fit(self, train_data: DataLoader[Any]) -> Any:  # noqa: ANN401
        """Fit (interpretable inputs (k, F), outputs (k,), weights (k,))."""

    def representation(self) -> Tensor:
        """The coefficients (F,)."""


@dataclass(frozen=True)
class Surrogate(Method):
    """The coefficients of the caller's model of the output in the presence of features.

    Rows of all samples go through the model together, and the model is fitted to one sample after the other, for it
    is no more than an object with a method ``fit``.

    Args:
        model: What is fitted; None: the lasso of strength :data:`ALPHA`.
        similarity: ``(inputs, perturbed inputs, presence (1, F), **kwargs) -> weight``.
        perturb: ``(inputs, **kwargs) -> presence (1, F)``, or a generator of these; None: as the engine's LIME draws.
        n_samples: How often is drawn.
        seed: Where the engine's random numbers begin.
        tupled: Whether these functions are given inputs in a tuple.
        per_batch: Whether the samples of the problem are batches.
    """

    name = "surrogate"
    per_feature = True

    model: InterpretableModel | None
    similarity: Callable[..., Any]
    perturb: Callable[..., Any] | None = None
    n_samples: int = 25
    seed: int = field(default=0, kw_only=True)
    tupled: bool = field(default=False, kw_only=True)
    per_batch: bool = field(default=False, kw_only=True)

    def __call__(self, problem: Problem) -> Point:
        features = features_by_id(problem)
        design = self._design(problem, features)

        def points(rows: Tensor, copies: Tensor) -> Point:
            return features.mixed(design[rows, copies].bool(), rows, problem.z, problem.z0)

        found = problem.values(design.shape[1], points)
        weights = self._weights(problem, features, design)
        coefficients = [fitted(self.model, *of_sample) for of_sample in zip(design, found, weights, strict=True)]
        return features.spread(torch.stack(coefficients).to(found), problem.z)

    def _design(self, problem: Problem, features: Features) -> Tensor:
        # What is present in each draw of each sample.
        if self.perturb is None:
            drawn = coalitions_of(features.count, self.n_samples, self.seed)
            return drawn.to(problem.z[0].device).expand(problem.samples, -1, -1)
        each = []
        for number in range(problem.samples):
            given, named = self._told(problem, features, number)
            drawn = torch.cat(list(islice(samples_of(self.perturb, given, named), self.n_samples)))
            each.append(drawn.reshape(-1, features.count).to(problem.z[0].device))
        if len({len(drawn) for drawn in each}) > 1:
            raise ArgumentError(f"perturb_func gave different numbers of samples, {sorted(map(len, each))}.")
        return torch.stack(each)

    def _weights(self, problem: Problem, features: Features, design: Tensor) -> Tensor:
        # Of each draw of each sample.
        if isinstance(self.similarity, ExponentialKernel) and self.perturb is None:
            kind = self.similarity.distance_mode
            return self.similarity.of(distances(features, problem.z, problem.z0, accurate(design[0]), kind))
        weights = []
        for number, own in enumerate(design):
            given, named = self._told(problem, features, number)
            row = torch.tensor([number], device=own.device)
            for present in own.split(1):
                perturbed = self._form(features.mixed(present.bool(), row, problem.z, problem.z0))
                weights.append(float(self.similarity(given, perturbed, present.long(), **named)))
        return torch.tensor(weights, dtype=torch.float64, device=design.device).view(design.shape[:2])

    def _told(self, problem: Problem, features: Features, number: int) -> tuple[Any, dict[str, Any]]:
        row = torch.tensor([number], device=problem.z[0].device)
        masks = tuple(pick((mask,), row)[0] if len(mask) > 1 else mask for mask in features.numbers)
        named = {"baselines": self._form(pick(problem.z0, row)), "feature_mask": self._form(masks)}
        return self._form(pick(problem.z, row)), named | {"num_interp_features": features.count}

    def _form(self, point: Point) -> Any:  # noqa: ANN401
        point = tuple(leaf[0] for leaf in point) if self.per_batch else point
        return point if self.tupled else point[0]


def samples_of(perturb: Callable[..., Any], inputs: Any, named: dict[str, Any]) -> Iterator[Any]:  # noqa: ANN401
    """What a function, or a generator function, draws.

    Yields:
        Samples, without an end where it is a function.
    """
    if isgeneratorfunction(perturb):
        yield from perturb(inputs, **named)
        return
    while True:
        yield perturb(inputs, **named)


def fitted(model: InterpretableModel | None, design: Tensor, outputs: Tensor, weights: Tensor) -> Tensor:
    """Fit an interpretable model.

    Args:
        model: The model; None: the lasso.
        design: Interpretable inputs (K, F).
        outputs: Outputs (K,).
        weights: Weights (K,).

    Returns:
        Its representation, in one row.
    """
    if model is None:
        y, weights = accurate(outputs)[None], accurate(weights)[None]
        return lasso(accurate(design), y, weights / weights.sum(), torch.full_like(y[:, 0], ALPHA))[0]
    data = TensorDataset(design.float(), outputs.float(), weights.float())
    with torch.enable_grad():  # it may be trained by gradients
        model.fit(DataLoader(data, batch_size=len(data)))
    return model.representation().detach().flatten().to(design.device)


def features_by_id(problem: Problem) -> Features:
    """Features numbered by their ids, from the smallest on: an id that is missing is a feature without elements.

    Returns:
        The features.
    """
    if problem.feature_mask is None:
        return problem.features
    ids = leaves(problem.feature_mask)
    filled = [mask for mask in ids if mask.numel()]
    first = min(int(mask.min()) for mask in filled)
    count = max(int(mask.max()) for mask in filled) + 1 - first
    return Features(tuple(mask.to(problem.z[0].device) - first for mask in ids), torch.tensor([count]))
