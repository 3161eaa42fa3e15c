"""What Captum has at layers, and what it could have: a line for each name."""

from functools import partial

from lightning_explain.captum.attr import internal, product
from lightning_explain.captum.attr.attribution import LayerAttribution
from lightning_explain.captum.attr.deep_lift import DeepLift, DeepLiftShap
from lightning_explain.captum.attr.gradient_shap import GradientShap
from lightning_explain.captum.attr.gradients import IntegratedGradients
from lightning_explain.captum.attr.lime import KernelShap, Lime
from lightning_explain.captum.attr.lrp import LRP
from lightning_explain.captum.attr.perturbations import FeatureAblation, FeaturePermutation, Occlusion
from lightning_explain.captum.attr.rectified import Deconvolution, GuidedBackprop
from lightning_explain.captum.attr.shapley import ShapleyValues, ShapleyValueSampling

at_layer = partial(product.at_layer, module=__name__)

LayerActivation = at_layer(internal.Activation)
LayerGradientXActivation = at_layer(internal.GradientXActivation)
LayerGradCam = at_layer(internal.GradCam, channel_dim=1)
LayerIntegratedGradients = at_layer(IntegratedGradients)
LayerConductance = at_layer(internal.Conductance, without=("multiply_by_inputs",))
InternalInfluence = at_layer(internal.Influence, "InternalInfluence")
LayerGradientShap = at_layer(GradientShap, without=("grad_kwargs",))
LayerDeepLift = at_layer(DeepLift, bases=(LayerAttribution, DeepLift), without=("device_ids", "eps"))
LayerDeepLiftShap = at_layer(
    DeepLiftShap, bases=(LayerDeepLift, DeepLiftShap), without=("device_ids", "eps", "grad_kwargs")
)
LayerLRP = at_layer(LRP, bases=(LRP, LayerAttribution), without=("device_ids", "grad_kwargs"), one_by_one=True)
LayerFeatureAblation = at_layer(FeatureAblation, without=("show_progress",))
LayerFeaturePermutation = at_layer(
    FeaturePermutation,
    bases=(LayerAttribution, FeaturePermutation),
    without=("attribute_to_layer_input", "perm_func", "show_progress"),
)

# Not in Captum:
LayerGuidedBackprop = at_layer(GuidedBackprop)
LayerDeconvolution = at_layer(Deconvolution)
LayerOcclusion = at_layer(Occlusion, asks_about_layer=True)
LayerShapleyValueSampling = at_layer(ShapleyValueSampling)
LayerShapleyValues = at_layer(ShapleyValues)
LayerLime = at_layer(Lime, without=("interpretable_model", "similarity_func", "perturb_func"))
LayerKernelShap = at_layer(KernelShap)
