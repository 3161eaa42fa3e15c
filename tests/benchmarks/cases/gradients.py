"""Gradients of the inputs, or of the embedding."""

from captum import attr

from lightning_explain import GradientShap, InputXGradient, IntegratedGradients, Saliency, SmoothGrad
from tests.benchmarks.cases.asked import ROWS_AT_A_TIME, Asked, Case, named


def gradient_cases(network):
    """Of the inputs, or of the embedding."""
    n, asked, given = network, Asked(network), {"target": network.target}
    path, steps, noise = given | {"baselines": network.z0}, network.scale.steps, network.scale.noise
    with_delta = {"return_convergence_delta": True}

    # Ours is a share of each sample's range, Captum's the same for all.
    range_of_each = float((n.z.flatten(1).amax(dim=1) - n.z.flatten(1).amin(dim=1)).mean())

    def tunnel(inner, **more):
        def work(size):
            at_once = named("nt_samples_batch_size", size and max(1, size // len(n.z)))
            arguments = {"nt_samples": noise, "stdevs": 0.15 * range_of_each, **given, **at_once, **more}
            return attr.NoiseTunnel(inner(n.inside)).attribute(n.z, **arguments)

        return work

    few = max(2, steps // 8)
    return [
        Case("saliency", asked.at_place(Saliency()), lambda _: attr.Saliency(n.inside).attribute(n.z, **given)),
        Case(
            "input_x_gradient",
            asked.at_place(InputXGradient()),
            lambda _: attr.InputXGradient(n.inside).attribute(n.z, **given),
        ),
        Case(
            "integrated_gradients",
            asked.at_place(IntegratedGradients(steps)),
            lambda size: attr.IntegratedGradients(n.inside).attribute(
                n.z, n_steps=steps, **path, **with_delta, **named("internal_batch_size", size)
            )[0],
            ROWS_AT_A_TIME,
            note=f"{steps} steps",
        ),
        Case(
            "gradient_shap",
            asked.at_place(GradientShap(steps)),
            lambda _: attr.GradientShap(n.inside).attribute(n.z, n_samples=steps, **path, **with_delta)[0],
            drawn=True,
            note=f"{steps} draws",
        ),
        Case(
            "smoothgrad of saliency",
            asked.at_place(SmoothGrad(Saliency(), n_samples=noise)),
            tunnel(attr.Saliency),
            ROWS_AT_A_TIME,
            drawn=True,
            note=f"{noise} draws",
        ),
        Case(
            "smoothgrad of integrated_gradients",
            asked.at_place(SmoothGrad(IntegratedGradients(few), n_samples=noise)),
            tunnel(attr.IntegratedGradients, n_steps=few, baselines=n.z0),
            ROWS_AT_A_TIME,
            drawn=True,
            note=f"{noise} draws of {few} steps",
        ),
    ]
