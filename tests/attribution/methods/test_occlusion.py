from itertools import product

import pytest
import torch
from captum.attr import Occlusion as Captum
from cases import BY_NAME
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from worlds import TARGETS, WORLDS, baseline, net, samples

from lightning_explain import Input, Layer, Occlusion, explain


def windows(sides: tuple[int, ...], window: tuple[int, ...], stride: tuple[int, ...]) -> list[Tensor]:
    """Masks: the window goes in steps until it would pass the end; then once more, flush with the end."""
    places = []
    for side, size, step in zip(sides, window, stride, strict=True):
        starts, position = [], 0
        while position + size < side:
            starts.append(position)
            position += step
        starts.append(side - size)
        places.append(starts)
    masks = []
    for corner in product(*places):
        mask = torch.zeros(sides, dtype=torch.bool)
        for index in product(*(range(side) for side in sides)):
            if all(a <= i < a + size for a, i, size in zip(corner, index, window, strict=True)):
                mask[index] = True
        masks.append(mask)
    return masks


def occlude(score: object, z: Tensor, z0: Tensor, masks: list[Tensor]) -> Tensor:
    total, cover = torch.zeros_like(z), torch.zeros_like(z)
    for mask in masks:
        fall = score(z) - score(torch.where(mask, z0, z))
        total += fall * mask
        cover += mask
    return total / cover


@pytest.mark.parametrize(
    ("window", "stride", "full_window", "full_stride"),
    [
        (2, None, (2, 2, 2), (2, 2, 2)),
        (2, 1, (2, 2, 2), (2, 1, 1)),
        ((3, 2), (2, 1), (2, 3, 2), (2, 2, 1)),
        ((1, 3, 2), (1, 2, 2), (1, 3, 2), (1, 2, 2)),
        ((2, 2, 3), 1, (2, 2, 3), (1, 1, 1)),
        (99, None, (2, 5, 4), (2, 5, 4)),
        (None, None, (2, 1, 1), (2, 1, 1)),
    ],
)
@pytest.mark.parametrize("where", ["input", "neuron"])
def test_it_is_the_mean_fall_over_the_windows(
    where: str,
    window: object,
    stride: object,
    full_window: tuple[int, ...],
    full_stride: tuple[int, ...],
) -> None:
    model, x, world = net(), samples(), WORLDS[where]
    found = explain(model, x, Occlusion(window, stride), world.place, TARGETS, baseline=baseline(), max_rows=5).values
    masks = windows((2, 5, 4), full_window, full_stride)
    for i, target in enumerate(TARGETS.tolist()):
        expected = occlude(lambda z, t=target: world.score(model, z, t), x[i], baseline()[0], masks)
        torch.testing.assert_close(found[i], expected, rtol=0, atol=1e-12)


def overhanging(sides: tuple[int, ...], window: tuple[int, ...], stride: tuple[int, ...]) -> list[Tensor]:
    """Masks: the window goes in steps until it has reached the end; what is outside does not count."""
    masks = [torch.zeros(sides, dtype=torch.bool)]
    for dim, (side, size, step) in enumerate(zip(sides, window, stride, strict=True)):
        position, along = 0, []
        while not along or position - step + size < side:
            along.append(torch.tensor([position <= i < position + size for i in range(side)]))
            position += step
        shape = [side if d == dim else 1 for d in range(len(sides))]
        masks = [mask | ~line.view(shape) for mask in masks for line in along]
    return [~mask for mask in masks]


@pytest.mark.parametrize(
    ("window", "stride"),
    [((2, 3, 3), (1, 2, 2)), ((1, 2, 3), (1, 2, 3)), ((2, 5, 4), (9, 9, 9)), ((2, 4, 1), (2, 3, 1))],
)
def test_windows_that_hang_over_the_border(window: tuple[int, ...], stride: tuple[int, ...]) -> None:
    model, x, world = net(), samples(), WORLDS["input"]
    method = Occlusion(window, stride, overhang=True)
    found = explain(model, x, method, world.place, TARGETS, baseline=baseline(), max_rows=5).values
    for i, target in enumerate(TARGETS.tolist()):
        masks = overhanging((2, 5, 4), window, stride)
        expected = occlude(lambda z, t=target: world.score(model, z, t), x[i], baseline()[0], masks)
        torch.testing.assert_close(found[i], expected, rtol=0, atol=1e-12)
    theirs = Captum(model).attribute(x, window, stride, baseline(), TARGETS)
    torch.testing.assert_close(found, theirs, rtol=0, atol=1e-5, check_dtype=False)  # Captum divides in float32


