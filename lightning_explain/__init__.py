"""What is my model looking at, and is that getting better or worse while it trains?

    >>> from lightning_explain import AttributionMonitor, ProbeSet

Names are imported when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lightning_explain.attribution.attribution import Attribution as Attribution
    from lightning_explain.attribution.dataset import DatasetAttribution as DatasetAttribution
    from lightning_explain.attribution.dataset import explain_dataset as explain_dataset
    from lightning_explain.attribution.engine import explain as explain
    from lightning_explain.attribution.methods import LRP as LRP
    from lightning_explain.attribution.methods import METHODS as METHODS
    from lightning_explain.attribution.methods import RISE as RISE
    from lightning_explain.attribution.methods import Deconvolution as Deconvolution
    from lightning_explain.attribution.methods import DeepLift as DeepLift
    from lightning_explain.attribution.methods import DeepLiftShap as DeepLiftShap
    from lightning_explain.attribution.methods import FeatureAblation as FeatureAblation
    from lightning_explain.attribution.methods import FeaturePermutation as FeaturePermutation
    from lightning_explain.attribution.methods import GradCAM as GradCAM
    from lightning_explain.attribution.methods import GuidedBackprop as GuidedBackprop
    from lightning_explain.attribution.methods import GuidedGradCAM as GuidedGradCAM
    from lightning_explain.attribution.methods import InputXGradient as InputXGradient
    from lightning_explain.attribution.methods import IntegratedGradients as IntegratedGradients
    from lightning_explain.attribution.methods import KernelShap as KernelShap
    from lightning_explain.attribution.methods import Lime as Lime
    from lightning_explain.attribution.methods import NoiseTunnel as NoiseTunnel
    from lightning_explain.attribution.methods import Occlusion as Occlusion
    from lightning_explain.attribution.methods import Saliency as Saliency
    from lightning_explain.attribution.methods import ShapleySampling as ShapleySampling
    from lightning_explain.attribution.methods import ShapleyValues as ShapleyValues
    from lightning_explain.attribution.methods import SmoothGrad as SmoothGrad
    from lightning_explain.attribution.methods import SmoothGradSquared as SmoothGradSquared
    from lightning_explain.attribution.methods import VarGrad as VarGrad
    from lightning_explain.attribution.place import Input as Input
    from lightning_explain.attribution.place import Layer as Layer
    from lightning_explain.attribution.place import Neuron as Neuron
    from lightning_explain.audit import Audit as Audit
    from lightning_explain.audit import audit as audit
    from lightning_explain.callback import AttributionMonitor as AttributionMonitor
    from lightning_explain.checkpoint import AttributionCheckpoint as AttributionCheckpoint
    from lightning_explain.evaluate import evaluate as evaluate
    from lightning_explain.metrics import METRICS as METRICS
    from lightning_explain.probe import ProbeSet as ProbeSet
    from lightning_explain.stopping import AttributionStopping as AttributionStopping

__version__ = "0.1.0"

_MODULES = {
    "Attribution": "attribution.attribution",
    "AttributionCheckpoint": "checkpoint",
    "AttributionMonitor": "callback",
    "AttributionStopping": "stopping",
    "Audit": "audit",
    "DatasetAttribution": "attribution.dataset",
    "FeatureAblation": "attribution.methods",
    "FeaturePermutation": "attribution.methods",
    "GradCAM": "attribution.methods",
    "Input": "attribution.place",
    "InputXGradient": "attribution.methods",
    "IntegratedGradients": "attribution.methods",
    "KernelShap": "attribution.methods",
    "Layer": "attribution.place",
    "Lime": "attribution.methods",
    "LRP": "attribution.methods",
    "Deconvolution": "attribution.methods",
    "DeepLift": "attribution.methods",
    "DeepLiftShap": "attribution.methods",
    "GuidedBackprop": "attribution.methods",
    "GuidedGradCAM": "attribution.methods",
    "METHODS": "attribution.methods",
    "METRICS": "metrics",
    "Neuron": "attribution.place",
    "NoiseTunnel": "attribution.methods",
    "Occlusion": "attribution.methods",
    "ProbeSet": "probe",
    "RISE": "attribution.methods",
    "Saliency": "attribution.methods",
    "ShapleySampling": "attribution.methods",
    "ShapleyValues": "attribution.methods",
    "SmoothGrad": "attribution.methods",
    "SmoothGradSquared": "attribution.methods",
    "VarGrad": "attribution.methods",
    "audit": "audit",
    "evaluate": "evaluate",
    "explain": "attribution.engine",
    "explain_dataset": "attribution.dataset",
}

__all__ = [*_MODULES]


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
