"""Attribution: the names of ``captum.attr``."""

from lightning_explain.captum.attr.attribution import Attribution as Attribution
from lightning_explain.captum.attr.attribution import GradientAttribution as GradientAttribution
from lightning_explain.captum.attr.attribution import LayerAttribution as LayerAttribution
from lightning_explain.captum.attr.attribution import NeuronAttribution as NeuronAttribution
from lightning_explain.captum.attr.attribution import PerturbationAttribution as PerturbationAttribution
from lightning_explain.captum.attr.gradients import IntegratedGradients as IntegratedGradients
from lightning_explain.captum.attr.gradients import Saliency as Saliency
