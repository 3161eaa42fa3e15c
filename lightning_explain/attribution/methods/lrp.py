"""Layer-wise relevance propagation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
from torch import Tensor, nn

from lightning_explain.attribution.convergence import convergence_delta
from lightning_explain.attribution.interception import named_layers
from lightning_explain.attribution.methods.method import METHODS, Method
from lightning_explain.attribution.passes import Beside
from lightning_explain.attribution.problem import Problem
from lightning_explain.attribution.rules.composites import Composite, composite
from lightning_explain.attribution.rules.modules import Meant, matches, named_for, require_operators, running
from lightning_explain.attribution.rules.passing import passing
from lightning_explain.attribution.rules.propagation import Relevance
from lightning_explain.attribution.rules.relevance import Pass, Rule, away_from_zero
from lightning_explain.attribution.rules.substituted import Substituted
from lightning_explain.attribution.tree import map_tensors
from lightning_explain.inputs import Point, leaves
from lightning_explain.registry import unknown

LayerRules: TypeAlias = Mapping[Meant, Rule] | tuple[tuple[Meant, Rule], ...]


@METHODS.register("lrp")
@dataclass(frozen=True)
class LRP(Method):
    r"""Relevance of the score, handed down from operator to operator by rules that conserve it.

    Computed as :math:`R = z \cdot g`, with g a gradient whose backward steps are the rules. Additions split in
    proportion, activations pass on, max-pooling gives all to the winner, products of variables (attention, gates) give
    half to each, softmax follows its Taylor expansion, normalisations take their scale for constant, and a BatchNorm
    is one operator with the convolution in front of it. Nothing is written to modules or weights. Models in float16 run
    in float32, on copies of their weights.

    The relevances sum to the score if no biases are added, epsilon is 0, ``through_softmax`` is off, and all
    paths lead back to the variable: biases, epsilon and the constant terms of softmax absorb relevance.

    S. Bach et al.: On Pixel-Wise Explanations for Non-Linear Classifier Decisions by Layer-Wise Relevance Propagation.
    doi:10.1371/journal.pone.0130140, 2015; attention: R. Achtibat et al.: AttnLRP. arXiv:2402.05602, 2024.

    Args:
        composite: Which rule for which type of operator: a name (see ``COMPOSITES``) or a ``Composite``.
        layers: Rules that come first: pattern of a module's dotted name (``"features.*"``), module type or module ->
            rule. The first that matches counts; only affine operators of that very module, not of those inside, follow
            it. A BatchNorm that is named is then an operator of its own, and a module without others inside for which
            ``Pass`` is named is passed whatever it does, if it keeps the shape.
        through_softmax: Whether relevance goes through softmax too, by its Taylor expansion (AttnLRP); that is not
            conserved. False takes attention weights for constant (A. Ali et al.: arXiv:2202.07304, 2022): all goes
            through the values, and is.

    Raises:
        ValueError: If the composite is unknown, or, when called, if ``layers`` names one that the model does not have,
            or the relevances are to be trained on.
    """

    samples_first = True
    one_row = True

    composite: str | Composite = "epsilon_plus"
    layers: LayerRules = ()
    through_softmax: bool = True

    def __post_init__(self) -> None:
        composite(self.composite)
        pairs = self.layers.items() if isinstance(self.layers, Mapping) else self.layers
        object.__setattr__(self, "layers", tuple(pairs))

    def with_deltas(self, problem: Problem) -> tuple[Point, Tensor]:
        """Compute attributions, and how far they are from adding up to the score.

        Returns:
            Tensors like ``problem.z``, and sums of relevances less the score, (n, 1).
        """
        point = self(problem)
        return point, convergence_delta(point, problem.value, torch.zeros_like(problem.value))[:, None]

    def __call__(self, problem: Problem) -> Point:
        """Compute attributions.

        Returns:
            Tensors like ``problem.z``, detached.

        Raises:
            ValueError: If they are to be trained on: the rules are no derivatives that could be differentiated.
        """
        problem.refuse_graph("Relevance")
        require_operators(problem.model, "LRP")
        rules: tuple[tuple[Meant, Rule], ...] = tuple(self.layers)  # type: ignore[arg-type]
        _require_layers(problem.model, rules)
        problem = _in_float32(problem)
        with running(problem.model) as stack, passing(_passed(problem.model, rules)):
            mode = Relevance(composite(self.composite), rules, stack, through_softmax=self.through_softmax)
            own = Beside(problem)

            def score(z: Point, rows: Tensor, _: Tensor) -> Tensor:
                stack.clear()
                mode.begin()
                try:
                    with mode:
                        return own.score(z, rows)
                finally:
                    mode.begin()

            gradient = problem.gradient_mean(
                1, lambda rows, _: tuple(leaf.index_select(0, rows) for leaf in problem.z), score=score, kind="lrp"
            )
            own.remember()
        return tuple(away_from_zero(z) * flow for z, flow in zip(problem.z, gradient, strict=True))


def _require_layers(model: nn.Module, rules: tuple[tuple[Meant, Rule], ...]) -> None:
    modules = {"": model, **named_layers(model)}
    for wanted, _ in rules:
        if any(matches(wanted, name, module) for name, module in modules.items()):
            continue
        if isinstance(wanted, str):
            raise ValueError(unknown("layer", wanted, filter(None, modules)))
        types = sorted({type(module).__name__ for module in modules.values()})
        kind = type(wanted) if isinstance(wanted, nn.Module) else wanted
        raise ValueError(unknown("layer of type", kind.__name__, types))


def _passed(model: nn.Module, rules: tuple[tuple[Meant, Rule], ...]) -> list[nn.Module]:
    # The modules that Pass is named for: those without others inside, for what holds them is not meant.
    return [
        module
        for name, module in named_layers(model).items()
        if isinstance(named_for(rules, name, module), Pass) and next(module.children(), None) is None
    ]


def _in_float32(problem: Problem) -> Problem:
    # Relevance over value does not fit float16, whose numbers end at 65504; bfloat16 has the range.
    held = dict((*problem.model.named_parameters(), *problem.model.named_buffers()))
    if not any(tensor.dtype == torch.float16 for tensor in (*leaves(problem.inputs), *held.values())):
        return problem
    problem.resolve()  # from what the model gives as it is
    return replace(
        problem,
        inputs=map_tensors(problem.inputs, _wide),
        baseline=map_tensors(problem.baseline, _wide),
        forward=Substituted(problem.forward, {name: _wide(tensor) for name, tensor in held.items()}),
    )


def _wide(tensor: Tensor) -> Tensor:
    return tensor.detach().float() if tensor.dtype == torch.float16 else tensor
