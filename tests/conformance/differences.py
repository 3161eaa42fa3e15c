"""Where our names are other than Captum 0.9.0's, and why."""

# Public by their name only: steps of Captum's own implementation, which nobody calls.
INTERNAL = {
    ("DeepLift", "satisfies_attribute_criteria"),
    ("DeepLiftShap", "satisfies_attribute_criteria"),
    ("LayerDeepLift", "satisfies_attribute_criteria"),
    ("LayerDeepLiftShap", "satisfies_attribute_criteria"),
    ("KernelShap", "kernel_shap_perturb_generator"),
    ("KernelShap", "kernel_shap_similarity_kernel"),
    ("LayerGradientXActivation", "multiply_gradient_acts"),
}

# (class, method) -> parameters that are other than Captum's.
SIGNATURES = {}

# Captum puts a space before every capital letter.
DIFFERENT_NAME = {"LRP": "LRP", "LayerLRP": "Layer LRP"}

# Sampled methods are compared with what they tend to (limits.py), others with Captum's numbers. Where those are wrong:
# class, or configuration-class -> (what is right, in terms of Captum's number; why).
TRAPEZOID = "the weights of the trapezoid rule sum to 1 - 1/n in Captum; n is 50"
NUMBERS = {
    "NeuronConductance": (lambda theirs, _: theirs * 50 / 49, TRAPEZOID),
}