def test_every_input_has_a_window_of_its_own() -> None:
    inputs = (torch.randn(2, 5), torch.randn(2, 3, 4))
    forward = lambda _, point: point[0].prod(dim=1) + point[1].flatten(1).norm(dim=1)  # noqa: E731
    place = Input(channel_dim=None)
    found = explain(nn.Identity(), inputs, Occlusion(((2,), (1, 3)), (1, (1, 2))), place, "output", forward=forward)
    first = explain(nn.Identity(), inputs, Occlusion(((2,), 1), 1), place, "output", forward=forward)
    second = explain(nn.Identity(), inputs, Occlusion((1, (1, 3)), (1, (1, 2))), place, "output", forward=forward)
    torch.testing.assert_close(found.values[0], first.values[0])
    torch.testing.assert_close(found.values[1], second.values[1])
    with pytest.raises(ValueError, match=r"Expected windows for 2 tensor\(s\), got 3"):
        explain(nn.Identity(), inputs, Occlusion(((2,), (1, 3), (1,))), place, "output", forward=forward)


@pytest.mark.parametrize("where", ["output", "layer_input"])
def test_layers_are_occluded_too(where: str) -> None:
    model, x, world = net(), samples(), WORLDS[where]
    found = explain(model, x, Occlusion(2, 1), world.place, TARGETS, baseline=baseline()).values
    full = ((4, 2, 2), (4, 1, 1)) if where == "output" else ((2,), (1,))
    for i, target in enumerate(TARGETS.tolist()):
        z, z0 = world.variable(model, x[i]).detach(), world.variable(model, baseline()[0]).detach()
        expected = occlude(lambda v, t=target: world.score(model, v, t), z, z0, windows(tuple(z.shape), *full))
        torch.testing.assert_close(found[i], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("window", "stride"),
    [((2, 2, 2), (2, 1, 2)), ((2, 5, 4), (2, 5, 4)), ((1, 2, 2), (1, 3, 2)), ((1, 1, 1), (1, 1, 1))],
)
def test_captum_agrees_where_the_stride_divides(window: tuple[int, ...], stride: tuple[int, ...]) -> None:
    model, x = net(), samples()
    if stride == (1, 3, 2):  # a gap that only Captum allows
        with pytest.raises(ValueError, match=r"stride .* exceeds the window"):
            explain(model, x, Occlusion(window, stride), target=TARGETS)
        return
    found = explain(model, x, Occlusion(window, stride), target=TARGETS, baseline=baseline()).values
    theirs = Captum(model).attribute(x, window, strides=stride, baselines=baseline(), target=TARGETS)
    torch.testing.assert_close(found, theirs, rtol=0, atol=1e-7, check_dtype=False)  # theirs is float32


