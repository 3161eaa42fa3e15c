"""Input invariance: does a shift that the model takes back change the explanation?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lightning_explain.attribution.model import Forward
from lightning_explain.attribution.problem import Problem
from lightning_explain.attribution.settings import require_number
from lightning_explain.inputs import Inputs, is_continuous, leaves, rebuild
from lightning_explain.metrics.metric import METRICS, AttributionMetric
from lightning_explain.metrics.robustness.changes import norm, relative_change
from lightning_explain.metrics.robustness.noise import deviation

if TYPE_CHECKING:
    from lightning_explain.attribution.methods import Method
    from lightning_explain.attribution.place import Place
    from lightning_explain.metrics.evaluation import Evaluation
    from lightning_explain.probe import ProbeSet


@dataclass(frozen=True, eq=False)
class Unshifted:
    """A way to call a model that takes a shift back before the first layer, whatever that layer pads with.

    Every sample has a shift of its own. It comes along as further inputs, so that a row has that of its sample,
    whichever rows are called together; their bits are read as integers, which no method varies.

    Args:
        forward: How the model is called.
        inputs: The model's inputs, whose structure and types it gets back.
    """

    forward: Forward
    inputs: Inputs

    def __call__(self, model: nn.Module, inputs: Inputs) -> Any:  # noqa: ANN401
        """Call the model with the inputs as they were before the shift.

        Returns:
            What the model returns.
        """
        originals = leaves(self.inputs)
        given = leaves(inputs)
        parts = zip(given[: len(originals)], given[len(originals) :], originals, strict=True)
        back = tuple((leaf - _number(bits)).to(was) if is_continuous(leaf) else leaf for leaf, bits, was in parts)
        return self.forward(model, rebuild(self.inputs, back))


def shifted(problem: Problem, shift: float) -> Problem:
    """The same problem for inputs that are shifted by a constant, and a model that takes the shift back.

    The two models say the same of their inputs. The baseline stays where the user put it: to the second model it means
    another input. Shifted inputs are in float64 (where the device has it), so that what the model gets back is what it
    got before, to the last bit in most cases.

    Args:
        problem: The problem.
        shift: In units of each sample's standard deviation in that input.

    Returns:
        A problem of as many samples. Its inputs are a tuple: those of the problem, and what each was shifted by.
    """
    point = leaves(problem.inputs)
    shifts = tuple(_finer(deviation(leaf)) * shift for leaf in point)
    bits = tuple(map(_bits, shifts))
    return replace(
        problem,
        inputs=(*map(_moved, point, shifts), *bits),
        baseline=(*map(_finer, leaves(problem.baseline)), *bits),
        forward=Unshifted(problem.forward, problem.inputs),
    )


def _moved(leaf: Tensor, shift: Tensor) -> Tensor:
    return _finer(leaf) + shift if is_continuous(leaf) else leaf


def _finer(leaf: Tensor) -> Tensor:
    if not is_continuous(leaf):
        return leaf
    return leaf.float() if leaf.device.type == "mps" else leaf.double()


def _bits(shift: Tensor) -> Tensor:
    return shift.view(torch.int64 if shift.dtype == torch.float64 else torch.int32) if is_continuous(shift) else shift


def _number(bits: Tensor) -> Tensor:
    return bits.view(torch.float64 if bits.dtype == torch.int64 else torch.float32)


@METRICS.register("input_invariance")
class InputInvariance(AttributionMetric):
    r"""How much attributions change when a constant is added to all inputs, and the model takes it back.

    .. math:: \frac{\|\phi(f', x + c) - \phi(f, x)\|_F}{\|\phi(f, x)\|_F}, \qquad f'(x) = f(x - c)

    From 0 (invariant) up; lower is better. It says which methods compare with a reference that does not move with the
    data: it depends on the method and its baseline more than on the training. NaN for all-zero maps, and for samples
    without spread, which have no unit.

    P.-J. Kindermans et al.: The (Un)reliability of Saliency Methods. arXiv:1711.00867, 2017.

    Args:
        shift: The constant, in units of each sample's standard deviation in that input. Not 0.
        kwargs: For :class:`torchmetrics.Metric`.

    Raises:
        ValueError: If nothing is shifted.

    Example:
        >>> from lightning_explain import ProbeSet, evaluate
        >>> model = torch.nn.Sequential(torch.nn.Tanh(), torch.nn.Linear(3, 2, bias=False))
        >>> model[1].weight.data = torch.tensor([[3.0, 1.0, -1.0], [0.0, 0.0, 0.0]])
        >>> probe = ProbeSet.from_tensors(torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]) / 4, target=0)
        >>> explained = evaluate(model, probe, ["input_x_gradient"], [InputInvariance()]).explained[0]
        >>> round(explained.scores["input_invariance"].mean, 3)
        0.486
    """

    higher_is_better = False
    plot_lower_bound = 0.0

    def __init__(self, shift: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        require_number("shift", shift)
        if not shift:
            raise ValueError("The shift must not be 0: it is what the attributions should not notice.")
        self.shift = shift

    def missing(self, method: Method, space: Place, probe: ProbeSet) -> str | None:  # noqa: D102
        floating = [leaf for leaf in leaves(probe.inputs) if is_continuous(leaf)]
        if not floating:
            return "the probe set has integer inputs alone, which cannot be shifted"
        if all(leaf[0].numel() < 2 for leaf in floating):
            return "every input of the probe set is one number, which has no spread of its own to measure shifts in"
        return None

    def per_sample(self, evaluation: Evaluation) -> Tensor:  # noqa: D102
        problem = evaluation.problem
        change = relative_change(evaluation.explain(shifted(problem, self.shift)), evaluation.point)
        unit = norm(tuple(deviation(leaf) for leaf in leaves(problem.inputs)))
        return change.where(unit > 0, torch.nan)
