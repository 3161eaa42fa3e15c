"""DeepLift by hand, by its axioms, and beside Captum where Captum is right and where it is not."""

import captum.attr as captum
import pytest
import torch
import torch.nn.functional as F
from cases import CASES, Case
from torch import Tensor, nn

from lightning_explain import Input, Layer, Layers, Neuron, explain
from lightning_explain.attribution.methods import DeepLift, DeepLiftShap
from lightning_explain.attribution.place import Place
from lightning_explain.inputs import leaves

pytestmark = [
    pytest.mark.filterwarnings("ignore:Setting forward, backward hooks:UserWarning"),
    pytest.mark.filterwarnings("ignore:Input Tensor 0 did not already require gradients:UserWarning"),
]


class CNN(nn.Module):
    """As Captum wants it: a module for everything, each used once."""

    def __init__(self, pool: bool = False) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1), nn.Sigmoid())
        # Captum 0.9.0 errs where a pooling module reads an activation module directly.
        self.pool = nn.Sequential(nn.Conv2d(4, 4, 1), nn.MaxPool2d(2)) if pool else nn.AvgPool2d(2)
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(16, 5), nn.Tanh(), nn.Linear(5, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.pool(self.body(x)))


class Everything(nn.Module):
    """Functional, reused, residual, normalised, attentive."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv1d(3, 8, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.linear, self.again = nn.Linear(8, 8), nn.Linear(8, 8)
        self.norm, self.group = nn.LayerNorm(8), nn.GroupNorm(2, 8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.encoder = nn.TransformerEncoderLayer(8, 2, 12, batch_first=True, activation="gelu", norm_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.group(self.stem(x))).transpose(1, 2)
        x = x + self.relu(self.linear(x))
        x = x + F.gelu(self.again(self.norm(x))) * torch.sigmoid(x)
        x = x + self.attention(x, x, x)[0]
        x = F.max_pool1d(self.encoder(x).transpose(1, 2), 2)
        return self.head(F.relu6(4 * x).mean(dim=2)).softmax(dim=-1)


def model(kind: type[nn.Module], seed: int = 0, **kwargs) -> nn.Module:
    torch.manual_seed(seed)
    return kind(**kwargs).double().eval()


def pictures(n: int = 4, seed: int = 5) -> Tensor:
    return torch.randn(n, 2, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_two_units_by_hand() -> None:
    class Two(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            hidden = torch.stack([x[:, 0] - 2 * x[:, 1], x[:, 0] + x[:, 1]], dim=1)
            return 3 * F.relu(hidden[:, 0]) - F.relu(hidden[:, 1])

    x, x0 = torch.tensor([[4.0, 1.0], [1.0, 3.0]]), torch.tensor([[-1.0, 1.0]])
    # hidden (2, 5) and (-5, 4) against (-3, 0): multipliers of the ReLUs 2/5, 5/5 and 0, 4/4
    expected = torch.tensor([[5 * (3 * 0.4 - 1), 0.0], [2 * (0.0 - 1), 2 * (0.0 - 1)]])
    found = explain(Two(), x, "deep_lift", target="output", baseline=x0)
    torch.testing.assert_close(found.values, expected)
    assert found.delta.abs().max() < 1e-6
    multipliers = explain(Two(), x, DeepLift(multiply_by_inputs=False), target="output", baseline=x0)
    torch.testing.assert_close(multipliers.values, torch.tensor([[0.2, 3 * 0.4 * -2 - 1], [-1.0, -1.0]]))
    assert multipliers.delta is None


@pytest.mark.parametrize("place", [Input(), Layer("linear", channel_dim=-1), Layer("encoder"), Neuron("norm", (2, 3))])
@pytest.mark.parametrize("baseline", ["zeros", "mean", 0.5])
def test_the_delta_is_rounding_whatever_the_model_is_made_of(place: Place, baseline: str | float) -> None:
    x = torch.randn(4, 3, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = explain(model(Everything), x, "deep_lift", place, target=1, baseline=baseline)
    assert found.span.abs().max() > 1e-3
    assert found.delta.abs().max() < 1e-10


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_delta_is_rounding_in_every_model_of_the_zoo(case: Case) -> None:
    for place, _ in case.places:
        found = explain(case.model(), case.inputs(), "deep_lift", place, case.target, baseline=case.baseline())
        assert found.delta.abs().max() < 1e-10


def test_a_large_delta_is_said() -> None:
    class Branching(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.where(x > 0.5, 3 * x, -x).sum(dim=1, keepdim=True)

    with pytest.warns(UserWarning, match="convergence delta is .* where scores differ"):
        explain(Branching(), torch.tensor([[1.0, 0.2], [0.7, 2.0]]), "deep_lift", target=0, baseline=0.4)


@pytest.mark.parametrize("baseline", ["zeros", 0.3])
def test_captum_agrees_where_its_rules_hold(baseline: str | float) -> None:
    net, x = model(CNN), pictures()
    theirs = captum.DeepLift(net).attribute(x, torch.full_like(x, 0.0 if baseline == "zeros" else 0.3), target=1)
    found = explain(net, x, "deep_lift", target=1, baseline=baseline).values
    torch.testing.assert_close(found, theirs.detach(), rtol=0, atol=1e-10)
    theirs = captum.LayerDeepLift(net, net.body[2]).attribute(x, torch.full_like(x, 0.3), target=1)
    found = explain(net, x, "deep_lift", Layer("body.2"), target=1, baseline=0.3).values
    torch.testing.assert_close(found, theirs.detach(), rtol=0, atol=1e-10)
    theirs = captum.NeuronDeepLift(net, net.body[2]).attribute(x, (1, 2, 2), torch.full_like(x, 0.3))
    found = explain(net, x, "deep_lift", Neuron("body.2", (1, 2, 2)), baseline=0.3).values
    torch.testing.assert_close(found, theirs.detach(), rtol=0, atol=1e-10)


def test_captum_agrees_on_max_pooling_where_windows_differ() -> None:
    net, x = model(CNN, pool=True), pictures()
    theirs = captum.DeepLift(net).attribute(x, torch.full_like(x, 0.3), target=1)
    torch.testing.assert_close(
        explain(net, x, "deep_lift", target=1, baseline=0.3).values, theirs.detach(), rtol=0, atol=1e-10
    )


def test_captum_misses_functions_and_is_not_complete_then() -> None:
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(5, 20), nn.Linear(20, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.two(F.relu(self.one(x)))

    net = model(Functional)
    x = torch.randn(6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    _, delta = captum.DeepLift(net).attribute(x, target=1, return_convergence_delta=True)
    assert delta.abs().max() > 0.05
    assert explain(net, x, "deep_lift", target=1).delta.abs().max() < 1e-14


def test_captum_raises_where_a_module_runs_twice() -> None:
    relu = nn.ReLU()
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 6), relu, nn.Linear(6, 6), relu, nn.Linear(6, 2)).double()
    x = torch.randn(6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with pytest.raises((RuntimeError, AssertionError), match=r"module|shape|size|used more than once"):
        captum.DeepLift(net).attribute(x, target=1)
    apart = nn.Sequential(net[0], nn.ReLU(), net[2], nn.ReLU(), net[4])
    ours = explain(net, x, "deep_lift", target=1).values
    torch.testing.assert_close(ours, captum.DeepLift(apart).attribute(x, target=1).detach(), rtol=0, atol=1e-12)


def test_captums_softmax_depends_on_the_other_samples() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 3), nn.Softmax(dim=1), nn.Linear(3, 2)).double()
    x = 2 * torch.randn(5, 4, dtype=torch.float64)
    theirs, alone = (captum.DeepLift(net).attribute(part, target=1).detach() for part in (x, x[:1]))
    assert (theirs[:1] - alone).abs().max() > 0.02 * alone.abs().max()
    ours, alone = (explain(net, part, "deep_lift", target=1) for part in (x, x[:1]))
    torch.testing.assert_close(ours.values[:1], alone.values, rtol=0, atol=1e-14)
    assert ours.delta.abs().max() < 1e-14


def test_captums_max_pooling_looks_at_the_first_sample() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.MaxPool1d(2), nn.Flatten(), nn.Tanh(), nn.Linear(3, 2)).double()
    x = torch.randn(4, 1, 6, dtype=torch.float64)
    x0 = x.clone()
    x0[:, :, :3] = 0  # half of the elements do not differ
    method = DeepLift(multiply_by_inputs=False)
    theirs, alone = (
        captum.DeepLift(net, multiply_by_inputs=False).attribute(a, b, target=1).detach()
        for a, b in ((x, x0), (x[2:3], x0[2:3]))
    )
    assert (theirs[2:3] - alone).abs().max() > 0.01 * alone.abs().max()
    ours, alone = (explain(net, a, method, target=1, baseline=b).values for a, b in ((x, x0), (x[2:3], x0[2:3])))
    torch.testing.assert_close(ours[2:3], alone, rtol=0, atol=1e-14)


class LiteBlock(nn.Module):
    """The inverted bottleneck of a mobile network, with ReLU6."""

    def __init__(self) -> None:
        super().__init__()
        self.expand, self.act1 = nn.Conv2d(2, 8, 1), nn.ReLU6()
        self.depthwise, self.act2 = nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.ReLU6()
        self.project = nn.Conv2d(8, 2, 1)
        self.head = nn.Linear(2, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.project(self.act2(self.depthwise(self.act1(self.expand(x)))))
        return self.head(x.mean(dim=(2, 3)))


def test_relu6_where_captums_deep_lift_is_input_times_gradient() -> None:
    net, x = model(LiteBlock), 4 * pictures()
    theirs, delta = captum.DeepLift(net).attribute(x, target=1, return_convergence_delta=True)
    product = explain(net, x, "input_x_gradient", target=1).values
    torch.testing.assert_close(theirs.detach(), product, rtol=0, atol=1e-12)
    ours = explain(net, x, "deep_lift", target=1)
    assert (ours.values - product).abs().max() > 0.05 * product.abs().max()
    assert ours.delta.abs().max() < 1e-14
    assert delta.abs().max() > 0.01


@pytest.mark.parametrize("place", [Input(), Layer("body.2"), Neuron("body.2", (1, 2, 2))])
def test_shap_is_the_mean_over_baselines(place: Place) -> None:
    net, x, baselines = model(CNN), pictures(), pictures(3, seed=9)
    found = explain(net, x, DeepLiftShap(baselines), place, target=1, max_rows=5)
    parts = [explain(net, x, "deep_lift", place, target=1, baseline=base[None]) for base in baselines]
    torch.testing.assert_close(found.values, torch.stack([part.values for part in parts]).mean(dim=0))
    torch.testing.assert_close(found.span, torch.stack([part.span for part in parts]).mean(dim=0))
    assert found.delta.abs().max() < 1e-12
    multipliers = explain(net, x, DeepLiftShap(baselines, multiply_by_inputs=False), place, target=1).values
    bare = [
        explain(net, x, DeepLift(multiply_by_inputs=False), place, target=1, baseline=base[None]).values
        for base in baselines
    ]
    torch.testing.assert_close(multipliers, torch.stack(bare).mean(dim=0))


def test_shap_beside_captum() -> None:
    net, x, baselines = model(CNN), pictures(), pictures(3, seed=9)
    theirs = captum.DeepLiftShap(net).attribute(x, baselines, target=1)
    ours = explain(net, x, DeepLiftShap(baselines), target=1).values
    torch.testing.assert_close(ours, theirs.detach(), rtol=0, atol=1e-10)


def test_shap_of_several_inputs() -> None:
    case = next(case for case in CASES if case.name == "several")
    inputs = case.inputs()
    held = tuple(leaf[1:3] for leaf in leaves(inputs))
    found = explain(case.model(), inputs, DeepLiftShap(held), target=1)
    assert len(found.point) == 2  # the ids are held fixed
    assert found.delta.abs().max() < 1e-12
    assert all(leaf[1].abs().max() > 0 for leaf in found.point)


@pytest.mark.parametrize("method", ["deep_lift", DeepLiftShap(torch.tensor([0.5, -1.0]))], ids=["one", "shap"])
def test_samples_that_are_numbers(method: str | DeepLiftShap) -> None:
    class Square(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x * x)[:, None]

    found = explain(Square(), torch.tensor([1.0, 2.0, -3.0]), method, target=0)
    expected = torch.tensor([1.0, 4.0, 9.0]) - (0 if method == "deep_lift" else 0.625)
    torch.testing.assert_close(found.values, expected)


def test_captum_is_not_complete_where_a_pooling_reads_an_activation() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 3))
    net, x = net.double(), pictures()
    x0 = torch.full_like(x, 0.3)
    _, delta = captum.DeepLift(net).attribute(x, x0, target=1, return_convergence_delta=True)
    assert delta.abs().max() > 0.01
    assert explain(net, x, "deep_lift", target=1, baseline=0.3).delta.abs().max() < 1e-14


def test_what_is_refused() -> None:
    for method in (DeepLift, DeepLiftShap):
        with pytest.raises(ValueError, match="eps must be positive, got 0"):
            method(eps=0)
        with pytest.raises(ValueError, match="DeepLift cannot be trained on: leave out create_graph=True"):
            explain(model(CNN), pictures(), method(), target=1, create_graph=True)
    with pytest.raises(ValueError, match=r"baselines of input have shape \(3, 2, 4\); expected \(K, 2, 4, 4\)"):
        explain(model(CNN), pictures(), DeepLiftShap(torch.zeros(3, 2, 4)), target=1)


def test_rows_and_memory_are_those_of_a_chunk() -> None:
    net, rows = model(CNN), []
    net.head[3].register_forward_hook(lambda _m, _a, out: rows.append((len(out), out.requires_grad)))
    explain(net, pictures(), DeepLiftShap(pictures(6, seed=9)), target=1, max_rows=5)
    assert max(count for count, _ in rows) <= 6  # the baselines themselves are chunked too
    assert sum(count for count, backward in rows if backward) == 4 * 6


def rows_of(net: nn.Module, first: nn.Module, x: Tensor, place: Place, **settings) -> list[int]:
    rows = []
    handle = first.register_forward_hook(lambda _m, _a, out: rows.append(len(out)))
    explain(net, x, "deep_lift", place, **settings)
    handle.remove()
    return rows


def test_rows() -> None:
    net, x, unit = model(CNN), pictures(), Neuron("body.2", (1, 2, 2))
    first = net.body[0]
    for place in (Input(), unit):
        assert rows_of(net, first, x, place) == [4, 1]  # all samples have one baseline
        assert rows_of(net, first, x, place, baseline=pictures(seed=9)) == [4, 4]
    # The baseline's variable, the samples', and the score with the one in the place of the other.
    assert rows_of(net, first, x, Layer("body.2")) == [2, 4, 4]
    assert rows_of(net, first, x, Layer("body.2"), baseline=pictures(seed=9)) == [4, 4, 4]


@pytest.mark.parametrize("place", [Input(), Neuron("norm", (2, 3))])
@pytest.mark.parametrize("target", [1, [0, 2, 1, 1]])
def test_one_baseline_for_all_is_as_one_for_each(place: Place, target: object) -> None:
    x = torch.randn(4, 3, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    given = {"target": target, "baseline": 0.3}
    together = explain(model(Everything), x, "deep_lift", place, **given)
    for i, row in enumerate(x):
        of_it = given | {"target": target if isinstance(target, int) else target[i]}
        alone = explain(model(Everything), row[None], "deep_lift", place, **of_it)
        torch.testing.assert_close(together.values[i], alone.values[0], rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(together.span[i], alone.span[0])


def test_a_model_that_merges_the_batch_runs_the_baseline_for_each_sample() -> None:
    net, x = model(Everything), torch.randn(4, 3, 6, dtype=torch.float64)
    assert rows_of(net, net.stem, x, Input()) == [4, 1, 4]
    assert rows_of(net, net.stem, x, Input(), max_rows=2) == [2, 1, 2, 2, 2]  # tried once
    found = explain(net, x, "deep_lift", target=1)
    alone = torch.cat([explain(net, row[None], "deep_lift", target=1).values for row in x])
    torch.testing.assert_close(found.values, alone, rtol=1e-9, atol=1e-12)


def test_an_input_that_is_held_fixed_is_each_samples_own() -> None:
    class Scaled(nn.Module):
        def forward(self, x: Tensor, power: Tensor) -> Tensor:
            return (x + 2) ** power

    x, power = torch.rand(4, 3, dtype=torch.float64), torch.arange(1, 5)[:, None]
    found = explain(Scaled(), (x, power), "deep_lift", target=1, baseline=(torch.full_like(x, 0.5), power))
    torch.testing.assert_close(found.point[0][:, 1], ((x + 2) ** power - 2.5**power)[:, 1])


def test_of_layers_behind_one_another_the_last_counts() -> None:
    net = model(CNN)
    found = explain(net, pictures(), "deep_lift", Layers(["body.0", "body.2"]), target=1)
    assert not found.point[0].any()
    torch.testing.assert_close(found.point[1], explain(net, pictures(), "deep_lift", Layer("body.2"), target=1).values)


@pytest.mark.parametrize("place", [Input(), Layer("body.2")])
def test_a_contribution_of_ones_own(place: Place) -> None:
    net, x = model(CNN), torch.randn(3, 2, 4, 4, dtype=torch.float64)
    known = torch.randn(4, 2, 4, 4, dtype=torch.float64)
    plain = DeepLift(multiply_by_inputs=False)
    expected, z = 0, explain(net, x, "activation", place).values
    for k in range(4):
        base = known[k : k + 1]
        multipliers = explain(net, x, plain, place, 1, baseline=base).values
        z0 = explain(net, base, "activation", place).values
        method = DeepLift(contribution=lambda m, z, z0: (m[0] ** 2 * z[0] - z0[0],))
        found = explain(net, x, method, place, 1, baseline=base)
        torch.testing.assert_close(found.values, multipliers**2 * z - z0)
        assert found.delta is None
        expected = expected + (multipliers**2 * z - z0) / 4
    many = DeepLiftShap(known, contribution=lambda m, z, z0: m[0] ** 2 * z[0] - z0[0])
    torch.testing.assert_close(explain(net, x, many, place, 1, max_rows=5).values, expected)


def test_a_contribution_may_be_less_than_its_tensor() -> None:
    net, x = model(CNN), torch.randn(3, 2, 4, 4, dtype=torch.float64)
    channels = DeepLift(contribution=lambda m, z, z0: ((m[0] * (z[0] - z0[0])).sum(dim=(2, 3)),))
    found = explain(net, x, channels, target=1).values
    torch.testing.assert_close(found, explain(net, x, DeepLift(), target=1).values.sum(dim=(2, 3)))


def test_a_contribution_that_does_not_fit_is_refused() -> None:
    net, x = model(CNN), torch.randn(3, 2, 4, 4, dtype=torch.float64)
    for wrong in (lambda m, z, z0: (m[0], m[0]), lambda m, z, z0: (m[0].sum(),), lambda m, z, z0: m[0][:1]):
        with pytest.raises(ValueError, match=r"expected a tensor for each of 1 tensor\(s\)"):
            explain(net, x, DeepLift(contribution=wrong), target=1)
