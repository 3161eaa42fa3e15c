"""Feature ablation of what is measured over a whole data set."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from lightning_explain.attribution.features import Features
from lightning_explain.captum.arguments import (
    Baselines,
    Tensors,
    as_baselines,
    as_inputs,
    as_masks,
    positions,
    promoted,
    require_samples,
    shaped_like,
)
from lightning_explain.captum.ask import Answer
from lightning_explain.captum.asking import answer
from lightning_explain.captum.attr.attribution import Attribution
from lightning_explain.captum.attr.perturbations import FeatureAblation
from lightning_explain.captum.calling import called
from lightning_explain.captum.errors import ArgumentError, ArgumentTypeError
from lightning_explain.captum.host import owner_of
from lightning_explain.captum.shaping import by_flat_output
from lightning_explain.inputs import Point
from lightning_explain.randomness import isolated


class InputRole:
    """What is done with a thing that a data loader gives."""

    need_attr = 0
    need_forward = 1
    no_forward = 2


class DataLoaderAttribution(Attribution):
    """Feature ablation of a number that is measured over all batches of a data loader: accuracy, or a corpus's score.

    For metrics of torchmetrics see :func:`lightning_explain.explain_dataset`.

    Args:
        attr_method: A :class:`FeatureAblation`.

    Raises:
        ArgumentTypeError: If it is something else.
    """

    def __init__(self, attr_method: Attribution) -> None:
        if type(attr_method) is not FeatureAblation:
            raise ArgumentTypeError(f"Data loaders are explained by FeatureAblation, got {type(attr_method).__name__}.")
        super().__init__(attr_method.forward_func)
        self.attr_method = attr_method

    def attribute(  # noqa: PLR0913  (Captum's signature)
        self,
        dataloader: Iterable[Any],
        input_roles: tuple[int, ...] | None = None,
        baselines: Baselines = None,
        feature_mask: Tensors | None = None,
        reduce: Callable[..., Any] | None = None,
        to_metric: Callable[[Any], Tensor] | None = None,
        perturbations_per_pass: int = 1,
        show_progress: bool = False,
        return_input_shape: bool = True,
    ) -> Any:  # noqa: ANN401
        """Ablate features in all samples, and measure.

        The loader is run through ceil(F / ``perturbations_per_pass``) + 1 times, and asked for its first batch.

        Args:
            dataloader: Gives tensors, or tuples or lists of things; the same at every pass.
            input_roles: The role (:class:`InputRole`) of each of these; None: all are explained.
            baselines: As in :meth:`FeatureAblation.attribute`, of one sample.
            feature_mask: As there, of one sample.
            reduce: ``(accumulated or None, outputs, perturbed batch) -> accumulated``; None: all outputs, in a row.
            to_metric: ``(accumulated) -> tensor``, which is explained; None: what was accumulated is.
            perturbations_per_pass: Features that are ablated during one pass.
            show_progress: Whether a bar on standard error shows how far it is.
            return_input_shape: Whether attributions have the inputs' shape; otherwise they are (numbers, F).

        Returns:
            A tensor (numbers, ...) for each explained input, as many numbers as are measured.

        Raises:
            ArgumentError: If an argument does not fit.
        """
        if not isinstance(perturbations_per_pass, int) or perturbations_per_pass < 1:
            raise ArgumentError(f"perturbations_per_pass must be at least 1, got {perturbations_per_pass}.")
        with isolated(0):  # a loader draws a seed for its workers, whoever looks at it
            batch = next(iter(dataloader), None)
        if batch is None:
            raise ArgumentError("The dataloader gives no batch.")
        roles = _roles(input_roles, batch)
        loaded = _Loaded.of(batch, roles, baselines, feature_mask)
        measured = _Measured(self.forward_func, dataloader, loaded, reduce or _appended, to_metric)

        def form(found: Answer) -> Tensors:
            (unique,) = as_inputs(by_flat_output(found))
            return shaped_like(_as_given(batch), loaded.laid_out(unique)) if return_input_shape else unique

        title = f"{self.get_name()} attribution" if show_progress else ""
        present = torch.ones(1, loaded.features.count, device=loaded.baselines[0].device)
        ask = self.attr_method.asked(present)
        return answer(measured, replace(ask, max_rows=perturbations_per_pass, progress=title, form=form))


@dataclass(frozen=True, eq=False)
class _Loaded:
    """What is known of all batches: the roles of their things, and the features and baselines of those explained."""

    roles: tuple[int, ...]
    baselines: Point
    features: Features

    @classmethod
    def of(cls, batch: Any, roles: tuple[int, ...], baselines: Baselines, feature_mask: Tensors | None) -> _Loaded:  # noqa: ANN401
        explained = as_inputs(
            tuple(x for x, role in zip(_things(batch), roles, strict=True) if role == InputRole.need_attr)
        )
        require_samples(explained, "a first batch")
        one = tuple(leaf[:1] for leaf in explained)
        device = explained[0].device
        masks = tuple(mask.to(device) for mask in as_masks(feature_mask, one) or positions(one))
        count = max(int(mask.max()) for mask in masks) + 1
        return cls(roles, as_baselines(baselines, one), Features(masks, torch.tensor([count])))

    def perturbed(self, batch: Any, present: Tensor) -> tuple[Any, ...]:  # noqa: ANN401
        """A batch in which the features that are not ``present`` (F,) are the baseline's.

        Returns:
            Its things.
        """
        things = _things(batch)
        z = tuple(x for x, role in zip(things, self.roles, strict=True) if role == InputRole.need_attr)
        z, baselines = promoted(z, self.baselines), promoted(self.baselines, z)
        n, present = len(z[0]), present.to(z[0].device)
        z0 = tuple(base.expand(n, *base.shape[1:]) for base in baselines)
        rows = torch.arange(n, device=z[0].device)
        changed = iter(self.features.mixed(present.expand(n, -1), rows, z, z0))
        return tuple(
            next(changed) if role == InputRole.need_attr else x for x, role in zip(things, self.roles, strict=True)
        )

    def laid_out(self, attributions: Tensor) -> Point:
        """The features' attributions (numbers, F) in the form of inputs.

        Returns:
            Tensors (numbers, ...).
        """
        like = tuple(base.expand(len(attributions), *base.shape[1:]) for base in self.baselines)
        return self.features.spread(attributions.to(like[0].device), like)


class _Measured:
    """What is measured over the data where some features are present, (m, F) -> (m, ...)."""

    def __init__(
        self,
        function: Callable[..., Any],
        dataloader: Iterable[Any],
        loaded: _Loaded,
        reduce: Callable[..., Any],
        to_metric: Callable[[Any], Tensor] | None,
    ) -> None:
        self.function, self.dataloader, self.loaded = function, dataloader, loaded
        self.reduce, self.to_metric = reduce, to_metric
        self.__self__ = owner_of(function)  # what it runs is found, as for a method

    def __call__(self, present: Tensor) -> Tensor:
        totals: list[Any] = [None] * len(present)
        for batch in self.dataloader:
            for number, row in enumerate(present.bool()):
                things = self.loaded.perturbed(batch, row)
                given = tuple(
                    x for x, role in zip(things, self.loaded.roles, strict=True) if role != InputRole.no_forward
                )
                totals[number] = self.reduce(totals[number], called(self.function, given, ()), things)
        measured = totals if self.to_metric is None else [self.to_metric(total) for total in totals]
        for found in measured:
            if not isinstance(found, Tensor):
                raise ArgumentTypeError(f"What is measured must be a tensor, got {type(found).__name__}.")
        return torch.stack(measured)


def _roles(input_roles: tuple[int, ...] | None, batch: Any) -> tuple[int, ...]:  # noqa: ANN401
    count = len(_things(batch))
    roles = (InputRole.need_attr,) * count if input_roles is None else tuple(input_roles)
    if len(roles) != count:
        raise ArgumentError(f"Expected a role for each of the {count} thing(s) in a batch, got {len(roles)}.")
    if InputRole.need_attr not in roles:
        raise ArgumentError(f"Nothing is to be explained: no role is {InputRole.need_attr}, got {roles}.")
    return roles


def _things(batch: Any) -> tuple[Any, ...]:  # noqa: ANN401
    return tuple(batch) if isinstance(batch, (list, tuple)) else (batch,)


def _as_given(batch: Any) -> Any:  # noqa: ANN401
    return tuple(batch) if isinstance(batch, list) else batch


def _appended(total: Tensor | None, outputs: Tensor, _batch: object) -> Tensor:
    return outputs if total is None else torch.cat([total, outputs])
