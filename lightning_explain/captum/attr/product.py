"""Method × place: classes for a layer and for a neuron, made of the class for the inputs.

A method at a layer asks what the method asks at the inputs, about something else; at a neuron it explains something
else. So do the classes: their constructors take the layer, their ``attribute`` says which side of it is meant and
which neuron, and what remains is handed to the class for the inputs, whose question is posed at that place.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from inspect import Parameter, Signature, signature
from typing import Any, TypeAlias

from torch import Tensor, nn

from lightning_explain.attribution.interception import as_it_came
from lightning_explain.attribution.layers import Layers
from lightning_explain.attribution.methods import Activation, Conductance, InternalInfluence
from lightning_explain.attribution.place import Layer, Neuron, Side
from lightning_explain.captum.ask import Answer, Ask, Form, in_the_form_of_inputs
from lightning_explain.captum.asking import answer
from lightning_explain.captum.attr.attribution import (
    Attribution,
    GradientAttribution,
    LayerAttribution,
    NeuronAttribution,
    PerturbationAttribution,
    answered,
)
from lightning_explain.captum.attr.documentation import documented_class
from lightning_explain.captum.host import Host
from lightning_explain.captum.unit import Unit
from lightning_explain.inputs import Point

Primary: TypeAlias = type[Attribution]

LAST_RUN = -1
"""Of a layer that runs several times: the one that Captum sees."""

LATER = (
    "relu_attributions",
    "attr_dim_summation",
    "custom_attribution_func",
    "verbose",
    "perturbations_per_eval",
    "show_progress",
)
"""Parameters of ``attribute`` that come after those of the place."""

AMONG_INPUTS = (Conductance, InternalInfluence)
"""The methods whose line is one of inputs also where they explain by a layer."""

IN_LAYER = {"baselines": "layer_baselines", "feature_mask": "layer_mask"}
"""What methods that perturb a layer take for it, and not for the inputs."""


def at_layer(
    primary: Primary,
    name: str = "",
    *,
    module: str,
    bases: tuple[type, ...] | None = None,
    without: Collection[str] = (),
    channel_dim: int | None = None,
    one_by_one: bool = False,
    asks_about_layer: bool = False,
) -> type[Any]:
    """Make the class that explains by what goes through a layer.

    Args:
        primary: The class for the inputs.
        name: The class's name; "" for ``Layer`` and that of ``primary``.
        module: The module that it is in.
        bases: Its bases; None: ``LayerAttribution``, and what ``primary`` is one of.
        without: Parameters that it does not have.
        channel_dim: The channels of a layer, for methods to which they are not like other dimensions.
        one_by_one: Whether of several layers each is explained by itself; otherwise all of them together, from the
            same passes of the model.
        asks_about_layer: Whether arguments have the form of what goes through the layer, which ``primary`` must see.

    Returns:
        The class.
    """
    behind = [Parameter("grad_kwargs", _KIND, default=None)] if issubclass(primary, GradientAttribution) else []
    renamed = IN_LAYER if issubclass(primary, PerturbationAttribution) else {}
    taken = _with_place(primary, [_flag("attribute_to_layer_input")], behind, renamed, without)

    def asks(self: Any, *args: Any, **kwargs: Any) -> Ask | list[Ask]:  # noqa: ANN401
        given = _bound(taken, self, args, kwargs)
        side: Side = "input" if given.pop("attribute_to_layer_input", False) else "output"
        where = partial(_at_layers, side=side, channel_dim=channel_dim)
        ask = _of_layer(self, primary, given, where if asks_about_layer else None)
        several = one_by_one and isinstance(self.layer, list)
        return [where(ask, layer) for layer in self.layer] if several else where(ask, self.layer)

    members = {
        "attribute": _attribute(asks, taken, primary),
        "has_convergence_delta": lambda self: self.primary.has_convergence_delta(),
        "compute_convergence_delta": _delta_of(primary),
    }
    bases = bases or (LayerAttribution, *_families(primary))
    return _made(primary, name or f"Layer{primary.__name__}", module, bases, without, members)


def at_neuron(
    primary: Primary,
    name: str = "",
    *,
    module: str,
    without: Collection[str] = (),
    through: bool = False,
    defaults: Mapping[str, Any] | None = None,
) -> type[Any]:
    """Make the class that explains a neuron by the inputs.

    Args:
        primary: The class for the inputs.
        name: The class's name; "" for ``Neuron`` and that of ``primary``.
        module: The module that it is in.
        without: Parameters that it does not have.
        through: Whether the output is explained, as far as it flows through the neuron, and not the neuron.
        defaults: Defaults that are others than those of ``primary``.

    Returns:
        The class.
    """
    place = [_flag("attribute_to_neuron_input")]
    behind = [Parameter("grad_kwargs", _KIND, default=None)] if through else []
    dropped = {*without, "return_convergence_delta", *(() if through else ("target",))}
    taken = _with_place(primary, place, behind, {}, dropped, defaults or {})
    first, *rest = list(taken.parameters.values())[1:]
    taken = taken.replace(parameters=[taken.parameters["self"], first, Parameter("neuron_selector", _KIND), *rest])

    def asks(self: Any, *args: Any, **kwargs: Any) -> Ask:  # noqa: ANN401
        given = _bound(taken, self, args, kwargs)
        side: Side = "input" if given.pop("attribute_to_neuron_input") else "output"
        flags = given.pop("grad_kwargs", None) or {}
        unit = Unit(given.pop("neuron_selector"))
        ask: Ask = primary.attribute.asks(self.primary, **given)  # type: ignore[attr-defined]
        return replace(
            ask,
            place=Neuron(Host.name(0), unit, side, channel_dim=None, call=LAST_RUN),
            layers=(self.layer,),
            zero_where_unused=_tolerant(flags),
        )

    bases = (NeuronAttribution, *_families(primary))
    return _made(
        primary,
        name or f"Neuron{primary.__name__}",
        module,
        bases,
        without,
        {"attribute": _attribute(asks, taken, primary)},
    )


_KIND = Parameter.POSITIONAL_OR_KEYWORD


def _flag(name: str) -> Parameter:
    return Parameter(name, _KIND, default=False, annotation=bool)


def _families(primary: Primary) -> tuple[type, ...]:
    return tuple(kind for kind in (GradientAttribution, PerturbationAttribution) if issubclass(primary, kind))


def _with_place(
    primary: Primary,
    place: list[Parameter],
    behind: list[Parameter],
    renamed: Mapping[str, str],
    without: Collection[str],
    defaults: Mapping[str, Any] | None = None,
) -> Signature:
    # The parameters of attribute, with those of the place among them.
    defaults = defaults or {}
    own = [
        held.replace(name=renamed.get(held.name, held.name), default=defaults.get(held.name, held.default))
        for held in signature(primary.attribute).parameters.values()
        if held.kind is _KIND
    ]
    early, late = ([held for held in own if (held.name in LATER) is later] for later in (False, True))
    return Signature([held for held in [*early, *place, *late, *behind] if held.name not in without])


def _made(
    primary: Primary,
    name: str,
    module: str,
    bases: tuple[type, ...],
    without: Collection[str],
    members: dict[str, Any],
) -> type[Any]:
    self, model, *rest = signature(primary.__init__).parameters.values()
    layer = [Parameter("layer", _KIND), Parameter("device_ids", _KIND, default=None)]
    taken = Signature([held for held in [self, model, *layer, *rest] if held.name not in without])

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401, N807
        given = _bound(taken, self, args, kwargs)
        self.layer, self.device_ids = given.pop("layer"), given.pop("device_ids", None)
        self.primary = primary(**given)
        self.forward_func = given[model.name]
        setattr(self, model.name, self.forward_func)

    __init__.__signature__ = taken  # type: ignore[attr-defined]
    where = "what goes through a layer" if issubclass(bases[0], LayerAttribution) else "a neuron, by the inputs"
    made = {
        "__init__": __init__,
        "__module__": module,
        "__doc__": documented_class(f":class:`{primary.__name__}` of {where}.", taken),
        "multiplies_by_inputs": property(lambda self: self.primary.multiplies_by_inputs),
        "attribute_future": Attribution.attribute_future,
        **members,
    }
    for key, member in members.items():
        member.__name__, member.__qualname__, member.__module__ = key, f"{name}.{key}", module
    return type(name, bases, made)


def _attribute(asks: Callable[..., Any], taken: Signature, primary: Primary) -> Any:  # noqa: ANN401
    asks.__signature__ = taken  # type: ignore[attr-defined]
    asks.__qualname__ = f"{primary.__name__}.attribute"  # its parameters are documented as those of the primary class
    return answered(asks)


def _bound(taken: Signature, self: object, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    bound = taken.bind(self, *args, **kwargs)
    bound.apply_defaults()
    return {name: value for name, value in bound.arguments.items() if name != "self"}


def _of_layer(method: Any, primary: Primary, given: dict[str, Any], where: Callable[..., Ask] | None) -> Ask:  # noqa: ANN401
    # What the primary class asks, with the layer's own arguments in the place of those of the inputs.
    inputs, flags = given["inputs"], given.pop("grad_kwargs", None) or {}
    there = {own: given.pop(its) for own, its in IN_LAYER.items() if its in given}
    if where is not None:
        activation = Ask(Activation(), inputs, additional_forward_args=given["additional_forward_args"])
        given["inputs"] = answer(method.forward_func, where(activation, method.layer))
    ask: Ask = primary.attribute.asks(method.primary, **given)  # type: ignore[attr-defined]
    if issubclass(primary, PerturbationAttribution):
        ask = replace(ask, feature_mask=there.get("feature_mask"), place_baselines=_or_zero(there))
    return replace(ask, inputs=inputs, zero_where_unused=_tolerant(flags))


def _delta_of(primary: Primary) -> Callable[..., Tensor]:
    def compute_convergence_delta(self: Any, *args: Any, **kwargs: Any) -> Tensor:  # noqa: ANN401
        delta: Tensor = self.primary.compute_convergence_delta(*args, **kwargs)
        return delta

    compute_convergence_delta.__signature__ = signature(primary.compute_convergence_delta)  # type: ignore[attr-defined]
    return compute_convergence_delta


def _or_zero(there: Mapping[str, Any]) -> Any:  # noqa: ANN401
    if "baselines" not in there:
        return None
    return 0 if there["baselines"] is None else there["baselines"]


def _tolerant(grad_kwargs: Mapping[str, Any]) -> bool:
    return any(grad_kwargs.get(key) for key in ("materialize_grads", "allow_unused"))


def _at_layers(ask: Ask, layer: nn.Module | list[nn.Module], side: Side, channel_dim: int | None) -> Ask:
    layers = layer if isinstance(layer, list) else [layer]
    places = [Layer(Host.name(number), side, channel_dim, call=LAST_RUN) for number in range(len(layers))]
    place = Layers(places) if isinstance(layer, list) else places[0]
    form = _of_layers(ask.form or in_the_form_of_inputs)
    between = ask.between and isinstance(ask.method, AMONG_INPUTS)
    return replace(ask, place=place, layers=tuple(layers), between=between, form=form)


def _of_layers(form: Form) -> Form:
    # What a layer gives has its form: a tuple of several tensors, or one; of several layers, a list of these.
    def formed(found: Answer) -> Any:  # noqa: ANN401
        made = form(replace(found, ask=replace(found.ask, inputs=found.problem.z)))
        if not isinstance(made, tuple):
            return made  # numbers that are about no element of it
        place, problem = found.ask.place, found.problem
        layers: tuple[Layer, ...] = place.layers if isinstance(place, Layers) else (place,)  # type: ignore[assignment]
        parts = place.split(problem, made) if isinstance(place, Layers) else (made,)
        if not found.per_batch:
            parts = tuple(as_it_came(problem, layer, part) for layer, part in zip(layers, parts, strict=True))
        forms = [_one_or_all(part) for part in parts]
        return forms if isinstance(place, Layers) else forms[0]

    return formed


def _one_or_all(part: Point) -> Tensor | Point:
    return part if len(part) > 1 else part[0]
