"""What Captum has at neurons, a line for each name."""

from functools import partial

from lightning_explain.captum.attr import internal, product
from lightning_explain.captum.attr.gradients import IntegratedGradients

at_neuron = partial(product.at_neuron, module=__name__)

NeuronGradient = at_neuron(internal.Gradient)
NeuronIntegratedGradients = at_neuron(IntegratedGradients)
NeuronConductance = at_neuron(internal.Conductance, through=True, defaults={"method": "riemann_trapezoid"})
