"""A neuron's score at the cost of what leads up to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from lightning_explain.attribution.halting import captured
from lightning_explain.attribution.place import Neuron, Place
from lightning_explain.attribution.scoring import replaced
from lightning_explain.inputs import Point

if TYPE_CHECKING:
    from lightning_explain.attribution.question import Question


@dataclass(frozen=True)
class HaltingNeuron(Neuron):
    """A neuron whose score nobody takes anything else from: no pass goes further than its layer, if the model may."""

    def score(self, problem: Question, z: Point, rows: Tensor) -> Tensor:  # noqa: D102
        return self.unit(captured(problem, self.layer, replaced(problem, z, rows), halts=True))


def halting(place: Place) -> Place:
    """The place whose passes end where its score is known.

    Returns:
        The place, if it is not a neuron.
    """
    return HaltingNeuron(**vars(place)) if type(place) is Neuron else place
