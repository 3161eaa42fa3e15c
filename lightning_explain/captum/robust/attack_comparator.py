"""Captum's ``AttackComparator``."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any, Generic, NamedTuple, TypeVar

from torch import Tensor

from lightning_explain.captum.arguments import as_arguments
from lightning_explain.captum.errors import ArgumentError, ArgumentTypeError
from lightning_explain.captum.lending import kept
from lightning_explain.captum.robust.running import Prepared, runner
from lightning_explain.robust.groups import in_groups
from lightning_explain.robust.tally import STATISTICS, Tally, over_samples

ORIGINAL_KEY = "Original"

MetricResultType = TypeVar("MetricResultType", float, Tensor, tuple[float | Tensor, ...])


class AttackInfo(NamedTuple):
    """An attack that was added."""

    attack_fn: Callable[..., Any]
    name: str
    num_attempts: int
    apply_before_preproc: bool
    attack_kwargs: dict[str, Any]
    additional_args: list[str]


class AttackComparator(Generic[MetricResultType]):
    """What attacks do to a metric of a model, and its mean over the batches seen so far.

    Args:
        forward_func: The model, or any function of the inputs.
        metric: (outputs, **kwargs of ``evaluate``) -> a number, a tensor whose first dimension is the batch, or a
            (named) tuple of such.
        preproc_fn: Makes of the inputs what the model takes.
    """

    def __init__(
        self,
        forward_func: Callable[..., Any],
        metric: Callable[..., MetricResultType],
        preproc_fn: Callable[..., Any] | None = None,
    ) -> None:
        self.forward_func = forward_func
        self.metric: Callable[..., Any] = metric
        self.preproc_fn = preproc_fn
        self.attacks: dict[str, AttackInfo] = {}
        self.summary_results: dict[str, Tally] = {}

    def add_attack(
        self,
        attack: Callable[..., Any],
        name: str | None = None,
        num_attempts: int = 1,
        apply_before_preproc: bool = True,
        attack_kwargs: dict[str, Any] | None = None,
        additional_attack_arg_names: list[str] | None = None,
    ) -> None:
        """Add an attack.

        Args:
            attack: (inputs, ...) -> perturbed inputs: an attack of this package, or any function.
            name: Its name in results; None: that of its class.
            num_attempts: How often it is tried, for one that draws random numbers.
            apply_before_preproc: Whether it perturbs raw inputs, or what ``preproc_fn`` gives.
            attack_kwargs: What it is passed.
            additional_attack_arg_names: Which of the keywords of ``evaluate`` it is passed.

        Raises:
            ArgumentError: If it is not tried at all.
            ArgumentTypeError: If it cannot be called.
            RuntimeError: If the name is taken.
        """
        if not callable(attack):
            raise ArgumentTypeError(f"An attack is a function of the inputs, got {type(attack).__name__}.")
        if num_attempts < 1:
            raise ArgumentError(f"num_attempts must be at least 1, got {num_attempts}.")
        name = type(attack).__name__ if name is None else name
        if name in self.attacks:
            raise RuntimeError(f"There is an attack {name!r} already; pass another name=.")
        self.attacks[name] = AttackInfo(
            attack,
            name,
            num_attempts,
            apply_before_preproc,
            {} if attack_kwargs is None else attack_kwargs,
            [] if additional_attack_arg_names is None else additional_attack_arg_names,
        )

    def evaluate(
        self,
        inputs: Any,  # noqa: ANN401  (what the preprocessing takes)
        additional_forward_args: object = None,
        perturbations_per_eval: int = 1,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Evaluate the metric on a batch, without and under each attack.

        Args:
            inputs: The batch, or anything that ``preproc_fn`` or the model takes.
            additional_forward_args: What the forward function is passed after the inputs.
            perturbations_per_eval: How many perturbed batches go through the model together.
            kwargs: For the metric, and for the attacks that ask for them.

        Returns:
            The metric, ``"Original"``; and for each attack ``{"mean": ...}``, with ``"max"`` and ``"min"`` over its
            attempts where there are several.
        """
        tallies = {ORIGINAL_KEY: Tally()} | {name: Tally() for name in self.attacks}
        run = runner(self.forward_func, as_arguments(additional_forward_args))
        candidates = self._candidates(Prepared.of(inputs, self.preproc_fn), kwargs)
        with kept(self.forward_func):
            for name, outputs in in_groups(candidates, run, perturbations_per_eval):
                tallies[name].add(self.metric(outputs, **kwargs))
        return self._recorded(tallies)

    def summary(self) -> dict[str, dict[str, Any]]:
        """The mean over all batches since the beginning, or the last :meth:`reset`, each counted once.

        Returns:
            ``{"mean": ...}`` for ``"Original"`` and each attack; for one of several attempts under the names
            ``"<name> Mean Attempt"``, ``"<name> Max Attempt"`` and ``"<name> Min Attempt"``.
        """
        return {key: {"mean": tally.read("mean")} for key, tally in self.summary_results.items()}

    def reset(self) -> None:
        """Forget the batches seen so far."""
        self.summary_results = {}

    def _candidates(self, prepared: Prepared, kwargs: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        yield ORIGINAL_KEY, prepared.ready
        for name, attack in self.attacks.items():
            for key in attack.additional_args:
                if key not in kwargs:
                    warnings.warn(f"The attack {name!r} asks for {key!r}, which was not passed.", stacklevel=3)
            wanted = {key: kwargs[key] for key in attack.additional_args if key in kwargs} | attack.attack_kwargs
            for _ in range(attack.num_attempts):
                yield name, prepared.attacked(attack.attack_fn, attack.apply_before_preproc, wanted)[1]

    def _recorded(self, tallies: dict[str, Tally]) -> dict[str, Any]:
        results: dict[str, Any] = {}
        for name, tally in tallies.items():
            attempts = 1 if name == ORIGINAL_KEY else self.attacks[name].num_attempts
            told = {statistic: tally.read(statistic) for statistic in (STATISTICS if attempts > 1 else ("mean",))}
            results[name] = told["mean"] if name == ORIGINAL_KEY else told
            for statistic, value in told.items():
                key = name if attempts == 1 else f"{name} {statistic.title()} Attempt"
                self.summary_results.setdefault(key, Tally()).add(over_samples(value))
        return results
