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
    from lightning_explain.attribution.embedding import embedded as embedded
    from lightning_explain.attribution.embedding import token_embedding as token_embedding
    from lightning_explain.attribution.engine import explain as explain
    from lightning_explain.attribution.layers import Layers as Layers
    from lightning_explain.attribution.methods import LRP as LRP
    from lightning_explain.attribution.methods import METHODS as METHODS
    from lightning_explain.attribution.methods import RISE as RISE
    from lightning_explain.attribution.methods import Activation as Activation
    from lightning_explain.attribution.methods import AttentionRelevance as AttentionRelevance
    from lightning_explain.attribution.methods import AttentionRollout as AttentionRollout
    from lightning_explain.attribution.methods import Conductance as Conductance
    from lightning_explain.attribution.methods import Deconvolution as Deconvolution
    from lightning_explain.attribution.methods import DeepLift as DeepLift
    from lightning_explain.attribution.methods import DeepLiftShap as DeepLiftShap
    from lightning_explain.attribution.methods import EigenCAM as EigenCAM
    from lightning_explain.attribution.methods import ExpectedGradients as ExpectedGradients
    from lightning_explain.attribution.methods import FeatureAblation as FeatureAblation
    from lightning_explain.attribution.methods import FeaturePermutation as FeaturePermutation
    from lightning_explain.attribution.methods import GradCAM as GradCAM
    from lightning_explain.attribution.methods import GradCAMPlusPlus as GradCAMPlusPlus
    from lightning_explain.attribution.methods import GradientShap as GradientShap
    from lightning_explain.attribution.methods import GuidedBackprop as GuidedBackprop
    from lightning_explain.attribution.methods import GuidedGradCAM as GuidedGradCAM
    from lightning_explain.attribution.methods import HiResCAM as HiResCAM
    from lightning_explain.attribution.methods import InputXGradient as InputXGradient
    from lightning_explain.attribution.methods import IntegratedGradients as IntegratedGradients
    from lightning_explain.attribution.methods import InternalInfluence as InternalInfluence
    from lightning_explain.attribution.methods import KernelShap as KernelShap
    from lightning_explain.attribution.methods import LayerCAM as LayerCAM
    from lightning_explain.attribution.methods import Lime as Lime
    from lightning_explain.attribution.methods import NoiseTunnel as NoiseTunnel
    from lightning_explain.attribution.methods import Occlusion as Occlusion
    from lightning_explain.attribution.methods import Saliency as Saliency
    from lightning_explain.attribution.methods import ScoreCAM as ScoreCAM
    from lightning_explain.attribution.methods import ShapleySampling as ShapleySampling
    from lightning_explain.attribution.methods import ShapleyValues as ShapleyValues
    from lightning_explain.attribution.methods import SmoothGrad as SmoothGrad
    from lightning_explain.attribution.methods import SmoothGradSquared as SmoothGradSquared
    from lightning_explain.attribution.methods import VarGrad as VarGrad
    from lightning_explain.attribution.methods import XGradCAM as XGradCAM
    from lightning_explain.attribution.place import Input as Input
    from lightning_explain.attribution.place import Layer as Layer
    from lightning_explain.attribution.place import Neuron as Neuron
    from lightning_explain.attribution.several import explain_methods as explain_methods
    from lightning_explain.attribution.several import explain_targets as explain_targets
    from lightning_explain.auditing.audit import Audit as Audit
    from lightning_explain.auditing.audit import audit as audit
    from lightning_explain.callback import AttributionMonitor as AttributionMonitor
    from lightning_explain.checkpoint import AttributionCheckpoint as AttributionCheckpoint
    from lightning_explain.metrics import METRICS as METRICS
    from lightning_explain.probe import ProbeSet as ProbeSet
    from lightning_explain.standalone import evaluate as evaluate
    from lightning_explain.stopping import AttributionStopping as AttributionStopping

__version__ = "0.1.0"

_MODULES = {
    "Activation": "attribution.methods",
    "AttentionRelevance": "attribution.methods",
    "AttentionRollout": "attribution.methods",
    "Attribution": "attribution.attribution",
    "AttributionCheckpoint": "checkpoint",
    "AttributionMonitor": "callback",
    "AttributionStopping": "stopping",
    "Audit": "auditing.audit",
    "Conductance": "attribution.methods",
    "DatasetAttribution": "attribution.dataset",
    "Deconvolution": "attribution.methods",
    "DeepLift": "attribution.methods",
    "DeepLiftShap": "attribution.methods",
    "EigenCAM": "attribution.methods",
    "ExpectedGradients": "attribution.methods",
    "FeatureAblation": "attribution.methods",
    "FeaturePermutation": "attribution.methods",
    "GradCAM": "attribution.methods",
    "GradCAMPlusPlus": "attribution.methods",
    "GradientShap": "attribution.methods",
    "GuidedBackprop": "attribution.methods",
    "GuidedGradCAM": "attribution.methods",
    "HiResCAM": "attribution.methods",
    "Input": "attribution.place",
    "InputXGradient": "attribution.methods",
    "IntegratedGradients": "attribution.methods",
    "InternalInfluence": "attribution.methods",
    "KernelShap": "attribution.methods",
    "LRP": "attribution.methods",
    "Layer": "attribution.place",
    "LayerCAM": "attribution.methods",
    "Layers": "attribution.layers",
    "Lime": "attribution.methods",
    "METHODS": "attribution.methods",
    "METRICS": "metrics",
    "Neuron": "attribution.place",
    "NoiseTunnel": "attribution.methods",
    "Occlusion": "attribution.methods",
    "ProbeSet": "probe",
    "RISE": "attribution.methods",
    "Saliency": "attribution.methods",
    "ScoreCAM": "attribution.methods",
    "ShapleySampling": "attribution.methods",
    "ShapleyValues": "attribution.methods",
    "SmoothGrad": "attribution.methods",
    "SmoothGradSquared": "attribution.methods",
    "VarGrad": "attribution.methods",
    "XGradCAM": "attribution.methods",
    "audit": "auditing.audit",
    "embedded": "attribution.embedding",
    "evaluate": "standalone",
    "explain": "attribution.engine",
    "explain_dataset": "attribution.dataset",
    "explain_methods": "attribution.several",
    "explain_targets": "attribution.several",
    "token_embedding": "attribution.embedding",
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
