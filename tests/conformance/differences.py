"""Where our names are other than Captum 0.9.0's, and why."""

import torch
from captum import attr
from conformance.configurations import tuple_of

# Public by their name only: steps of Captum's own implementation, which nobody calls; and an attribute_future that
# is inherited from another class.
INTERNAL = {
    ("LayerFeaturePermutation", "attribute_future"),
    ("ShapleyValues", "attribute_future"),
    ("DeepLift", "satisfies_attribute_criteria"),
    ("DeepLiftShap", "satisfies_attribute_criteria"),
    ("LayerDeepLift", "satisfies_attribute_criteria"),
    ("LayerDeepLiftShap", "satisfies_attribute_criteria"),
    ("KernelShap", "kernel_shap_perturb_generator"),
    ("KernelShap", "kernel_shap_similarity_kernel"),
    ("LayerGradientXActivation", "multiply_gradient_acts"),
}

# (class, method, parameter) -> a default that is other than Captum's: none, for a function of the same meaning.
DEFAULTS = {("FeaturePermutation", "__init__", "perm_func"): None}


def trapezoid(pair, theirs):
    """Integrals by a trapezoid rule whose weights sum to one."""
    return [each * 50 / 49 for each in theirs]


def many_steps(pair, theirs):
    """Conductance of Captum's with so many steps that it matters no more where they are."""
    model, arguments = pair.question()
    method = pair.method("captum.attr", model)
    return tuple_of(method.attribute(**{**arguments, "n_steps": 1500, "internal_batch_size": None}))


def sums_share(pair, theirs):
    """LRP of a model of ``scale * (x1 + x2 + x3)``: each input has its share of what reaches the sum."""
    model, arguments = pair.question()
    inputs = arguments["inputs"]
    third, scale = arguments["additional_forward_args"]
    total = sum(inputs) + third
    relevance = attr.LRP(model.model).attribute(scale * total, target=arguments["target"])
    return [(each / total * relevance).detach() for each in inputs]


def multiples_keep(pair, theirs):
    """LRP of 1, 2, 4 or 8 times an output: the multiple has so many times the relevance, not its square."""
    factors = [2**second * 4**third for _, second, third in pair.question()[1]["target"]]
    return [each / torch.tensor(factors)[:, None] for each in theirs]


# Sampled methods are compared with what they tend to (limits.py), others with Captum's numbers. Where those are wrong:
# class, or configuration-class -> (what is right; why). Deltas follow, and are not compared.
SUM = "Captum gives every summand of x1 + x2 + x3 the relevance of the whole sum, and multiplies it by the scale again"
NUMBERS = {
    "LayerConductance": (many_steps, "Captum's steps begin and end within the line, and have the gradient of one end"),
    "NeuronConductance": (trapezoid, "the weights of Captum's trapezoid rule sum to 1 - 1/n; n is 50"),
    "basic_multi_input-LRP": (sums_share, SUM),
    "basic_multi_input_multi_target-LRP": (sums_share, SUM),
    "basic_multi_input_multi_target_nt-LRP": (sums_share, SUM),
    "basic_multiple_tuple_target_nt-LRP": (multiples_keep, "Captum multiplies the relevance of 8 y by 8 again"),
}


def in_order(deltas, pair):
    """Deltas of a noise tunnel in Captum's chunks, sample by sample: ours are in this order whatever the chunk."""
    draws, chunk = (pair.made["attribute_args"].get(name) for name in ("nt_samples", "nt_samples_batch_size"))
    return deltas if chunk is None else deltas.view(draws // chunk, -1, chunk).transpose(0, 1).flatten()