@given(
    sides=st.tuples(st.integers(1, 5), st.integers(1, 6)),
    window=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    stride=st.tuples(st.integers(1, 7), st.integers(1, 7)),
)
def test_every_element_is_covered_and_a_linear_score_is_shared_out(
    sides: tuple[int, int], window: tuple[int, int], stride: tuple[int, int]
) -> None:
    size = tuple(map(min, window, sides))
    step = tuple(map(min, stride, size))
    weight = torch.arange(1.0, 1 + sides[0] * sides[1], dtype=torch.float64).view(sides)

    class Linear(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x * weight).sum(dim=(1, 2))

    x = torch.randn(2, *sides, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = explain(Linear(), x, Occlusion(window, step), Input(channel_dim=None), "output").values
    for i in range(2):
        expected = occlude(lambda z: (z * weight).sum(), x[i], torch.zeros(sides).double(), windows(sides, size, step))
        torch.testing.assert_close(found[i], expected, rtol=0, atol=1e-12)


def test_tokens_are_occluded_whole_where_channels_are_last() -> None:
    case = BY_NAME["encoder"]
    model, x = case.model(), case.inputs()
    found = explain(model, x, Occlusion(1), Layer("layer", channel_dim=-1), target=0).values
    assert found.shape == (4, 5, 4)
    torch.testing.assert_close(found, found[..., :1].expand_as(found), rtol=0, atol=0)
    z, z0 = model.layer(x).detach(), model.layer(torch.zeros_like(x)).detach()
    expected = (z - z0) @ model.head.weight[0].detach() / 5  # the head sees the mean over tokens
    torch.testing.assert_close(found[..., 0], expected, rtol=0, atol=1e-9)


def test_every_element_is_a_feature_without_channels() -> None:
    case = BY_NAME["dense"]
    model, x = case.model(), case.inputs()
    found = explain(model, x, Occlusion(1), Input(channel_dim=None), case.target).values
    assert not torch.allclose(found[:, :1].expand_as(found), found)
    i, c, t = 2, 1, 6
    changed = x.clone()
    changed[i, c, t] = 0
    index = (i, *case.target[i])
    assert found[i, c, t].item() == pytest.approx((model(x)[index] - model(changed)[index]).item(), abs=1e-12)


def test_inputs_are_occluded_one_after_the_other() -> None:
    case = BY_NAME["several"]
    model, (picture, ids, table) = case.model(), case.inputs()
    found = explain(model, (picture, ids, table), Occlusion(99), target=1).values
    whole = model(picture, ids, table)[:, 1]
    without = (
        model(torch.zeros_like(picture), ids, table)[:, 1],
        model(picture, ids, torch.zeros_like(table))[:, 1],
    )
    for part, rest in zip(found, without, strict=True):
        torch.testing.assert_close(part.flatten(1)[:, 0], (whole - rest).detach(), rtol=0, atol=1e-12)


def test_ids_can_be_occluded_where_nothing_else_is_there() -> None:
    model = nn.Sequential(nn.EmbeddingBag(9, 4), nn.Linear(4, 2)).double()
    ids = torch.randint(1, 9, (3, 5))
    found = explain(model, ids, Occlusion(1), target=1, baseline=0).values
    assert found.dtype == torch.float64
    for i, t in product(range(3), range(5)):
        changed = ids.clone()
        changed[i, t] = 0
        fall = (model(ids) - model(changed))[i, 1]
        assert found[i, t].item() == pytest.approx(fall.item(), abs=1e-12)


def test_complex_inputs_can_be_occluded() -> None:
    class Power(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.abs().square().sum(dim=1)

    x = torch.randn(2, 3, dtype=torch.complex64)
    with pytest.raises(TypeError, match=r"input holds torch.complex64 values, for which there is no gradient"):
        explain(Power(), x, "saliency", target="output")
    found = explain(Power(), x, Occlusion(1), target="output", baseline=0).values
    torch.testing.assert_close(found, x.abs().square())


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (lambda: Occlusion(0), "The window must be at least 1 in every dimension, got 0"),
        (lambda: Occlusion((2, -1)), r"The window must be at least 1 in every dimension, got \(2, -1\)"),
        (lambda: Occlusion(2, (1, 0)), r"The stride must be at least 1 in every dimension, got \(1, 0\)"),
        (lambda: Occlusion(2, 3), r"The stride .* exceeds the window .*: elements would be left out"),
        (lambda: Occlusion((2, 2, 2, 2)), r"The window \(2, 2, 2, 2\) has 4 number\(s\)"),
        (lambda: Occlusion((2,)), r"The window \(2,\) has 1 number\(s\)"),
        (lambda: Occlusion(2, (1, 1, 1)), r"The stride \(1, 1, 1\) has 3 number\(s\); expected 2"),
    ],
)
def test_what_cannot_be_is_refused(method: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        explain(net(), samples(), method(), target=TARGETS)
