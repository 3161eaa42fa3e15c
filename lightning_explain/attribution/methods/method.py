"""What an attribution method is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor

from lightning_explain.attribution.convergence import convergence_delta
from lightning_explain.attribution.place import Input, Neuron, Place
from lightning_explain.attribution.problem import Problem
from lightning_explain.inputs import Point
from lightning_explain.registry import Registry


class Method(ABC):
    """A formula: from a problem's variable, baseline, score and gradient to attributions.

    Subclasses are frozen dataclasses; their fields are the method's parameters, and they never ask
    for a layer or a neuron: that is the place's business.
    """

    name: ClassVar[str]
    complete: ClassVar[bool] = False
    """Whether the attributions sum to score(z) - score(baseline), up to the convergence delta."""

    coarse: ClassVar[bool] = False
    """Whether the attributions are a coarse map of a layer, to be upsampled to the input."""

    per_feature: ClassVar[bool] = False
    """Whether all elements of a feature (see ``Problem.features``) carry the attribution of the feature."""
    needs_attention: ClassVar[bool] = False
    """Whether the model must have attention, and the attributions are about its tokens."""

    one_pass: ClassVar[bool] = False
    """Whether the variable and its gradient at the inputs are all that the method asks for."""

    one_row: ClassVar[bool] = False
    """Whether a sample takes one backward row, so that to try a replica would cost more than it saves."""

    shares_points: ClassVar[bool] = False
    """Whether scores at points that do not depend on what is explained are all that the method asks for."""

    compares: ClassVar[bool] = False
    """Whether a sample's attributions come from exchanges with the others: no copies of it may be among them."""

    samples_first: ClassVar[bool] = False
    """Whether what a sample's first pass runs the model on is the sample itself: its target is resolved from that."""

    through: ClassVar[bool] = False
    """Whether a neuron is where the explained output is followed through, not what is explained in its place."""

    about_score: ClassVar[bool] = True
    """Whether the attributions depend on what is explained; otherwise they only describe the variable."""

    @property
    def contributes(self) -> bool:
        """Whether attributions are shares of the score; otherwise they are sensitivities, score per unit of z."""
        return True

    def place(self) -> Place | None:
        """Where the method works unless told otherwise; None: at the last convolution that is reached.

        Returns:
            The place.
        """
        return Input()

    def reference(self, problem: Problem) -> Tensor:
        """The score (n,) from which the attributions of a complete method add up to the score.

        Returns:
            The score at the baseline, unless the method has something else in its place.
        """
        return problem.baseline_value

    def complete_at(self, place: Place) -> bool:
        """Whether the attributions at a place are shares that sum to score(z) - reference.

        Returns:
            True or False.
        """
        return self.complete and self.contributes and not (self.through and isinstance(place, Neuron))

    def with_deltas(self, problem: Problem) -> tuple[Point, Tensor]:
        """Compute attributions, and how far they are from adding up.

        Returns:
            Tensors like ``problem.z``, and convergence deltas: (n, 1), or (n, draws) of methods that are a mean over
            draws, each of which adds up to something else.
        """
        point = self(problem)
        return point, convergence_delta(point, problem.value, self.reference(problem))[:, None]

    @abstractmethod
    def __call__(self, problem: Problem) -> Point:
        """Compute attributions.

        Returns:
            Tensors like ``problem.z``, detached.
        """


METHODS = Registry[Method]("attribution method")
