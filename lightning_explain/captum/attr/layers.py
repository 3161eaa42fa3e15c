"""What Captum has at layers, a line for each name."""

from functools import partial

from lightning_explain.captum.attr import internal, product
from lightning_explain.captum.attr.gradients import IntegratedGradients

at_layer = partial(product.at_layer, module=__name__)

LayerActivation = at_layer(internal.Activation)
LayerGradientXActivation = at_layer(internal.GradientXActivation)
LayerGradCam = at_layer(internal.GradCam, channel_dim=1)
LayerIntegratedGradients = at_layer(IntegratedGradients)
LayerConductance = at_layer(internal.Conductance, without=("multiply_by_inputs",))
InternalInfluence = at_layer(internal.Influence, "InternalInfluence")
