"""What happens to the score when the inputs are perturbed."""

from captum import attr

from lightning_explain import (
    FeatureAblation,
    FeaturePermutation,
    KernelShap,
    Lime,
    Occlusion,
    ShapleySampling,
    ShapleyValues,
)
from tests.benchmarks.cases.asked import ROWS_AT_A_TIME, Asked, Case, named


def per_eval(network, samples=1):
    """Perturbations at a time to try: so many that about 64 or 256 rows go at once."""
    batch = max(1, len(network.inputs) // samples)
    return tuple(sorted({max(2, rows // batch) for rows in (*ROWS_AT_A_TIME, 16)}))


def perturbation_cases(network):
    """By what happens to the inputs."""
    n, asked, scale = network, Asked(network), network.scale
    shared = {"target": n.target}
    nothing = {"baselines": asked.captum_baseline}
    window = n.window[1:] or n.window

    def masked(kind, mask, **settings):
        chosen = kind(n.model)

        def work(size):
            at_once = named("perturbations_per_eval", size)
            return chosen.attribute(n.inputs, feature_mask=n.masks[mask], **shared, **settings, **at_once)

        return work

    def occlusion(size):
        at_once = named("perturbations_per_eval", size)
        return attr.Occlusion(n.model).attribute(n.inputs, n.window, n.window, **shared, **nothing, **at_once)

    many, some, few = (int(n.masks[key].max()) + 1 for key in ("many", "some", "few"))
    batches, singles = per_eval(n), per_eval(n, len(n.inputs))
    samples = {"n_samples": scale.samples}
    return [
        Case(
            "feature_ablation",
            asked.perturbed(FeatureAblation(), "many"),
            masked(attr.FeatureAblation, "many", **nothing),
            batches,
            note=f"{many} features",
        ),
        Case(
            "feature_permutation",
            asked.perturbed(FeaturePermutation(), "many"),
            masked(attr.FeaturePermutation, "many"),
            batches,
            drawn=True,
            note=f"{many} features",
        ),
        Case(
            "occlusion",
            asked.perturbed(Occlusion(window, window)),
            occlusion,
            batches,
            note=f"windows of {' × '.join(map(str, window))}",
        ),
        Case(
            "shapley_sampling",
            asked.perturbed(ShapleySampling(scale.orders), "some"),
            masked(attr.ShapleyValueSampling, "some", n_samples=scale.orders, **nothing),
            batches,
            drawn=True,
            note=f"{scale.orders} orders of {some} features",
        ),
        Case(
            "shapley_values",
            asked.perturbed(ShapleyValues(), "few"),
            masked(attr.ShapleyValues, "few", **nothing),
            batches,
            note=f"{few} features: 2^{few} coalitions, Captum {few}! orders",
        ),
        Case(
            "lime",
            asked.perturbed(Lime(scale.samples), "some"),
            masked(attr.Lime, "some", **samples, **nothing),
            singles,
            drawn=True,
            note=f"{scale.samples} samples, {some} features",
        ),
        Case(
            "kernel_shap",
            asked.perturbed(KernelShap(scale.samples), "some"),
            masked(attr.KernelShap, "some", **samples, **nothing),
            singles,
            drawn=True,
            note=f"{scale.samples} samples, {some} features",
        ),
    ]
