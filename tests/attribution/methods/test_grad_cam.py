import pytest
import torch
import torch.nn.functional as F
from captum.attr import LayerAttribution, LayerGradCam
from cases import BY_NAME, CNN, Dense
from torch import Tensor, nn
from worlds import TARGETS, WORLDS, gradient, net, samples

from lightning_explain import GradCAM, Input, Layer, VarGrad, explain


def bilinear(picture: Tensor, height: int, width: int) -> Tensor:
    """Pixels are squares (align_corners=False); beyond the outermost centers the edge is repeated."""
    rows, columns = picture.shape
    result = picture.new_zeros(height, width)
    for i in range(height):
        for j in range(width):
            y = min(max((i + 0.5) * rows / height - 0.5, 0), rows - 1)
            x = min(max((j + 0.5) * columns / width - 0.5, 0), columns - 1)
            for r in range(rows):
                for c in range(columns):
                    result[i, j] += picture[r, c] * max(0, 1 - abs(y - r)) * max(0, 1 - abs(x - c))
    return result


@pytest.mark.parametrize("signed", [False, True])
def test_it_is_the_channels_weighted_with_their_mean_gradient(signed: bool) -> None:
    model, x, world = net(), samples(), WORLDS["output"]
    found = explain(model, x, GradCAM("conv2", signed=signed), target=TARGETS)
    assert found.values.shape == (3, 1, 5, 4)
    assert found.place == Input()
    assert found.method == "grad_cam@conv2"
    negative = False
    for i, target in enumerate(TARGETS.tolist()):
        z = world.variable(model, x[i]).detach()
        slopes = gradient(world, model, z, target)
        cam = z.new_zeros(z.shape[1:])
        for channel in range(len(z)):
            cam += slopes[channel].sum() / slopes[channel].numel() * z[channel]
        negative = negative or bool((cam < 0).any())
        expected = bilinear(cam if signed else cam.clamp(min=0), 5, 4)
        torch.testing.assert_close(found.values[i, 0], expected, rtol=0, atol=1e-12)
    assert negative


@pytest.mark.parametrize("place", [WORLDS["input"].place, WORLDS["neuron"].place], ids=["input", "neuron"])
def test_where_the_variable_is_the_input_nothing_is_upsampled(place: Input) -> None:
    model, x = net(), samples()
    world = WORLDS["neuron"] if str(place) else WORLDS["input"]
    found = explain(model, x, GradCAM(signed=True), place, TARGETS)
    assert found.place == place
    for i, target in enumerate(TARGETS.tolist()):
        alpha = gradient(world, model, x[i], target).mean(dim=(1, 2), keepdim=True)
        torch.testing.assert_close(found.values[i], (alpha * x[i]).sum(dim=0, keepdim=True), rtol=0, atol=1e-12)


def test_captum_agrees() -> None:
    model, x = net(), samples()
    for signed in (True, False):
        found = explain(model, x, GradCAM("conv1", signed=signed), target=TARGETS).values
        cam = LayerGradCam(model, model.conv1).attribute(x, target=TARGETS, relu_attributions=not signed)
        theirs = LayerAttribution.interpolate(cam, (5, 4), "bilinear").detach()
        torch.testing.assert_close(found, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["grad_cam", "grad_cam@conv2"])
def test_the_last_convolution_that_is_reached_is_the_default(name: str) -> None:
    class Unused(CNN):
        def __init__(self) -> None:
            super().__init__()
            self.conv3 = nn.Conv2d(1, 1, 1)

    model = Unused().double().eval()
    x = BY_NAME["cnn"].inputs()
    assert explain(model, x, name).method == "grad_cam@conv2"


def test_series_and_volumes() -> None:
    series = BY_NAME["dense"]
    found = explain(series.model(), series.inputs(), GradCAM(signed=True), target=series.target)
    assert found.values.shape == (4, 1, 7)
    assert found.values.abs().max() > 0
    volume = nn.Sequential(nn.Conv3d(1, 2, 2), nn.Tanh(), nn.Flatten(), nn.Linear(2 * 2 * 3 * 4, 3)).double()
    x = torch.randn(2, 1, 3, 4, 5, dtype=torch.float64)
    cam = explain(volume, x, GradCAM("0", signed=True), target=1)
    assert cam.values.shape == (2, 1, 3, 4, 5)
    assert cam.values.abs().max() > 0


