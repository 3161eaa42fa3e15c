"""The names of ``captum.attr._core.lime`` that scripts import."""

from lightning_explain.captum.attr.lime import KernelShap as KernelShap
from lightning_explain.captum.attr.lime import Lime as Lime
from lightning_explain.captum.attr.lime import LimeBase as LimeBase
from lightning_explain.captum.attr.lime import get_exp_kernel_similarity_function as get_exp_kernel_similarity_function
