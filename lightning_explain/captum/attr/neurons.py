"""What Captum has at neurons, and what it could have: a line for each name."""

from functools import partial

from lightning_explain.captum.attr import internal, product
from lightning_explain.captum.attr.deep_lift import DeepLift, DeepLiftShap
from lightning_explain.captum.attr.gradient_shap import GradientShap
from lightning_explain.captum.attr.gradients import InputXGradient, IntegratedGradients
from lightning_explain.captum.attr.lime import KernelShap, Lime
from lightning_explain.captum.attr.lrp import LRP
from lightning_explain.captum.attr.perturbations import FeatureAblation, FeaturePermutation, Occlusion
from lightning_explain.captum.attr.rectified import Deconvolution, GuidedBackprop
from lightning_explain.captum.attr.shapley import ShapleyValues, ShapleyValueSampling

at_neuron = partial(product.at_neuron, module=__name__)

NeuronGradient = at_neuron(internal.Gradient)
NeuronIntegratedGradients = at_neuron(IntegratedGradients)
NeuronConductance = at_neuron(internal.Conductance, through=True, defaults={"method": "riemann_trapezoid"})
NeuronGradientShap = at_neuron(GradientShap)
NeuronDeepLift = at_neuron(DeepLift, without=("device_ids", "eps"))
NeuronDeepLiftShap = at_neuron(DeepLiftShap, without=("device_ids", "eps"))
NeuronGuidedBackprop = at_neuron(GuidedBackprop)
NeuronDeconvolution = at_neuron(Deconvolution)
NeuronFeatureAblation = at_neuron(FeatureAblation, without=("show_progress",))

# Not in Captum:
NeuronInputXGradient = at_neuron(InputXGradient)
NeuronLRP = at_neuron(LRP)
NeuronFeaturePermutation = at_neuron(FeaturePermutation, without=("perm_func",))
NeuronOcclusion = at_neuron(Occlusion)
NeuronShapleyValueSampling = at_neuron(ShapleyValueSampling)
NeuronShapleyValues = at_neuron(ShapleyValues)
NeuronLime = at_neuron(Lime, without=("interpretable_model", "similarity_func", "perturb_func"))
NeuronKernelShap = at_neuron(KernelShap)
