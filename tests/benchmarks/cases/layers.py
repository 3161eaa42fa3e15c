"""A late layer, and a unit of it."""

import torch
from captum import attr

from lightning_explain import (
    Activation,
    DeepLift,
    FeatureAblation,
    InputXGradient,
    IntegratedGradients,
    InternalInfluence,
    Layer,
    Neuron,
    Saliency,
)
from lightning_explain.attribution.methods import Conductance
from tests.benchmarks.cases.asked import ROWS_AT_A_TIME, Asked, Case, asking, named
from tests.benchmarks.cases.perturbation import per_eval


def layer_cases(network):
    """Of the late layer."""
    n, asked, given = network, Asked(network), {"target": network.target}
    steps, late = network.scale.steps, Layer(asked.late_inside)
    delta = {"return_convergence_delta": True}
    start = {"baselines": asked.captum_baseline}
    path = given | {"baselines": n.z0, "n_steps": steps}

    def sized(size):
        return named("internal_batch_size", size)

    mask, nothing = groups_of_channels(n), nothing_there(n)
    return [
        Case(
            "activation@late",
            asked.at_late(Activation()),
            lambda _: attr.LayerActivation(n.model, n.layer).attribute(n.inputs),
        ),
        Case(
            "input_x_gradient@late",
            asked.at_late(InputXGradient()),
            lambda _: attr.LayerGradientXActivation(n.model, n.layer).attribute(n.inputs, **given),
        ),
        Case(
            "integrated_gradients@late",
            asked.at_late(IntegratedGradients(steps)),
            lambda size: attr.LayerIntegratedGradients(n.model, n.layer).attribute(
                n.inputs, n_steps=steps, **start, **given, **delta, **sized(size)
            )[0],
            ROWS_AT_A_TIME,
            note=f"{steps} steps",
        ),
        Case(
            "conductance@late",
            asked.inside(Conductance(steps), late),
            lambda size: attr.LayerConductance(n.inside, n.layer).attribute(n.z, **path, **delta, **sized(size))[0],
            ROWS_AT_A_TIME,
            note=f"{steps} steps",
        ),
        Case(
            "internal_influence@late",
            asked.inside(InternalInfluence(steps), late),
            lambda size: attr.InternalInfluence(n.inside, n.layer).attribute(n.z, **path, **sized(size)),
            ROWS_AT_A_TIME,
            note=f"{steps} steps",
        ),
        Case(
            "deep_lift@late",
            asked.inside(DeepLift(), late),
            lambda _: attr.LayerDeepLift(n.inside, n.layer).attribute(n.z, n.z0, **given, **delta)[0],
        ),
        Case(
            "feature_ablation@late",
            asking(n.model, n.inputs, FeatureAblation(), Layer(n.late), n.target, baseline=n.blank, feature_mask=mask),
            lambda size: attr.LayerFeatureAblation(n.model, n.layer).attribute(
                n.inputs, nothing, layer_mask=mask, **given, **named("perturbations_per_eval", size)
            ),
            per_eval(n),
            note=f"{int(mask.max()) + 1} features",
        ),
    ]


def nothing_there(network):
    """What the late layer gives for the baseline, (1, ...)."""
    blank = torch.zeros_like(network.inputs) if isinstance(network.blank, str) else network.blank
    return attr.LayerActivation(network.model, network.layer).attribute(blank[:1]).detach()


def groups_of_channels(network):
    """Sixteen groups of the late layer's channels (of its tokens' numbers), shaped like one sample of it."""
    like = nothing_there(network)
    axis = 1 if network.with_pictures else 2
    groups = torch.arange(like.shape[axis]) * 16 // like.shape[axis]
    shape = [1] * like.ndim
    shape[axis] = -1
    return groups.view(shape).expand_as(like).contiguous()


def neuron_cases(network):
    """Of one unit of the late layer."""
    n, asked = network, Asked(network)
    steps, neuron = network.scale.steps, Neuron(asked.late_inside, network.unit)
    start = {"baselines": n.z0, "n_steps": steps}
    return [
        Case(
            "saliency of a neuron",
            asked.inside(Saliency(absolute=False), neuron),
            lambda _: attr.NeuronGradient(n.inside, n.layer).attribute(n.z, n.unit),
        ),
        Case(
            "integrated_gradients of a neuron",
            asked.inside(IntegratedGradients(steps), neuron),
            lambda size: attr.NeuronIntegratedGradients(n.inside, n.layer).attribute(
                n.z, n.unit, **start, **named("internal_batch_size", size)
            ),
            ROWS_AT_A_TIME,
            note=f"{steps} steps",
        ),
        Case(
            "conductance of a neuron",
            asked.inside(Conductance(steps), neuron),
            lambda size: attr.NeuronConductance(n.inside, n.layer).attribute(
                n.z, n.unit, target=n.target, method="gausslegendre", **start, **named("internal_batch_size", size)
            ),
            ROWS_AT_A_TIME,
            note=f"{steps} steps",
        ),
        Case(
            "deep_lift of a neuron",
            asked.inside(DeepLift(), neuron),
            lambda _: attr.NeuronDeepLift(n.inside, n.layer).attribute(n.z, n.unit, n.z0),
        ),
    ]
