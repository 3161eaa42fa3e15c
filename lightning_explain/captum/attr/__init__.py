"""Attribution: the names of ``captum.attr``."""

from lightning_explain.captum.attr.attribution import Attribution as Attribution
from lightning_explain.captum.attr.attribution import GradientAttribution as GradientAttribution
from lightning_explain.captum.attr.attribution import LayerAttribution as LayerAttribution
from lightning_explain.captum.attr.attribution import NeuronAttribution as NeuronAttribution
from lightning_explain.captum.attr.attribution import PerturbationAttribution as PerturbationAttribution
from lightning_explain.captum.attr.deep_lift import DeepLift as DeepLift
from lightning_explain.captum.attr.deep_lift import DeepLiftShap as DeepLiftShap
from lightning_explain.captum.attr.gradient_shap import GradientShap as GradientShap
from lightning_explain.captum.attr.gradients import InputXGradient as InputXGradient
from lightning_explain.captum.attr.gradients import IntegratedGradients as IntegratedGradients
from lightning_explain.captum.attr.gradients import Saliency as Saliency
from lightning_explain.captum.attr.lrp import LRP as LRP
from lightning_explain.captum.attr.noise_tunnel import NoiseTunnel as NoiseTunnel
from lightning_explain.captum.attr.rectified import Deconvolution as Deconvolution
from lightning_explain.captum.attr.rectified import GuidedBackprop as GuidedBackprop
from lightning_explain.captum.attr.rectified import GuidedGradCam as GuidedGradCam
