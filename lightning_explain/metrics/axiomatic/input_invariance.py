"""Input invariance: does a shift that the model takes back change the explanation?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lightning_explain.attribution.model import Forward
from lightning_explain.attribution.problem import Problem
from lightning_explain.inputs import Inputs, Point, is_continuous, leaves, rebuild
from lightning_explain.metrics.metric import METRICS, AttributionMetric
from lightning_explain.metrics.robustness.sensitivity import relative_change

if TYPE_CHECKING:
    from lightning_explain.attribution.methods import Method
    from lightning_explain.attribution.place import Place
    from lightning_explain.metrics.evaluation import Evaluation
    from lightning_explain.probe import ProbeSet


@dataclass(frozen=True, eq=False)
class Unshifted:
    """A way to call a model that takes a shift back before the first layer, whatever that layer pads with.

    Args:
        forward: How the model is called.
        shifts: What is subtracted from each input, 0-d; nothing from integers.
        dtypes: What the model takes.
    """

    forward: Forward
    shifts: Point
    dtypes: tuple[torch.dtype, ...]

    def __call__(self, model: nn.Module, inputs: Inputs) -> Any:  # noqa: ANN401
        """Call the model with the inputs as they were before the shift.

        Returns:
            What the model returns.
        """
        parts = zip(leaves(inputs), self.shifts, self.dtypes, strict=True)
        back = tuple((leaf - by).to(dtype) if is_continuous(leaf) else leaf for leaf, by, dtype in parts)
        return self.forward(model, rebuild(inputs, back))


def shifted(problem: Problem, shift: float) -> Problem:
    """The same problem for inputs that are shifted by a constant, and a model that takes the shift back.

    The two models say the same of their inputs. The baseline stays where the user put it: to the second model it means
    another input. Shifted inputs are in float64 (where the device has it), so that what the model gets back is what it
    got before, to the last bit in most cases.

    Args:
        problem: The problem.
        shift: In standard deviations of each input over all samples and elements.

    Returns:
        A problem of as many samples.
    """
    point = leaves(problem.inputs)
    shifts = tuple(_deviation(leaf) * shift if is_continuous(leaf) else torch.zeros_like(leaf[:0]) for leaf in point)
    return replace(
        problem,
        inputs=rebuild(problem.inputs, tuple(map(_moved, point, shifts))),
        baseline=rebuild(problem.baseline, tuple(map(_finer, leaves(problem.baseline)))),
        forward=Unshifted(problem.forward, shifts, tuple(leaf.dtype for leaf in point)),
    )


def _deviation(leaf: Tensor) -> Tensor:
    return _finer(leaf).std(correction=0)


def _moved(leaf: Tensor, shift: Tensor) -> Tensor:
    return _finer(leaf) + shift if is_continuous(leaf) else leaf


def _finer(leaf: Tensor) -> Tensor:
    if not is_continuous(leaf):
        return leaf
    return leaf.float() if leaf.device.type == "mps" else leaf.double()


@METRICS.register("input_invariance")
class InputInvariance(AttributionMetric):
    r"""How much attributions change when a constant is added to all inputs, and the model takes it back.

    .. math:: \frac{\|\phi(f', x + c) - \phi(f, x)\|_F}{\|\phi(f, x)\|_F}, \qquad f'(x) = f(x - c)

    From 0 (invariant) up; lower is better. It says which methods compare with a reference that does not move with the
    data: it depends on the method and its baseline more than on the training. NaN for all-zero maps.

    P.-J. Kindermans et al.: The (Un)reliability of Saliency Methods. arXiv:1711.00867, 2017.

    Args:
        shift: The constant, in standard deviations of each input over the probe set. Not 0.
        kwargs: For :class:`torchmetrics.Metric`.

    Raises:
        ValueError: If nothing is shifted.
    """

    higher_is_better = False
    plot_lower_bound = 0.0

    def __init__(self, shift: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not shift:
            raise ValueError("The shift must not be 0: it is what the attributions should not notice.")
        self.shift = shift

    def missing(self, method: Method, space: Place, probe: ProbeSet) -> str | None:  # noqa: D102
        floating = any(is_continuous(leaf) for leaf in leaves(probe.inputs))
        return None if floating else "the probe set has integer inputs alone, which cannot be shifted"

    def per_sample(self, evaluation: Evaluation) -> Tensor:  # noqa: D102
        changed = evaluation.explain(shifted(evaluation.problem, self.shift))
        return relative_change(changed, evaluation.point)
