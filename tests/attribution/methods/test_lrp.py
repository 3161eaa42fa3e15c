"""Layer-wise relevance propagation: what it conserves, what it leaves alone, and Captum beside it."""

import copy
import warnings

import captum.attr as captum
import pytest
import torch
import torch.nn.functional as F
from captum.attr._utils.lrp_rules import Alpha1_Beta0_Rule, EpsilonRule, GammaRule
from torch import Tensor, nn

from lightning_explain import Input, InputXGradient, Layer, Neuron, explain
from lightning_explain.attribution.methods import LRP
from lightning_explain.attribution.rules.composites import COMPOSITES, Composite
from lightning_explain.attribution.rules.propagation import STEPS, activation
from lightning_explain.attribution.rules.relevance import AlphaBeta, Epsilon, Flat, Gamma, ZPlus

EXACT = Composite(Epsilon(epsilon=0), Epsilon(epsilon=0))
GENTLE = {
    "epsilon": EXACT,
    "z_plus": Composite(ZPlus(epsilon=1e-12), Epsilon(epsilon=1e-12)),
    "alpha2_beta1": Composite(AlphaBeta(epsilon=1e-12), Epsilon(epsilon=1e-12)),
    "gamma": Composite(Gamma(epsilon=1e-12), Gamma(epsilon=1e-12)),
    "flat": Composite(ZPlus(epsilon=1e-12), Epsilon(epsilon=1e-12), first=Flat(epsilon=1e-12)),
}


