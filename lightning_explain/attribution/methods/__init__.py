"""Attribution methods, one file for each formula. To add one: a file, and a line here."""

from lightning_explain.attribution.methods.activation import Activation as Activation
from lightning_explain.attribution.methods.attention_relevance import AttentionRelevance as AttentionRelevance
from lightning_explain.attribution.methods.attention_rollout import AttentionRollout as AttentionRollout
from lightning_explain.attribution.methods.conductance import Conductance as Conductance
from lightning_explain.attribution.methods.eigen_cam import EigenCAM as EigenCAM
from lightning_explain.attribution.methods.grad_cam import GradCAM as GradCAM
from lightning_explain.attribution.methods.grad_cam_plus_plus import GradCAMPlusPlus as GradCAMPlusPlus
from lightning_explain.attribution.methods.gradient_shap import ExpectedGradients as ExpectedGradients
from lightning_explain.attribution.methods.gradient_shap import GradientShap as GradientShap
from lightning_explain.attribution.methods.hires_cam import HiResCAM as HiResCAM
from lightning_explain.attribution.methods.input_x_gradient import InputXGradient as InputXGradient
from lightning_explain.attribution.methods.integrated_gradients import IntegratedGradients as IntegratedGradients
from lightning_explain.attribution.methods.internal_influence import InternalInfluence as InternalInfluence
from lightning_explain.attribution.methods.layer_cam import LayerCAM as LayerCAM
from lightning_explain.attribution.methods.method import METHODS as METHODS
from lightning_explain.attribution.methods.method import Method as Method
from lightning_explain.attribution.methods.noise_tunnel import NoiseTunnel as NoiseTunnel
from lightning_explain.attribution.methods.noise_tunnel import SmoothGrad as SmoothGrad
from lightning_explain.attribution.methods.noise_tunnel import SmoothGradSquared as SmoothGradSquared
from lightning_explain.attribution.methods.noise_tunnel import VarGrad as VarGrad
from lightning_explain.attribution.methods.occlusion import Occlusion as Occlusion
from lightning_explain.attribution.methods.saliency import Saliency as Saliency
from lightning_explain.attribution.methods.score_cam import ScoreCAM as ScoreCAM
from lightning_explain.attribution.methods.xgrad_cam import XGradCAM as XGradCAM