def test_tokens_have_their_channels_last() -> None:
    case = BY_NAME["encoder"]
    model, x = case.model(), case.inputs()
    found = explain(model, x, GradCAM(signed=True), Layer("layer", channel_dim=-1), target=0)
    assert found.values.shape == (4, 5, 1)  # one number for each token
    z = model.layer(x).detach()
    slope = model.head.weight[0] / 5  # of the mean over 5 tokens, the same everywhere
    torch.testing.assert_close(found.values, (z @ slope).unsqueeze(-1).detach(), rtol=0, atol=1e-12)


def test_only_an_input_with_positions_can_carry_the_map() -> None:
    case = BY_NAME["several"]
    found = explain(case.model(), case.inputs(), GradCAM(signed=True), target=1)
    assert found.names == ("input[0]", "input[2]")
    picture, table = found.values
    assert picture.shape == (4, 1, 5, 6)
    assert picture.abs().max() > 0
    assert table.abs().max() == 0


def test_the_map_finds_the_picture_behind_a_table() -> None:
    class Swapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = BY_NAME["several"].model()

        def forward(self, table: Tensor, ids: Tensor, picture: Tensor) -> Tensor:
            return self.model(picture, ids, table)

    picture, ids, table = BY_NAME["several"].inputs()
    expected = explain(BY_NAME["several"].model(), (picture, ids, table), GradCAM(signed=True), target=1).values
    inputs = {"table": table, "ids": ids, "picture": picture}
    found = explain(Swapped(), inputs, GradCAM(signed=True), target=1).values
    assert list(found) == ["table", "picture"]
    torch.testing.assert_close(found["picture"], expected[0], rtol=0, atol=0)
    assert found["table"].shape == table.shape


def test_noise_tunnels_around_it_are_upsampled_too() -> None:
    model, x = net(), samples()
    found = explain(model, x, VarGrad(GradCAM("conv2", signed=True), n_samples=3), target=TARGETS)
    assert found.values.shape == (3, 1, 5, 4)
    assert found.values.max() > 0


def test_a_map_needs_positions() -> None:
    model, x = net(), samples()
    with pytest.raises(ValueError, match=r"Grad-CAM needs a layer whose output is .*got \(3, 3\)"):
        explain(model, x, "grad_cam@head", target=TARGETS)
    with pytest.raises(ValueError, match=r"the model runs no convolution.*Known: hidden, head"):
        explain(BY_NAME["mlp"].model(), BY_NAME["mlp"].inputs(), "grad_cam")


def test_half_precision_maps_are_upsampled() -> None:
    model = Dense().bfloat16()
    x = torch.randn(2, 2, 7)
    found = explain(model, x.bfloat16(), GradCAM("conv", signed=True), target=[[0, 1], [1, 2]]).values
    exact = explain(model.float(), x.bfloat16().float(), GradCAM("conv", signed=True), target=[[0, 1], [1, 2]]).values
    assert F.cosine_similarity(found.flatten(), exact.flatten(), dim=0) > 0.99


def test_channels_can_be_kept() -> None:
    model, x = net(), samples()
    with_all = explain(model, x, GradCAM(signed=True, summed=False), WORLDS["input"].place, TARGETS).values
    summed = explain(model, x, GradCAM(signed=True), WORLDS["input"].place, TARGETS).values
    assert with_all.shape == x.shape
    torch.testing.assert_close(with_all.sum(dim=1, keepdim=True), summed, rtol=0, atol=1e-12)
    for i, target in enumerate(TARGETS.tolist()):
        alpha = gradient(WORLDS["input"], model, x[i], target).mean(dim=(1, 2), keepdim=True)
        torch.testing.assert_close(with_all[i], alpha * x[i], rtol=0, atol=1e-12)


def test_a_layer_without_positions_can_be_taken_for_one() -> None:
    case = BY_NAME["mlp"]
    model, x = case.model(), case.inputs()
    flow = explain(model, x, "input_x_gradient", Layer("hidden"), 1).values
    cam = GradCAM(signed=True, needs_positions=False)
    found = explain(model, x, cam, Layer("hidden"), 1)
    assert found.coarse is None  # there is nothing to interpolate
    torch.testing.assert_close(found.values, flow.sum(dim=1, keepdim=True), rtol=0, atol=1e-12)
    with pytest.raises(ValueError, match="Grad-CAM needs a layer whose output is"):
        explain(model, x, GradCAM(), Layer("hidden"), 1)
