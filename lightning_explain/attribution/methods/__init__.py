"""Attribution methods, one file for each formula. To add one: a file, and a line here."""

from lightning_explain.attribution.methods.deep_lift import DeepLift as DeepLift
from lightning_explain.attribution.methods.deep_lift import DeepLiftShap as DeepLiftShap
from lightning_explain.attribution.methods.feature_ablation import FeatureAblation as FeatureAblation
from lightning_explain.attribution.methods.feature_permutation import FeaturePermutation as FeaturePermutation
from lightning_explain.attribution.methods.grad_cam import GradCAM as GradCAM
from lightning_explain.attribution.methods.guided_backprop import Deconvolution as Deconvolution
from lightning_explain.attribution.methods.guided_backprop import GuidedBackprop as GuidedBackprop
from lightning_explain.attribution.methods.guided_grad_cam import GuidedGradCAM as GuidedGradCAM
from lightning_explain.attribution.methods.input_x_gradient import InputXGradient as InputXGradient
from lightning_explain.attribution.methods.integrated_gradients import IntegratedGradients as IntegratedGradients
from lightning_explain.attribution.methods.kernel_shap import KernelShap as KernelShap
from lightning_explain.attribution.methods.lime import Lime as Lime
from lightning_explain.attribution.methods.lrp import LRP as LRP
from lightning_explain.attribution.methods.method import METHODS as METHODS
from lightning_explain.attribution.methods.method import Method as Method
from lightning_explain.attribution.methods.noise_tunnel import NoiseTunnel as NoiseTunnel
from lightning_explain.attribution.methods.noise_tunnel import SmoothGrad as SmoothGrad
from lightning_explain.attribution.methods.noise_tunnel import SmoothGradSquared as SmoothGradSquared
from lightning_explain.attribution.methods.noise_tunnel import VarGrad as VarGrad
from lightning_explain.attribution.methods.occlusion import Occlusion as Occlusion
from lightning_explain.attribution.methods.rise import RISE as RISE
from lightning_explain.attribution.methods.saliency import Saliency as Saliency
from lightning_explain.attribution.methods.shapley_sampling import ShapleySampling as ShapleySampling
from lightning_explain.attribution.methods.shapley_values import ShapleyValues as ShapleyValues
