"""LIME of any samples and any model of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from lightning_explain.attribution.guard import borrowed
from lightning_explain.captum.arguments import Tensors, as_arguments, as_inputs, require_samples
from lightning_explain.captum.attr.attribution import PerturbationAttribution, published
from lightning_explain.captum.attr.perturbations import rows_for
from lightning_explain.captum.attr.surrogate import InterpretableModel, samples_of
from lightning_explain.captum.bar import bar
from lightning_explain.captum.errors import ArgumentError
from lightning_explain.captum.host import Host, seed
from lightning_explain.captum.lending import Call
from lightning_explain.captum.repeating import Repetition
from lightning_explain.captum.selecting import Target

Pair = tuple[Tensor, Tensors]
"""(interpretable inputs (1, F), perturbed inputs)"""


class LimeBase(PerturbationAttribution):
    """An interpretable model, fitted to the outputs at perturbed inputs; all its parts are the caller's.

    M. T. Ribeiro, S. Singh, C. Guestrin: "Why Should I Trust You?". arXiv:1602.04938, 2016.

    Args:
        forward_func: A model, or any function of the inputs and the additional arguments, which gives one number for
            what is explained.
        interpretable_model: Has ``fit``, which takes a data loader of (interpretable inputs, outputs, weights), and
            ``representation``.
        similarity_func: ``(inputs, perturbed inputs, interpretable inputs (1, F), **kwargs) -> weight``.
        perturb_func: ``(inputs, **kwargs) -> perturbed inputs``, or interpretable ones; or a generator of these.
        perturb_interpretable_space: Whether these are interpretable ones.
        from_interp_rep_transform: ``(interpretable, inputs, **kwargs) -> perturbed inputs``, where they are.
        to_interp_rep_transform: ``(perturbed, inputs, **kwargs) -> interpretable (1, F)``, where they are not.

    Raises:
        ArgumentError: If the transformation that is needed is None.
    """

    def __init__(
        self,
        forward_func: Callable[..., Any],
        interpretable_model: InterpretableModel,
        similarity_func: Callable[..., Any],
        perturb_func: Callable[..., Any],
        perturb_interpretable_space: bool,
        from_interp_rep_transform: Callable[..., Any] | None,
        to_interp_rep_transform: Callable[..., Any] | None,
    ) -> None:
        super().__init__(forward_func)
        self.interpretable_model = interpretable_model
        self.similarity_func = similarity_func
        self.perturb_func = perturb_func
        self.perturb_interpretable_space = perturb_interpretable_space
        self.from_interp_rep_transform = from_interp_rep_transform
        self.to_interp_rep_transform = to_interp_rep_transform
        needed = "from_interp_rep_transform" if perturb_interpretable_space else "to_interp_rep_transform"
        if getattr(self, needed) is None:
            raise ArgumentError(f"{needed} is needed: it makes the inputs' other form of what perturb_func gives.")

    @property
    def multiplies_by_inputs(self) -> bool:
        """Whether attributions are shares of the output."""
        return False

    @published
    def attribute(
        self,
        inputs: Tensors,
        target: Target = None,
        additional_forward_args: object = None,
        n_samples: int = 50,
        perturbations_per_eval: int = 1,
        show_progress: bool = False,
        **kwargs: Any,
    ) -> Any:  # noqa: ANN401
        """Fit the interpretable model.

        Args:
            inputs: A tensor, or a tuple of tensors, for which the forward function gives one number.
            target: Which output is explained.
            additional_forward_args: What the forward function is given after the inputs.
            n_samples: How often is perturbed.
            perturbations_per_eval: How many perturbed inputs go through the model at once, one behind the other.
            show_progress: Whether a bar on standard error shows how far it is.
            kwargs: Given to all functions.

        Returns:
            The representation of the fitted model.

        Raises:
            ArgumentError: If there is not one number for each perturbation.
        """
        rows_for(perturbations_per_eval, inputs)
        require_samples(as_inputs(inputs))
        parts, done = [], 0
        pairs = self._pairs(inputs, kwargs)
        with (
            borrowed(Host(self.forward_func), seed()),
            bar(self.bar_title(show_progress)) as tell,
            torch.no_grad(),
        ):
            while group := list(islice(pairs, min(perturbations_per_eval, n_samples - done))):
                if tell is not None and not done:
                    tell(0, n_samples)
                weights = [self._weight(inputs, *pair, kwargs) for pair in group]
                outputs = self._outputs([perturbed for _, perturbed in group], target, additional_forward_args)
                parts.append((
                    torch.cat([design for design, _ in group]),
                    outputs,
                    torch.tensor(weights, device=outputs.device),
                ))
                done += len(group)
                if tell is not None:
                    tell(done, n_samples)
        if done < n_samples:
            warnings.warn(
                f"perturb_func gave {done} of {n_samples} samples; the model is fitted to these.", stacklevel=2
            )
        data = TensorDataset(*(torch.cat(held).float() for held in zip(*parts, strict=True)))
        # A loader without a generator of its own moves the global one.
        self.interpretable_model.fit(DataLoader(data, batch_size=done, generator=torch.Generator()))
        return self.interpretable_model.representation()

    def _pairs(self, inputs: Tensors, named: dict[str, Any]) -> Iterator[Pair]:
        for sample in samples_of(self.perturb_func, inputs, named):
            if self.perturb_interpretable_space:
                yield sample, self.from_interp_rep_transform(sample, inputs, **named)  # type: ignore[misc]
            else:
                yield self.to_interp_rep_transform(sample, inputs, **named), sample  # type: ignore[misc]

    def _weight(self, inputs: Tensors, design: Tensor, perturbed: Tensors, named: dict[str, Any]) -> float:
        return float(self.similarity_func(inputs, perturbed, design, **named))

    def _outputs(self, group: list[Tensors], target: Target, additional_forward_args: object) -> Tensor:
        # One number for each of the perturbed inputs.
        count = len(group)
        point = tuple(map(torch.cat, zip(*map(as_inputs, group), strict=True)))
        call = Call(self.forward_func, as_arguments(additional_forward_args), target)
        found = call.repeated(Repetition(count, in_place=False)).selection(point)
        if found.numel() != count:
            raise ArgumentError(f"The forward function gave {found.numel()} numbers for {count} perturbed input(s).")
        return found.flatten()
