"""Methods by rules for operators."""

from captum import attr
from captum.attr._utils.lrp_rules import EpsilonRule
from torch import nn

from lightning_explain import LRP, Deconvolution, DeepLift, DeepLiftShap, GuidedBackprop, GuidedGradCAM
from lightning_explain.attribution.rules.composites import Composite
from tests.benchmarks.cases.asked import Asked, Case


def rule_cases(network):
    """By rules for operators."""
    n, asked, given = network, Asked(network), {"target": network.target}
    distribution = n.many[-8 if len(n.many) > 8 else -2 :].clone()
    by_operator = "rules by module in Captum"
    cases = [
        Case(
            "guided_backprop",
            asked.inside(GuidedBackprop()),
            lambda _: attr.GuidedBackprop(n.inside).attribute(n.z, **given),
        ),
        Case(
            "deconvolution",
            asked.inside(Deconvolution()),
            lambda _: attr.Deconvolution(n.inside).attribute(n.z, **given),
        ),
        Case(
            "deep_lift",
            asked.inside(DeepLift()),
            lambda _: attr.DeepLift(n.inside).attribute(n.z, n.z0, return_convergence_delta=True, **given)[0],
            note=by_operator,
        ),
        Case(
            "deep_lift_shap",
            asked.inside(DeepLiftShap(distribution)),
            lambda _: attr.DeepLiftShap(n.inside).attribute(n.z, distribution, return_convergence_delta=True, **given)[
                0
            ],
            note=f"{len(distribution)} baselines",
        ),
        Case("lrp, epsilon", asked.inside(LRP(Composite())), captum_lrp(n, EpsilonRule), note=by_operator),
        Case("lrp, epsilon_plus", asked.inside(LRP("epsilon_plus"))),
        Case("lrp, epsilon_gamma_box", asked.inside(LRP("epsilon_gamma_box"))),
    ]
    if n.with_pictures:
        cases.insert(
            2,
            Case(
                "guided_grad_cam",
                asked.inside(GuidedGradCAM(n.late)),
                lambda _: attr.GuidedGradCam(n.inside, n.layer).attribute(n.z, interpolate_mode="bilinear", **given),
            ),
        )
    return cases


def captum_lrp(network, rule):
    """Captum's LRP; it forgets rules with every call, and modules of no known type get one by hand."""

    def work(_):
        for module in network.inside.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                module.rule = rule()
            elif isinstance(module, (nn.BatchNorm2d, nn.Identity, nn.Flatten, nn.ReLU6)):
                module.rule = EpsilonRule()
        try:
            return attr.LRP(network.inside).attribute(network.z, target=network.target)
        finally:
            for module in network.inside.modules():
                vars(module).pop("rule", None)

    return work
