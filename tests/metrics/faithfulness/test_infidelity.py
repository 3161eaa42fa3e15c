import pytest
import torch

from lightning_explain import IntegratedGradients, Layer, Occlusion, Saliency, SmoothGrad
from lightning_explain.attribution.regions import Grid
from lightning_explain.metrics import Infidelity
from lightning_explain.metrics.faithfulness.infidelity import best_scale, foretelling, infidelity, perturbation
from lightning_explain.metrics.perturbation import Subsets
from metrics.evaluations import TARGET, Linear, Pair, Picture, evaluation_of, masks_of, pictures, rows, with_scores
from metrics.oracles import quantus_scores


def by_hand(model, inputs, baseline, attribution, masks, target, normalize):
    """Mask by mask; the best beta >= 0 is looked for, not computed."""
    result = []
    for i in range(len(target)):
        foretold, drops = [], []
        for mask in masks:
            parts = mask.split([x[0].numel() // (x.shape[1] if x.ndim > 2 else 1) for x in inputs])
            left, dot = [], 0.0
            for x, x0, phi, gone in zip(inputs, baseline, attribution, parts, strict=True):
                gone = gone.view(x.shape[2:] if x.ndim > 2 else x.shape[1:])
                left.append(torch.where(gone, x0[i : i + 1], x[i : i + 1]))
                for position in gone.nonzero().tolist():
                    dot += float(phi[(i, slice(None), *position) if x.ndim > 2 else (i, *position)].sum())
            with torch.no_grad():
                full, less = (model(*point)[0, target[i]] for point in ([x[i : i + 1] for x in inputs], left))
            foretold.append(dot)
            drops.append(float(full - less))

        def error(beta, foretold=foretold, drops=drops):
            return sum((beta * f - d) ** 2 for f, d in zip(foretold, drops, strict=True)) / len(drops)

        if not normalize:
            result.append(error(1.0))
            continue
        low, high = 0.0, 1e4
        for _ in range(200):  # a convex function of beta: narrow the bracket down
            a, b = low + (high - low) / 3, high - (high - low) / 3
            low, high = (low, b) if error(a) < error(b) else (a, high)
        result.append(error((low + high) / 2) / (sum(d * d for d in drops) / len(drops)))
    return torch.tensor(result, dtype=torch.float64)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("method", ["input_x_gradient", "occlusion"])
def test_infidelity_is_that_of_a_loop_over_masks(method, normalize):
    model, x = Picture(), pictures()
    with evaluation_of(model, x, method, baseline=0.4) as evaluation:
        subsets = Subsets(Grid(3), 7)
        got = Infidelity(normalize, subsets).per_sample(evaluation)
        masks = masks_of(evaluation, subsets)
        point = evaluation.attribution.point
    expected = by_hand(model, (x,), (torch.full_like(x, 0.4),), point, masks, TARGET, normalize)
    torch.testing.assert_close(got, expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("normalize", [True, False])
def test_several_inputs_are_removed_together(normalize):
    model, inputs = Pair(), (pictures(), rows())
    with evaluation_of(model, inputs, "integrated_gradients") as evaluation:
        subsets = Subsets(Grid(2), 6)
        got = Infidelity(normalize, subsets).per_sample(evaluation)
        masks = masks_of(evaluation, subsets)
        point = evaluation.attribution.point
    zero = tuple(map(torch.zeros_like, inputs))
    torch.testing.assert_close(got, by_hand(model, inputs, zero, point, masks, TARGET, normalize), atol=1e-6, rtol=1e-6)


def test_sensitivities_are_multiplied_with_the_difference_to_the_baseline():
    model, x = Linear((2, 6, 6)), pictures()
    for method in (Saliency(absolute=False), SmoothGrad(n_samples=3), IntegratedGradients(2, multiply_by_inputs=False)):
        with evaluation_of(model, x, method, baseline=1.5) as evaluation:
            assert float(Infidelity(normalize=False).per_sample(evaluation).max()) < 1e-20


@pytest.mark.parametrize("method", ["input_x_gradient", "integrated_gradients"])
@pytest.mark.parametrize("normalize", [True, False])
def test_exact_attributions_of_a_linear_model_foretell_everything(method, normalize):
    with evaluation_of(Linear((2, 6, 6)), pictures(), method) as evaluation:
        assert float(Infidelity(normalize=normalize).per_sample(evaluation).max()) < 1e-20


def test_occlusion_counts_every_window_once_for_each_of_its_elements():
    # Each of a pixel's two channels carries the whole pixel's drop: only the best scale makes it exact.
    with evaluation_of(Linear((2, 6, 6)), pictures(), Occlusion(window=1)) as evaluation:
        assert float(Infidelity().per_sample(evaluation).max()) < 1e-20
        raw = Infidelity(normalize=False).per_sample(evaluation)
        torch.testing.assert_close(raw, evaluation.perturbations.drops(Subsets()).square().mean(dim=1))


def test_the_scale_of_a_map_does_not_matter_and_its_sign_does():
    with evaluation_of(Picture(), pictures(), "input_x_gradient") as evaluation:
        phi = evaluation.attribution.point[0].float()
        base = Infidelity().per_sample(with_scores(evaluation, phi))
        # float32 maps whose squares over- and underflow in float32.
        for scale in (1e-30, 1e-3, 1e10, 1e25):
            scaled = Infidelity().per_sample(with_scores(evaluation, phi * scale))
            torch.testing.assert_close(scaled, base, atol=1e-5, rtol=1e-4)
        assert float(base.max()) < 0.9
        upside_down = Infidelity().per_sample(with_scores(evaluation, -phi))
    torch.testing.assert_close(upside_down, torch.ones(4, dtype=torch.float64))


def test_foretelling_nothing_scores_one_and_nothing_to_foretell_is_undefined():
    drops = torch.tensor([[1.0, 2.0], [0.0, 0.0], [torch.nan, 1.0], [1.0, -1.0]])
    got = infidelity(torch.zeros(4, 2), drops)
    assert got[0] == 1
    assert torch.isnan(got).tolist() == [False, True, True, False]
    assert torch.isnan(infidelity(torch.tensor([[torch.nan, 1.0], [torch.inf, 1.0]]), torch.ones(2, 2))).all()
    assert infidelity(torch.zeros(4, 2), drops, normalize=False)[1] == 0


def test_normalised_values_lie_between_zero_and_one():
    generator = torch.Generator().manual_seed(0)
    foretold, drops = (torch.randn(200, 16, generator=generator) for _ in range(2))
    values = infidelity(foretold, drops)
    assert bool(((values >= 0) & (values <= 1)).all())
    assert float((values == 1).double().mean()) > 0.3  # negatively correlated: beta stops at 0


@pytest.mark.parametrize("normalize", [True, False])
def test_captum_agrees_where_the_definitions_do(normalize):
    captum = pytest.importorskip("captum.metrics")
    model, x = Picture(), pictures()
    removals = 11
    with evaluation_of(model, x, "input_x_gradient") as evaluation:
        subsets = Subsets(Grid(3), removals)
        got = Infidelity(normalize, subsets).per_sample(evaluation)
        masks = masks_of(evaluation, subsets).view(removals, 1, 6, 6)
        drops = evaluation.perturbations.drops(subsets)
        phi = evaluation.attribution.point[0]

    def perturb(inputs):
        # Captum hands over each sample `removals` times in a row. Its attribution is multiplied with I itself.
        gone = masks.repeat(len(inputs) // removals, 1, 1, 1).to(inputs.dtype)
        return gone.expand_as(inputs).clone(), torch.where(gone > 0, torch.zeros_like(inputs), inputs)

    theirs = captum.infidelity(model, perturb, x, phi, target=TARGET, n_perturb_samples=removals, normalize=normalize)
    expected = theirs / drops.square().mean(dim=1) if normalize else theirs
    torch.testing.assert_close(got, expected, atol=1e-10, rtol=1e-8)


def test_captum_lets_beta_be_negative_and_does_not_divide():
    captum = pytest.importorskip("captum.metrics")
    model, x = Linear((2, 6, 6)), pictures()
    phi = x * model.weight.detach()[TARGET]
    generator = torch.Generator().manual_seed(0)

    def perturb(inputs):
        gone = (torch.rand(inputs.shape, generator=generator) < 0.3).to(inputs.dtype)
        return gone, inputs * (1 - gone)

    settings = {"target": TARGET, "n_perturb_samples": 10, "normalize": True}
    assert float(captum.infidelity(model, perturb, x, -phi, **settings).abs().max()) < 1e-12
    wrong = torch.randn(phi.shape, generator=generator, dtype=phi.dtype)
    assert float(captum.infidelity(model, perturb, x, wrong, **settings).max()) > 1.5
    with evaluation_of(model, x, "input_x_gradient") as evaluation:
        assert Infidelity().per_sample(with_scores(evaluation, -phi)).tolist() == pytest.approx([1] * 4)
        assert float(Infidelity().per_sample(with_scores(evaluation, wrong)).max()) <= 1 + 1e-12


def test_layers_are_scored_at_the_layer():
    class Head(torch.nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.body = torch.nn.Conv2d(2, 3, 3, padding=1).double()
            self.head = Linear((3, 6, 6))

        def forward(self, x):
            return self.head(torch.tanh(self.body(x)))

    # Behind the layer's input everything is linear: contributions at that layer are exact.
    with evaluation_of(Head(), pictures(), "integrated_gradients", place=Layer("head", of="input")) as evaluation:
        assert float(Infidelity().per_sample(evaluation).max()) < 1e-20
    with evaluation_of(Head(), pictures(), "input_x_gradient") as evaluation:
        assert float(Infidelity().per_sample(evaluation).min()) > 1e-3


def test_quantus_removes_patch_upon_patch_and_repeats_itself(quantus):
    model, x = Picture(channels=1), pictures()[:, :1].abs()
    phi = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    left = []
    handle = model.register_forward_hook(lambda _, inputs, __: left.append(inputs[0]))
    once, often = (
        quantus_scores(
            quantus.Infidelity(perturb_patch_sizes=[2], n_perturb_samples=samples, disable_warnings=True),
            model,
            x,
            TARGET,
            phi,
        )
        for samples in (1, 3)
    )
    handle.remove()
    assert once.tolist() == pytest.approx(often.tolist(), rel=1e-6)  # the same patches again
    changed = [round(36 * float((point != x.float()).double().mean())) for point in left[1:10]]
    # The least pixel is black already.
    assert changed == sorted(changed)
    assert changed[-1] == 35


def test_normalised_it_is_what_captum_calls_normalised_but_for_the_sign_and_the_unit():
    with evaluation_of(Picture(), pictures(), "input_x_gradient") as evaluation:
        perturbations, subsets = evaluation.perturbations, Subsets()
        foretold = perturbations.foretold(evaluation.contributions, subsets)
        drops = perturbations.drops(subsets)
        beta = (foretold * drops).mean(dim=1, keepdim=True) / foretold.square().mean(dim=1, keepdim=True)
        assert bool((beta > 0).all())
        error = (beta * foretold - drops).square().mean(dim=1)
        torch.testing.assert_close(
            Infidelity().per_sample(evaluation) * drops.square().mean(dim=1), error, atol=1e-12, rtol=1e-9
        )


def test_quantus_cannot_take_patches_that_do_not_divide_the_side(quantus):
    model, x = Picture(channels=1), pictures()[:, :1]
    metric = quantus.Infidelity(perturb_patch_sizes=[4], n_perturb_samples=1, disable_warnings=True)
    with pytest.raises((ValueError, IndexError), match=r"cannot reshape|out of bounds"):
        quantus_scores(metric, model, x, TARGET, x)


def test_the_best_scale_is_looked_for():
    generator = torch.Generator().manual_seed(0)
    foretold, drops = (torch.randn(3, 8, generator=generator, dtype=torch.float64) for _ in range(2))
    foretold[2] = 0
    best = best_scale(foretold, drops)
    error = infidelity(best * foretold, drops, normalize=False)
    for beta in torch.linspace(-3, 3, 601, dtype=torch.float64):
        assert bool((infidelity(beta * foretold, drops, normalize=False) >= error - 1e-12).all())
    torch.testing.assert_close(best_scale(-2 * foretold, drops), -best / 2)
    assert float(best[2]) == 0
    with pytest.raises(ValueError, match="foretold and drops must have the same shape"):
        best_scale(foretold, drops[:2])


def test_what_is_foretold_is_added_up_over_all_inputs():
    maps = torch.arange(6.0).view(2, 3), torch.ones(2, 2, 2)
    changes = torch.tensor([[1.0, 0.0, -1.0]]), torch.arange(8.0).view(2, 2, 2)
    by_hand = [0 * 1 + 1 * 0 - 2 + 0 + 1 + 2 + 3, 3 - 5 + 4 + 5 + 6 + 7]
    assert foretelling(maps, changes).tolist() == by_hand
    with pytest.raises(ValueError, match="shorter"):
        foretelling(maps, changes[:1])


def test_perturbations_are_shares_of_the_way_to_the_baseline():
    x, moved = torch.tensor([[4.0, 1.0, 2.0]]), torch.tensor([[3.0, 3.0, 2.0]])
    assert perturbation(x, moved, 2.0).tolist() == [[0.5, 2.0, 0.0]]
    assert perturbation(x, moved, torch.tensor([4.0, 2.0, 0.0])).tolist() == [[1.0, 2.0, 0.0]]  # no way: as it is
    assert perturbation(x, moved, 2.0, relative=False).tolist() == [[1.0, -2.0, 0.0]]