class Residual(nn.Module):
    """Functional additions and activations, BatchNorm, pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.bn = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.convs = nn.ModuleList(nn.Conv2d(8, 8, 3, padding=1) for _ in range(4))
        self.bns = nn.ModuleList(nn.BatchNorm2d(8) for _ in range(4))
        self.down, self.head = nn.Conv2d(8, 12, 1, stride=2), nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn(self.stem(x)), inplace=True)
        for i in (0, 2):
            y = F.relu(self.bns[i](self.convs[i](x)), inplace=True)
            x = torch.relu(x + self.bns[i + 1](self.convs[i + 1](y)))
        return self.head(F.adaptive_avg_pool2d(F.gelu(self.down(F.max_pool2d(x, 2))), 1).flatten(1))


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True, activation=F.gelu)
        self.embed, self.norm, self.head = nn.Linear(6, 8), nn.LayerNorm(8), nn.Linear(8, 3)
        self.blocks = nn.TransformerEncoder(block, 2, enable_nested_tensor=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.blocks(self.embed(x))).mean(dim=1))


def unbiased(kind: type[nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    model = kind()
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
    return model.double().eval()


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def gap(model: nn.Module, x: Tensor, method: LRP, place=None) -> float:
    found = explain(model, x, method, place, target=1)
    score = found.outputs[:, 1]
    return float((found.values.flatten(1).sum(dim=1) - score).abs().max() / score.abs().max())


@pytest.mark.parametrize("composite", GENTLE)
def test_relevance_is_conserved_in_a_residual_network_without_biases(composite: str) -> None:
    assert gap(unbiased(Residual), draw(4, 3, 12, 12), LRP(GENTLE[composite])) < 1e-6


@pytest.mark.parametrize("layer", ["stem", "convs.1", "down", "bns.2"])
def test_relevance_is_conserved_from_layer_to_layer(layer: str) -> None:
    model, x = unbiased(Residual), draw(4, 3, 12, 12)
    if layer in {"stem", "down"}:  # nothing goes around them
        assert gap(model, x, LRP(GENTLE["z_plus"]), Layer(layer)) < 1e-6
    else:
        assert gap(model, x, LRP(GENTLE["z_plus"]), Layer(layer)) > 1e-3


def test_relevance_is_conserved_in_a_transformer_whose_attention_weights_are_constant() -> None:
    model, x = unbiased(Transformer), draw(4, 7, 6)
    assert gap(model, x, LRP(EXACT, through_softmax=False)) < 1e-12
    assert gap(model, x, LRP("epsilon", through_softmax=False)) < 1e-4
    # Taylor's expansion of softmax has a constant term, which keeps relevance.
    assert 1e-3 < gap(model, x, LRP(EXACT)) < 1


def test_attention_by_hand() -> None:
    """AttnLRP: halves at products, the gradient of softmax, all written as relevance."""
    x, keys, values = draw(3, 4), draw(5, 4), draw(5, 2)

    class Attention(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            weights = ((x * x) @ keys.T).softmax(dim=1)
            return weights @ values

    s = ((x**2) @ keys.T).softmax(dim=1)
    out = s @ values
    to_s = s * values[:, 1]  # R of the weights: value times gradient, of the product with a constant
    logits = (x**2) @ keys.T
    to_logits = logits * (to_s - s * to_s.sum(dim=1, keepdim=True))
    to_square = x**2 * ((to_logits / logits) @ keys)
    found = explain(Attention(), x, LRP(EXACT), target=1)
    torch.testing.assert_close(found.outputs, out)
    torch.testing.assert_close(found.values, to_square, rtol=1e-9, atol=1e-12)  # both halves come to x


def test_biases_absorb_relevance_and_it_is_known_how_much() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)).double()
    x = draw(3, 4)
    found = explain(net, x, LRP(EXACT), target=1)
    open_ = (net[0](x) > 0).double()
    absorbed = net[2].bias[1] + (open_ * net[2].weight[1]) @ net[0].bias
    torch.testing.assert_close(found.values.sum(dim=1) + absorbed.detach(), found.outputs[:, 1])


def test_in_rectifier_networks_epsilon_zero_is_input_times_gradient() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 4, 3), nn.LeakyReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 3)).double()
    x = draw(3, 2, 6, 6)
    expected = explain(net, x, InputXGradient(), target=1).values
    torch.testing.assert_close(explain(net, x, LRP(EXACT), target=1).values, expected, rtol=1e-12, atol=1e-14)
    softer = copy.deepcopy(net)
    softer[1] = nn.GELU()
    found = explain(softer, x, LRP(EXACT), target=1).values
    assert (found - explain(softer, x, InputXGradient(), target=1).values).abs().max() > 1e-3


@pytest.mark.parametrize("name", COMPOSITES)
def test_nothing_of_the_users_is_written_to_and_calls_repeat(name: str) -> None:
    model, x = unbiased(Residual).train(), draw(4, 3, 12, 12)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    held = [(module, dict(vars(module))) for module in model.modules()]
    first = explain(model, x, LRP(name), target=1).values
    assert torch.equal(explain(model, x, LRP(name), target=1).values, first)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    for module, attributes in held:
        assert list(vars(module)) == list(attributes)
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert module.training


def test_rules_of_layers_by_name_by_type_and_in_order() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)).double()
    x = draw(3, 4)

    def relevance(**kwargs) -> Tensor:
        return explain(net, x, LRP("epsilon", **kwargs), target=1).values

    everywhere = explain(net, x, LRP(Composite(dense=ZPlus())), target=1).values
    assert torch.equal(relevance(layers={nn.Linear: ZPlus()}), everywhere)
    assert torch.equal(relevance(layers={"*": ZPlus()}), everywhere)
    assert torch.equal(relevance(layers={"2": ZPlus(), "[04]": ZPlus()}), everywhere)
    one = relevance(layers={"2": ZPlus()})
    assert not torch.allclose(one, everywhere)
    assert not torch.allclose(one, relevance())
    assert torch.equal(relevance(layers={"2": ZPlus(), nn.Linear: Epsilon()}), one)
    assert torch.equal(relevance(layers={nn.Linear: Epsilon(), "2": ZPlus()}), relevance())
    assert hash(LRP(layers={"2": ZPlus()})) == hash(LRP(layers=(("2", ZPlus()),)))


def test_what_is_refused() -> None:
    net, x = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)).double(), draw(3, 4)
    with pytest.raises(ValueError, match=r"No layer 'encoder.\*'.* Known: 0, 1, 2\."):
        explain(net, x, LRP(layers={"0": ZPlus(), "encoder.*": ZPlus()}), target=1)
    with pytest.raises(ValueError, match=r"No layer of type 'Conv2d'.* Known: Linear, ReLU, Sequential\."):
        explain(net, x, LRP(layers={nn.Conv2d: ZPlus()}), target=1)
    with pytest.raises(ValueError, match="Relevance cannot be trained on: leave out create_graph=True"):
        explain(net, x, LRP(), target=1, create_graph=True)


def test_functional_layers_follow_the_module_that_runs_them() -> None:
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(4, 6).double())

        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(x @ self.weight)

    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 4).double(), Functional(), nn.Linear(6, 3).double())
    x = draw(3, 4)
    found = explain(net, x, LRP("epsilon", layers={Functional: ZPlus()}), target=1).values
    layer = nn.Linear(4, 6, bias=False).double()
    layer.weight.data = net[1].weight.data.T
    same = nn.Sequential(net[0], layer, nn.ReLU(), net[2])
    expected = explain(same, x, LRP("epsilon", layers={"1": ZPlus()}), target=1).values
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


def test_first_layers() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(8, 5), nn.ReLU(), nn.Linear(5, 3)).double()
    x = draw(3, 2, 4)
    x[0, 0] = 0
    found = explain(net, x, LRP(Composite(first=Flat())), target=1).values  # behind a reshape
    torch.testing.assert_close(found, found[:, :1, :1].expand_as(found), rtol=1e-9, atol=1e-12)
    with pytest.raises(ValueError, match=r"Flat is for a layer that reads the variable itself.* the input of '3'"):
        explain(net, x, LRP(layers={"3": Flat()}), target=1)
    normalising = nn.Sequential(nn.Flatten(), nn.LayerNorm(8, elementwise_affine=False), *net[1:]).double()
    with pytest.warns(UserWarning, match="the model changes its input before"):
        found = explain(normalising, x, LRP(Composite(first=Flat())), target=1).values
    assert torch.equal(found, explain(normalising, x, LRP(Composite()), target=1).values)
    with warnings.catch_warnings():  # nor is the first layer behind the place meant
        warnings.simplefilter("error")
        behind = explain(net, x, LRP(Composite(first=Flat())), Layer("2"), target=1).values
    assert torch.equal(behind, explain(net, x, LRP(Composite()), Layer("2"), target=1).values)


def test_places() -> None:
    model, x = unbiased(Residual), draw(4, 3, 12, 12)
    seen: list[Tensor] = []
    handle = model.down.register_forward_hook(lambda _m, _a, out: seen.append(out.detach()))
    model(x)
    handle.remove()
    tail = nn.Sequential(nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), model.head)
    expected = explain(tail, seen[0], LRP(), target=1).values
    torch.testing.assert_close(explain(model, x, LRP(), Layer("down"), target=1).values, expected)
    stem = nn.Sequential(model.stem, model.bn, nn.Flatten())
    unit = explain(model, x, LRP(), Neuron("bn", (2, 3, 4))).values
    torch.testing.assert_close(unit, explain(stem, x, LRP(), Input(), target=2 * 144 + 3 * 12 + 4).values)


def test_a_user_adds_an_activation_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.erfinv(x)

    x = draw(3, 4).clamp(-0.9, 0.9)
    with pytest.warns(UserWarning, match="lrp has no rule for the operator 'erfinv'"):
        explain(Odd(), x, LRP(), target=1)
    monkeypatch.setitem(STEPS, "erfinv", activation)
    found = explain(Odd(), x, LRP(), target=1)
    torch.testing.assert_close(found.values[:, 1], found.outputs[:, 1])


class Modules(nn.Module):
    """As Captum wants it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.relu1 = nn.Conv2d(3, 6, 3, bias=False), nn.ReLU()
        self.conv2, self.relu2 = nn.Conv2d(6, 8, 3, bias=False), nn.ReLU()
        self.pool, self.head = nn.MaxPool2d(2), nn.Linear(32, 4, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.pool(self.relu2(self.conv2(self.relu1(self.conv1(x))))).flatten(1))


