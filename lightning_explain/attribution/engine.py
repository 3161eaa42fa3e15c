"""Explain a model: a method at a place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import chain

import torch
from torch import Tensor, nn

from lightning_explain.attribution.attribution import Attribution
from lightning_explain.attribution.budget import RowBudget
from lightning_explain.attribution.convergence import convergence_delta as convergence_delta
from lightning_explain.attribution.convolution import last_convolution
from lightning_explain.attribution.guard import borrowed
from lightning_explain.attribution.methods import METHODS, Method
from lightning_explain.attribution.model import Forward, call
from lightning_explain.attribution.passes import resolved_on_the_way, with_target
from lightning_explain.attribution.place import Input, Layer, Neuron, Place
from lightning_explain.attribution.problem import Problem
from lightning_explain.attribution.replication import Replicating, replicated_or_warn, require_replicating
from lightning_explain.attribution.unresolved import Unresolved
from lightning_explain.attribution.upsampling import upsampled
from lightning_explain.baseline import Baseline, resolve
from lightning_explain.inputs import Inputs, Point, batch_size, leaves, rebuild, require_finite
from lightning_explain.targets import Target


@dataclass(frozen=True)
class Explainer:
    """A method at a place.

    Args:
        method: How.
        place: Where.
    """

    method: Method
    place: Place

    @property
    def name(self) -> str:
        """``method``, ``method@layer`` (as users write them) or ``method@layer[index]``: as it is logged."""
        return f"{self.method.name}{self.place}"

    @property
    def coarse(self) -> bool:
        """Whether the result is a map of a layer, upsampled to the input."""
        return self.method.coarse and isinstance(self.place, Layer)

    @property
    def needs_target(self) -> bool:
        """Whether an output is explained; otherwise a neuron is."""
        return self.method.through or not isinstance(self.place, Neuron)

    def __call__(self, problem: Problem) -> Attribution:
        """Explain the samples of ``problem``, at this explainer's place.

        Returns:
            The attributions, with the convergence delta if the method is complete.
        """
        return self.explained(problem.at(self.place))

    def explained(self, problem: Problem) -> Attribution:
        """Explain the samples of ``problem``, which is at this place already; what it remembers is used.

        Returns:
            The attributions.
        """
        point = self.method(problem)
        return self.described(problem.settled(), point)

    def described(self, problem: Problem, point: Point) -> Attribution:
        """Say what is known of attributions that this explainer's method computed.

        Args:
            problem: The problem, at this place.
            point: Tensors like ``problem.z``.

        Returns:
            The attributions.
        """
        if not problem.create_graph:
            point = tuple(leaf.detach() for leaf in point)
        coefficients = problem.features.collect(point) if self.method.per_feature else None
        delta, span = self._delta(problem, point if coefficients is None else (coefficients,))
        attribution = Attribution(
            point=point,
            names=self.place.names(problem),
            method=self.name,
            place=self.place,
            target=problem.target if self.needs_target else None,
            outputs=problem.outputs,
            delta=delta,
            span=span,
            keyed=isinstance(problem.inputs, Mapping) and not isinstance(self.place, Layer),
            coefficients=coefficients,
        )
        return _upsampled(attribution, problem) if self.coarse else attribution

    def _delta(self, problem: Problem, point: Point) -> tuple[Tensor | None, Tensor | None]:
        if not self.method.complete_at(self.place):
            return None, None
        reference = self.method.reference(problem)
        span = (problem.value.double() - reference.double()).detach()
        return convergence_delta(point, problem.value, reference), span


def explain(  # noqa: PLR0913  (the whole question in one call)
    model: nn.Module,
    inputs: Inputs,
    method: str | Method = "integrated_gradients",
    place: Place | None = None,
    target: Target = "predicted",
    *,
    baseline: Baseline = "zeros",
    label: Tensor | None = None,
    feature_mask: Inputs | None = None,
    forward: Forward = call,
    max_rows: int | None = None,
    create_graph: bool = False,
    replica: Replicating = False,
) -> Attribution:
    """Explain what a model gives for some samples. The model is left exactly as it was.

    Args:
        model: Any module; it is run in evaluation mode.
        inputs: Samples: a tensor, a tuple (passed as positional) or a dict of tensors (as keyword
            arguments), the batch first; they are moved to the model's device.
        method: A name (see ``METHODS``), ``"name@layer"`` or ``"name@layer:input"``, or a method with
            its parameters.
        place: ``Input()``, ``Layer(name)``, ``Layers(names)`` or ``Neuron(name, index)``; None: the method's own.
        target: The output to explain: ``"predicted"``, ``"label"``, ``"output"`` (one number per
            sample), an index, or indices for each sample. It plays no part where a neuron is explained.
        baseline: ``"zeros"``, ``"mean"``, ``"blur"``, a number, or tensors like the inputs.
        label: Class labels (n,), for ``target="label"``.
        feature_mask: Which elements of the place's variable are perturbed as one, in the structure of the result's
            ``values`` (see :func:`~lightning_explain.feature_mask.match`); None: those of a position.
        forward: How to call the model, ``(model, inputs) -> outputs``.
        max_rows: The most rows that go through the model at once; None: chosen by measurement.
        create_graph: Whether the attributions are to depend differentiably on the model's parameters and on those
            inputs that require gradients, so that they can be trained on; memory is then that of all rows together.
        replica: Whether a cheaper replica of the model is explained, if it gives what the model gives: True for one in
            the model's own type, which is right up to rounding, or a type such as ``torch.bfloat16``. Methods of one
            backward row do without: to try it would cost more.

    Returns:
        The attributions, ``.values`` in the structure of the inputs.

    Raises:
        ValueError: If the method, layer, target or baseline does not fit; the message says what would.

    Example:
        >>> model = nn.Linear(3, 2)
        >>> attribution = explain(model, torch.randn(4, 3), "integrated_gradients", target=1)
        >>> attribution.values.shape
        torch.Size([4, 3])
        >>> bool(attribution.delta.abs().max() < 1e-6)
        True
    """
    require_replicating(replica, create_graph=create_graph)
    require_finite(inputs)
    with borrowed(model, frozen=not create_graph):
        problem = pose(
            model,
            inputs,
            None,
            baseline=baseline,
            forward=forward,
            budget=RowBudget(max_rows),
            create_graph=create_graph,
        )
        chosen = explainer(method, problem, place)
        problem = problem.at(chosen.place)
        if feature_mask is not None:
            problem = problem.masked(feature_mask)
            problem.features  # noqa: B018  (a mask that does not fit is refused, also where it plays no part)
        wanted = target if chosen.needs_target else None
        replica = False if chosen.method.one_pass or chosen.method.one_row else replica
        if chosen.method.one_pass and not create_graph:
            return chosen.explained(resolved_on_the_way(problem, wanted, label))
        if wanted is not None and chosen.method.samples_first and not (create_graph or replica):
            return chosen.explained(replace(problem, unresolved=Unresolved(wanted, label, problem.samples)))
        problem = problem if wanted is None else with_target(problem, wanted, label)
        return chosen.explained(replicated_or_warn(problem, replica))


def pose(  # noqa: PLR0913  (all that a problem is made of)
    model: nn.Module,
    inputs: Inputs,
    target: Target | None,
    *,
    baseline: Baseline = "zeros",
    label: Tensor | None = None,
    forward: Forward = call,
    feature_mask: Inputs | None = None,
    budget: RowBudget | None = None,
    create_graph: bool = False,
) -> Problem:
    """Bring samples to the model's device and resolve their target (None: there is none) and baseline.

    A feature mask is one of the inputs.

    Returns:
        The problem, at the input.

    Raises:
        ValueError: If there are no samples, or the target or the baseline does not fit.
    """
    if batch_size(inputs) == 0:
        raise ValueError("There is nothing to explain: the inputs hold no samples.")
    device = next((held.device for held in chain(model.parameters(), model.buffers())), leaves(inputs)[0].device)
    # Clones, for tensors born in inference mode cannot be saved for a backward pass.
    clones = tuple(leaf.to(device).clone() for leaf in leaves(inputs))
    inputs = rebuild(inputs, clones if create_graph else tuple(leaf.detach() for leaf in clones))
    problem = Problem(
        model=model,
        inputs=inputs,
        baseline=resolve(baseline, inputs),
        create_graph=create_graph,
        target=None,
        forward=forward,
        budget=budget or RowBudget(),
        feature_mask=feature_mask,
    )
    return problem if target is None else with_target(problem, target, label)


def explainer(method: str | Method, problem: Problem, place: Place | None = None) -> Explainer:
    """Make an explainer from what users write: a name, ``"name@layer"``, or a method.

    Returns:
        The method at its place; where nobody names a layer for a method that needs one, the last
        convolution that the model reaches.

    Raises:
        ValueError: If the method is unknown, or two places are named.
        TypeError: If ``method`` is neither a name nor a method, or ``place`` is no place.
    """
    chosen, named = parse(method)
    if place is not None and not hasattr(place, "variable"):
        raise TypeError(f"A place is Input(), Layer(name) or Neuron(name, index), got {place!r}.")
    if place is not None and named is not None and str(place) != str(named):
        raise ValueError(f"The method {method!r} names a place, and place={place!r} another; leave one out.")
    place = place or named or chosen.place() or Layer(last_convolution(problem))
    return Explainer(chosen, place)


def parse(method: str | Method) -> tuple[Method, Place | None]:
    """Read a method, and the layer if one is named.

    Returns:
        The method, and its place or None.

    Raises:
        ValueError: If the method is unknown.
        TypeError: If ``method`` is neither a name nor a method.
    """
    if isinstance(method, Method):
        return method, None
    if not isinstance(method, str):
        raise TypeError(f"A method is a name or a Method such as IntegratedGradients(), got {method!r}.")
    name, _, layer = method.partition("@")
    layer, _, side = layer.partition(":")
    try:
        chosen = METHODS[name]()
    except KeyError as error:
        raise ValueError(error.args[0]) from None
    return chosen, Layer(layer, side or "output") if layer else None  # type: ignore[arg-type]  # Layer checks it


def _upsampled(attribution: Attribution, problem: Problem) -> Attribution:
    # To the first input that has as many positions as the map.
    place = Input()
    inputs, coarse = place.variable(problem, problem.inputs), attribution.point[0]
    fitting = [i for i, leaf in enumerate(inputs) if leaf.ndim == coarse.ndim]
    on_a_line = coarse.ndim == problem.z[0].ndim and attribution.place.channel_dim not in {None, 1}  # tokens
    if not fitting or on_a_line or coarse.ndim < 3:
        return attribution
    point = tuple(torch.zeros_like(leaf[:, :1] if leaf.ndim > 2 else leaf) for leaf in inputs)
    chosen = fitting[0]
    finer = upsampled(coarse, inputs[chosen].shape[2:])
    return replace(
        attribution,
        point=(*point[:chosen], finer, *point[chosen + 1 :]),
        names=place.names(problem),
        place=place,
        keyed=isinstance(problem.inputs, Mapping),
        coarse=attribution.point,
    )
