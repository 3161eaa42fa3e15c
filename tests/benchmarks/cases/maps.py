"""Maps of a layer, and what only we have."""

from captum import attr

from lightning_explain import (
    RISE,
    AttentionRollout,
    EigenCAM,
    GradCAM,
    GradCAMPlusPlus,
    HiResCAM,
    LayerCAM,
    ScoreCAM,
    XGradCAM,
    explain,
)
from tests.benchmarks.cases.asked import Asked, Case


def map_cases(network):
    """Maps of a layer, and what only we have."""
    n, asked = network, Asked(network)
    if not n.with_pictures:
        return [Case("attention_rollout", asked.perturbed(AttentionRollout()))]
    grad_cam = GradCAM(n.late)

    def coarse(replica=False):
        return explain(n.model, n.inputs, grad_cam, target=n.target, replica=replica).coarse[0]

    def theirs(_):
        return attr.LayerGradCam(n.model, n.layer).attribute(n.inputs, n.target, relu_attributions=True)

    others = [GradCAMPlusPlus, HiResCAM, XGradCAM, LayerCAM, EigenCAM, ScoreCAM]
    return [
        Case("grad_cam", coarse, theirs, note="ours also upsampled"),
        *[Case(kind.name, asked.perturbed(kind(n.late))) for kind in others],
        Case("rise", asked.perturbed(RISE(n.scale.masks)), note=f"{n.scale.masks} masks"),
    ]
