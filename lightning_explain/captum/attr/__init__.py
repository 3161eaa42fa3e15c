"""Attribution: the names of ``captum.attr``."""

from lightning_explain.captum.attr.attribution import Attribution as Attribution
from lightning_explain.captum.attr.attribution import GradientAttribution as GradientAttribution
from lightning_explain.captum.attr.attribution import LayerAttribution as LayerAttribution
from lightning_explain.captum.attr.attribution import NeuronAttribution as NeuronAttribution
from lightning_explain.captum.attr.attribution import PerturbationAttribution as PerturbationAttribution
from lightning_explain.captum.attr.dataloader import DataLoaderAttribution as DataLoaderAttribution
from lightning_explain.captum.attr.gradients import IntegratedGradients as IntegratedGradients
from lightning_explain.captum.attr.gradients import Saliency as Saliency
from lightning_explain.captum.attr.lime import KernelShap as KernelShap
from lightning_explain.captum.attr.lime import Lime as Lime
from lightning_explain.captum.attr.lime_base import LimeBase as LimeBase
from lightning_explain.captum.attr.perturbations import FeatureAblation as FeatureAblation
from lightning_explain.captum.attr.perturbations import FeaturePermutation as FeaturePermutation
from lightning_explain.captum.attr.perturbations import Occlusion as Occlusion
from lightning_explain.captum.attr.shapley import ShapleyValues as ShapleyValues
from lightning_explain.captum.attr.shapley import ShapleyValueSampling as ShapleyValueSampling
