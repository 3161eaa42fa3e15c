"""The CAM family: every formula written out for one sample, with loops."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from cases import BY_NAME
from torch import Tensor, nn
from worlds import TARGETS, WORLDS, after_conv1, conv1, gradient, net, samples

from lightning_explain import (
    METHODS,
    EigenCAM,
    GradCAM,
    GradCAMPlusPlus,
    HiResCAM,
    Input,
    Layer,
    LayerCAM,
    Layers,
    Neuron,
    ScoreCAM,
    XGradCAM,
    explain,
)
from lightning_explain.attribution.methods.cam import CAM

MAPS = [name for name in METHODS if issubclass(METHODS[name], CAM)]


def plus_plus(a: Tensor, g: Tensor) -> Tensor:
    cam = torch.zeros_like(a[0])
    for c in range(len(a)):
        weight = 0.0
        for i in range(a.shape[1]):
            for j in range(a.shape[2]):
                slope = g[c, i, j].item()
                below = 2 * slope**2 + a[c].sum().item() * slope**3
                weight += (slope**2 / below if below else 0.0) * max(slope, 0)
        cam += weight * a[c]
    return cam


def hires(a: Tensor, g: Tensor) -> Tensor:
    return sum(a[c] * g[c] for c in range(len(a)))


def layer(a: Tensor, g: Tensor) -> Tensor:
    return sum(a[c] * g[c].clamp(min=0) for c in range(len(a)))


def xgrad(a: Tensor, g: Tensor) -> Tensor:
    return sum((a[c] * g[c] / a[c].sum()).sum() * a[c] for c in range(len(a)))


def eigen(a: Tensor, _: Tensor) -> Tensor:
    rows = a.flatten(1).T
    values, vectors = torch.linalg.eigh(rows.T @ rows)
    cam = (rows @ vectors[:, values.argmax()]).view(a.shape[1:])
    return -cam if cam.sum() < 0 else cam


FORMULAS = {
    GradCAMPlusPlus(signed=True): plus_plus,
    HiResCAM(): hires,
    LayerCAM(signed=True): layer,
    XGradCAM(signed=True): xgrad,
    EigenCAM(signed=True): eigen,
}


@pytest.mark.parametrize("method", FORMULAS, ids=lambda method: method.name)
@pytest.mark.parametrize("where", ["output", "input"])
def test_it_is_the_formula_of_the_paper(method: CAM, where: str) -> None:
    model, x, world, formula = net(), samples(), WORLDS[where], FORMULAS[method]
    found = explain(model, x, method, Layers(("conv2",)) if where == "output" else Input(), TARGETS).point[0]
    negative = False
    for i, target in enumerate(TARGETS.tolist()):
        z = world.variable(model, x[i]).detach()
        expected = formula(z, gradient(world, model, z, target))
        torch.testing.assert_close(found[i, 0], expected, rtol=0, atol=1e-11)
        negative = negative or bool((expected < 0).any())
    behind_relu = method.name == "layer_cam"  # where it lets a gradient through, the activation is positive
    assert negative or behind_relu
    clipped = explain(model, x, type(method)("conv2", signed=False), target=TARGETS).values
    whole = explain(model, x, type(method)("conv2", signed=True), target=TARGETS).values
    assert clipped.shape == (3, 1, 5, 4)
    assert clipped.min() >= 0
    assert whole.min() < 0 or behind_relu


def test_score_cam_is_what_a_channel_lights_up() -> None:
    model, x = net(), samples()
    found = explain(model, x, ScoreCAM(signed=True), Layer("conv1"), TARGETS, baseline=0.5, max_rows=4).values
    for i, target in enumerate(TARGETS.tolist()):
        a = conv1(model, x[i]).detach()
        scores = []
        for channel in a:  # as large as the input: nothing is upsampled
            mask = (channel - channel.min()) / (channel.max() - channel.min())
            lit = 0.5 + mask * (x[i] - 0.5)
            scores.append(after_conv1(model, conv1(model, lit), target).item())
        blank = after_conv1(model, conv1(model, torch.full_like(x[i], 0.5)), target).item()
        rises = torch.tensor([score - blank for score in scores], dtype=x.dtype)
        expected = sum(w * channel for w, channel in zip(rises.exp() / rises.exp().sum(), a, strict=True))
        torch.testing.assert_close(found[i, 0], expected, rtol=0, atol=1e-12)


def test_score_cam_upsamples_its_masks_and_counts_its_rows() -> None:
    model, x = net(), samples()
    seen: list[Tensor] = []
    model.conv1.register_forward_hook(lambda _m, args, out: seen.append(args[0].clone()))
    explain(model, x, ScoreCAM("conv2"), target=TARGETS, max_rows=100)
    assert [len(given) for given in seen] == [3, 12]  # outputs and the layer, its four channels
    activation = model.conv2(torch.tanh(model.conv1(x))).detach()
    finer = F.interpolate(activation, size=(5, 4), mode="bilinear", align_corners=False)
    for channel in range(4):
        for i in range(3):
            mask = finer[i, channel] - finer[i, channel].min()
            torch.testing.assert_close(seen[1][3 * channel + i], mask / mask.max() * x[i], rtol=0, atol=1e-12)


def test_where_no_input_has_positions_score_cam_masks_the_layer() -> None:
    class Bag(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.head = nn.Embedding(9, 4), nn.Linear(4, 3)

        def forward(self, ids: Tensor) -> Tensor:
            return self.head(self.embedding(ids).tanh().sum(dim=1))

    torch.manual_seed(0)
    model, ids = Bag().double(), torch.tensor([[1, 2, 3], [4, 5, 6]])
    found = explain(model, ids, ScoreCAM(signed=True), Layer("embedding", channel_dim=-1), 1, baseline=0).values
    z, z0 = model.embedding(ids).detach(), model.embedding(torch.zeros(3, dtype=torch.long)).detach()
    for i in range(2):
        scores = []
        for channel in z[i].T:
            mask = (channel - channel.min()) / (channel.max() - channel.min())
            scores.append(model.head((z0 + mask[:, None] * (z[i] - z0)).tanh().sum(dim=0))[1])
        weights = torch.stack(scores).softmax(dim=0)
        torch.testing.assert_close(found[i], (z[i] @ weights)[:, None].detach(), rtol=0, atol=1e-12)


def test_hires_cam_adds_up_behind_a_linear_layer() -> None:
    model, x = net(), samples()
    found = explain(model, x, HiResCAM(), Layers((Layer("relu"),)), TARGETS).point[0]
    scores = model(x)[torch.arange(3), TARGETS] - model.head.bias[TARGETS]
    torch.testing.assert_close(found.flatten(1).sum(dim=1), scores.detach(), rtol=0, atol=1e-12)


def test_grad_cam_and_hires_cam_agree_where_the_gradient_is_the_same_everywhere() -> None:
    pooled = nn.Sequential(nn.Conv2d(2, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)).double()
    x = samples()
    cam, hires = (
        explain(pooled, x, method, Layers(("0",)), TARGETS).point[0] for method in (GradCAM(signed=True), HiResCAM())
    )
    torch.testing.assert_close(cam, hires, rtol=0, atol=1e-12)
    xgrad = explain(pooled, x, XGradCAM(signed=True), Layers(("0",)), TARGETS).point[0]
    torch.testing.assert_close(xgrad, hires, rtol=0, atol=1e-10)


def test_an_eigen_map_has_no_target_and_a_sign() -> None:
    model, x = net(), samples()
    found = explain(model, x, EigenCAM("conv2", signed=True), target=TARGETS).values
    assert torch.equal(found, explain(model, x, EigenCAM("conv2", signed=True), target=0).values)
    assert (found.flatten(1).sum(dim=1) >= 0).all()


@pytest.mark.parametrize("make", [GradCAMPlusPlus, XGradCAM, ScoreCAM, EigenCAM])
def test_channels_that_say_nothing_do_not_divide_by_zero(make: Callable[..., CAM]) -> None:
    class Dead(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv2d(2, 3, 1), nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.conv(x).relu().mean(dim=(2, 3)) * torch.tensor([0.0, 1, 1]))

    model = Dead()
    nn.init.zeros_(model.conv.weight)
    found = explain(model, samples().float(), make("conv", signed=True), target=1).values
    assert torch.isfinite(found).all()


class Transformer(nn.Module):
    """Patches of two by two, a class token and a register in front."""

    def __init__(self, prefix: int = 2) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, 4, 2, stride=2)
        self.prefix = nn.Parameter(torch.randn(1, prefix, 4))
        self.mix = nn.Linear(4, 4)
        self.block = nn.TransformerEncoderLayer(4, 2, 6, batch_first=True)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.prefix.expand(len(x), -1, -1), tokens], dim=1)
        return self.head(self.block(self.mix(tokens)).mean(dim=1))


@pytest.mark.parametrize("name", MAPS)
def test_tokens_of_a_picture_go_back_to_their_places(name: str) -> None:
    torch.manual_seed(0)
    model, x = Transformer().double().eval(), torch.randn(3, 1, 6, 8, dtype=torch.float64)
    where = Layer("mix", channel_dim=-1)
    found = explain(model, x, METHODS[name](signed=True), where, 1)
    assert found.values.shape == (3, 1, 6, 8)
    assert found.place == Input()
    assert found.values.abs().max() > 0
    given = explain(model, x, METHODS[name](signed=True, grid=(3, 4)), where, 1).values
    torch.testing.assert_close(given, found.values, rtol=0, atol=0)
    other = explain(model, x, METHODS[name](signed=True, grid=(2, 6)), where, 1).values
    assert not torch.equal(other, found.values)
    if name == "hires_cam":
        z = explain(model, x, "activation", where, 1).values[:, 2:]
        slope = explain(model, x, "input_x_gradient", where, 1).values[:, 2:] / z
        expected = F.interpolate((z * slope).sum(-1).view(3, 1, 3, 4), size=(6, 8), mode="bilinear")
        torch.testing.assert_close(found.values, expected, rtol=0, atol=1e-12)


def test_a_grid_that_is_too_large() -> None:
    model, x = Transformer().double().eval(), torch.randn(3, 1, 6, 8, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"A grid of \(4, 4\) holds 16 tokens; the layer has 14"):
        explain(model, x, GradCAM(grid=(4, 4)), Layer("mix", channel_dim=-1), 1)


@pytest.mark.parametrize("name", [name for name in MAPS if name not in {"score_cam", "eigen_cam"}])
def test_one_pass_gives_activation_and_gradient(name: str) -> None:
    model, x = net(), samples()
    seen: list[int] = []
    model.conv1.register_forward_hook(lambda _m, _args, out: seen.append(len(out)))
    explain(model, x, METHODS[name]("conv2"), target=TARGETS)
    assert sum(seen) == 3  # and the outputs


@pytest.mark.parametrize("name", MAPS)
def test_they_need_positions(name: str) -> None:
    with pytest.raises(ValueError, match=r"Grad-CAM needs a layer.*got \(3, 3\)"):
        explain(net(), samples(), METHODS[name]("head"), target=TARGETS)


@pytest.mark.parametrize("name", MAPS)
def test_of_a_neuron_the_map_lies_on_the_input(name: str) -> None:
    case = BY_NAME["cnn"]
    found = explain(case.model(), case.inputs(), METHODS[name](signed=True), Neuron("conv2", (1, 2, 0)))
    assert found.values.shape == (4, 1, 6, 6)
