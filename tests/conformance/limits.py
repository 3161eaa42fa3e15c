"""What sampled methods tend to: computed without drawing anything, from other methods of Captum 0.9.0 or by hand."""

import itertools
from functools import partial

import torch
import torch.nn.functional as F
from captum import attr
from captum._utils.common import _run_forward
from captum.testing.attr.helpers.gen_test_utils import get_target_layer
from conformance.configurations import tuple_of
from sklearn.linear_model import Lasso

STEPS = 400


def mean(parts):
    """Mean of several answers, tensor by tensor."""
    return tuple(torch.stack(part).mean(dim=0) for part in zip(*parts, strict=True))


def each_baseline(arguments):
    """The arguments with every single baseline, for all samples alike."""
    inputs, baselines = tuple_of(arguments["inputs"]), tuple_of(arguments["baselines"])
    rest = {name: value for name, value in arguments.items() if name not in {"n_samples", "stdevs"}}
    for i in range(len(baselines[0])):
        chosen = tuple(base[i : i + 1].expand_as(given) for base, given in zip(baselines, inputs, strict=True))
        yield rest | {"inputs": inputs, "baselines": chosen}


def gradient_shap(model, arguments, layer=None):
    """Integrated gradients, averaged over the baselines."""
    kind = partial(attr.NeuronIntegratedGradients, layer=layer) if layer else attr.IntegratedGradients
    return mean(kind(model).attribute(**each, n_steps=STEPS) for each in each_baseline(arguments))


def layer_gradient_shap(model, arguments, layer):
    """The layer's mean gradient along the inputs' path, times its difference of activations."""

    def one(each):
        others = {"additional_forward_args": each.get("additional_forward_args")}
        at, start = (
            tuple_of(attr.LayerActivation(model, layer).attribute(point, **others))
            for point in (each["inputs"], each["baselines"])
        )
        gradient = tuple_of(attr.InternalInfluence(model, layer).attribute(**each, n_steps=STEPS))
        return tuple(slope * (end - begin) for slope, end, begin in zip(gradient, at, start, strict=True))

    return mean(one(each) for each in each_baseline(arguments))


def shapley(model, arguments, layer=None):
    """Over all permutations."""
    rest = {name: value for name, value in arguments.items() if name not in {"n_samples", "perturbations_per_eval"}}
    return tuple_of(attr.ShapleyValues(model).attribute(**rest, perturbations_per_eval=100))


def lime(model, arguments, layer=None):
    """The lasso over all coalitions, each as often as the other, weighted by the cosine kernel of width 1."""
    inputs = tuple_of(arguments["inputs"])
    given = arguments.get("baselines")
    baselines = tuple(torch.zeros_like(each) for each in inputs) if given is None else tuple_of(given)
    sizes = [each[0].numel() for each in inputs]
    coalitions = torch.tensor(list(itertools.product((0.0, 1.0), repeat=sum(sizes))))
    found, scores, flat = [], [], torch.cat([each.flatten(1) for each in inputs], dim=1)
    for kept in coalitions:
        masks = [part.view_as(each[0]) for part, each in zip(kept.split(sizes), inputs, strict=True)]
        removed = tuple(base + m * (each - base) for m, each, base in zip(masks, inputs, baselines, strict=True))
        found.append(torch.cat([each.flatten(1) for each in removed], dim=1))
        with torch.no_grad():
            scores.append(_run_forward(model, removed, arguments["target"], arguments.get("additional_forward_args")))
    weights = [torch.exp(-((1 - F.cosine_similarity(flat, each, dim=1)) ** 2) / 2) for each in found]
    weights, scores = torch.stack(weights), torch.stack(scores)
    fits = [
        Lasso(alpha=0.01).fit(coalitions.numpy(), scores[:, i].numpy(), sample_weight=weights[:, i].numpy()).coef_
        for i in range(len(flat))
    ]
    parts = torch.tensor(fits, dtype=flat.dtype).split(sizes, dim=1)
    return tuple(part.view_as(each) for part, each in zip(parts, inputs, strict=True))


LIMITS = {
    "GradientShap": gradient_shap,
    "NeuronGradientShap": gradient_shap,
    "LayerGradientShap": layer_gradient_shap,
    "ShapleyValueSampling": shapley,
    "KernelShap": shapley,
    "Lime": lime,
}


def limit(pair):
    """The limit of a pair's attributions."""
    model, arguments = pair.question()
    layer = get_target_layer(model, pair.layer) if pair.layer else None
    return LIMITS[pair.algorithm](model, arguments, layer)
