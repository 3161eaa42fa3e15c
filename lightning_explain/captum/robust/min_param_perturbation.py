"""Captum's ``MinParamPerturbation``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from lightning_explain.captum.arguments import as_arguments
from lightning_explain.captum.errors import ArgumentError, ArgumentTypeError
from lightning_explain.captum.lending import kept
from lightning_explain.captum.robust.running import Prepared, runner
from lightning_explain.robust.groups import in_groups
from lightning_explain.robust.minimal import correct
from lightning_explain.robust.search import Steps, smallest

MODES = ("linear", "binary")


class MinParamPerturbation:
    """The smallest value of an attack's parameter at which a model is misled.

    Args:
        forward_func: The model, or any function of the inputs.
        attack: (inputs, ..., the parameter as a keyword) -> perturbed inputs.
        arg_name: The parameter's name.
        arg_min: Its least value.
        arg_max: What it stays below.
        arg_step: The distance between two values.
        mode: ``"linear"`` tries all values in turn; ``"binary"`` bisects, where larger values mislead if one does.
        num_attempts: How often each value is tried, for an attack that draws random numbers.
        preproc_fn: Makes of the inputs what the model takes.
        apply_before_preproc: Whether the attack perturbs raw inputs, or what ``preproc_fn`` gives.
        correct_fn: (outputs, target=..., **kwargs) -> whether the model is still right; None: whether the largest
            output is that of the target, for all rows.

    Raises:
        ArgumentError: If there are fewer than two values, no attempts, or no such mode.
    """

    def __init__(  # noqa: PLR0913  (Captum's)
        self,
        forward_func: Callable[..., Any],
        attack: Callable[..., Any],
        arg_name: str,
        arg_min: float,
        arg_max: float,
        arg_step: float,
        mode: str = "linear",
        num_attempts: int = 1,
        preproc_fn: Callable[..., Any] | None = None,
        apply_before_preproc: bool = False,
        correct_fn: Callable[..., Any] | None = None,
    ) -> None:
        if not arg_step > 0 or not arg_max > arg_min + arg_step:
            raise ArgumentError(
                "Expected a positive arg_step with which at least two values lie from arg_min up and below arg_max; got"
                f" arg_min={arg_min}, arg_max={arg_max}, arg_step={arg_step}."
            )
        if num_attempts < 1:
            raise ArgumentError(f"num_attempts must be at least 1, got {num_attempts}.")
        if mode.lower() not in MODES:
            raise ArgumentError(f"mode must be {' or '.join(map(repr, MODES))}, got {mode!r}.")
        self.forward_func = forward_func
        self.attack = attack
        self.arg_name = arg_name
        self.arg_min, self.arg_max, self.arg_step = arg_min, arg_max, arg_step
        self.mode = mode.lower()
        self.num_attempts = num_attempts
        self.preproc_fn = preproc_fn
        self.apply_before_preproc = apply_before_preproc
        self.correct_fn: Callable[..., Any] = default_correct_fn if correct_fn is None else correct_fn

    def evaluate(
        self,
        inputs: Any,  # noqa: ANN401  (what the preprocessing takes)
        additional_forward_args: object = None,
        target: Any = None,  # noqa: ANN401  (what the function that judges takes)
        perturbations_per_eval: int = 1,
        attack_kwargs: dict[str, Any] | None = None,
        correct_fn_kwargs: dict[str, Any] | None = None,
    ) -> tuple[Any, float | None]:
        """Search the smallest value.

        Args:
            inputs: One sample, best; of several, the first that is misled ends the search by default.
            additional_forward_args: What the forward function is passed after the inputs.
            target: What the model should say.
            perturbations_per_eval: How many perturbed batches go through the model together.
            attack_kwargs: What the attack is passed besides.
            correct_fn_kwargs: What the function that judges is passed besides.

        Returns:
            What the attack gave, and the value; (None, None) where no value misleads the model.
        """
        prepared = Prepared.of(inputs, self.preproc_fn)
        run = runner(self.forward_func, as_arguments(additional_forward_args))
        known = ({} if target is None else {"target": target}) | (correct_fn_kwargs or {})
        values = Steps(self.arg_min, self.arg_max, self.arg_step)

        def first(tried: Sequence[float]) -> tuple[Any, float | None]:
            candidates = self._candidates(prepared, tried, attack_kwargs or {})
            for found, outputs in in_groups(candidates, run, perturbations_per_eval):
                if not self.correct_fn(outputs, **known):
                    return found
            return None, None

        with kept(self.forward_func):
            return first(values) if self.mode == "linear" else _bisected(first, values)

    def _candidates(
        self, prepared: Prepared, values: Sequence[float], arguments: dict[str, Any]
    ) -> Iterator[tuple[tuple[Any, float], Any]]:
        for value in values:
            for _ in range(self.num_attempts):
                told = arguments | {self.arg_name: value}
                perturbed, ready = prepared.attacked(self.attack, self.apply_before_preproc, told)
                yield (perturbed, value), ready


def default_correct_fn(model_out: Tensor, target: Any = None) -> bool:  # noqa: ANN401
    """Whether the largest output is that of the target, for all rows.

    Args:
        model_out: Outputs (n, classes).
        target: Indices for each row, or one for all.

    Returns:
        Whether all are.

    Raises:
        ArgumentError: If the outputs are of another shape.
        ArgumentTypeError: If there is no target.
    """
    if not isinstance(model_out, Tensor) or model_out.ndim != 2:
        said = tuple(model_out.shape) if isinstance(model_out, Tensor) else type(model_out).__name__
        raise ArgumentError(f"Expected outputs (n, classes), got {said}; pass correct_fn= for others.")
    if target is None:
        raise ArgumentTypeError(
            "Whether the model is right is judged by target=, which is missing; or pass correct_fn."
        )
    return bool(correct(model_out, torch.as_tensor(target)).all())


def _bisected(
    first: Callable[[Sequence[float]], tuple[Any, float | None]], values: Sequence[float]
) -> tuple[Any, float | None]:
    found: dict[int, tuple[Any, float | None]] = {}

    def succeeds(number: int, _: Tensor) -> Tensor:
        found[number] = first([values[number]])
        return torch.tensor([found[number][1] is not None])

    return found.get(int(smallest(succeeds, len(values))), (None, None))
