"""Captum's ``captum.metrics``: how far to trust attributions."""

from lightning_explain.captum.metrics.infidelity import infidelity as infidelity
from lightning_explain.captum.metrics.infidelity import (
    infidelity_perturb_func_decorator as infidelity_perturb_func_decorator,
)
from lightning_explain.captum.metrics.sensitivity import default_perturb_func as default_perturb_func
from lightning_explain.captum.metrics.sensitivity import sensitivity_max as sensitivity_max