def captum_lrp(model: nn.Module, rule: type, x: Tensor) -> Tensor:
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.rule = rule()
    return captum.LRP(model).attribute(x.clone().requires_grad_(), target=2).detach()


@pytest.mark.parametrize(
    ("name", "rule"), [("epsilon", EpsilonRule), ("alpha1_beta0", Alpha1_Beta0_Rule), ("gamma", GammaRule)]
)
def test_captum_agrees_where_inputs_are_positive(name: str, rule: type) -> None:
    torch.manual_seed(0)
    model = Modules().double().eval()
    x = draw(4, 3, 8, 8).abs()
    ours = explain(model, x, LRP(name), target=2).values
    theirs = captum_lrp(copy.deepcopy(model), rule, x)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-3 * float(ours.abs().max()))  # 1e-6 against 1e-9
    sharp = {
        "epsilon": Composite(Epsilon(epsilon=1e-9), Epsilon(epsilon=1e-9)),
        "alpha1_beta0": Composite(AlphaBeta(epsilon=1e-9, alpha=1, beta=0), AlphaBeta(epsilon=1e-9, alpha=1, beta=0)),
        "gamma": Composite(Gamma(epsilon=1e-9), Gamma(epsilon=1e-9)),
    }[name]
    torch.testing.assert_close(explain(model, x, LRP(sharp), target=2).values, theirs, rtol=0, atol=1e-8)


def test_captum_forgets_its_rules_after_a_call() -> None:
    torch.manual_seed(0)
    model, x = Modules().double().eval(), draw(4, 3, 8, 8).abs()
    first = captum_lrp(model, Alpha1_Beta0_Rule, x)
    second = captum.LRP(model).attribute(x.clone().requires_grad_(), target=2).detach()
    assert (second - first).abs().max() > 0.1 * first.abs().max()
    assert any(hasattr(module, "activations") for module in model.modules())  # and leaves these behind
    clean = Modules().double().eval()
    method = LRP("alpha1_beta0")
    assert torch.equal(explain(clean, x, method, target=2).values, explain(clean, x, method, target=2).values)
    assert not any(hasattr(module, "activations") for module in clean.modules())
