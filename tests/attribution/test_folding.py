"""Folding, against the two layers one after the other."""

import pytest
import torch
from torch import nn

from lightning_explain.attribution.folding import folded, merged, scale_and_shift

LAYERS = {
    "linear": (nn.Linear(3, 4), nn.BatchNorm1d(4), (5, 3)),
    "linear without bias": (nn.Linear(3, 4, bias=False), nn.BatchNorm1d(4), (5, 3)),
    "conv1d": (nn.Conv1d(3, 4, 3), nn.BatchNorm1d(4), (5, 3, 7)),
    "conv2d, strided, dilated": (nn.Conv2d(4, 6, 3, stride=2, padding=1, dilation=2), nn.BatchNorm2d(6), (5, 4, 7, 8)),
    "conv2d, padded with reflections": (nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"), None, (5, 4, 5, 6)),
    "grouped": (nn.Conv2d(4, 6, 3, groups=2), nn.BatchNorm2d(6), (5, 4, 5, 6)),
    "depthwise": (nn.Conv2d(4, 8, 3, groups=4, bias=False), nn.BatchNorm2d(8), (5, 4, 5, 6)),
    "conv3d": (nn.Conv3d(2, 3, 2), nn.BatchNorm3d(3), (5, 2, 3, 4, 5)),
    "transposed 1d": (nn.ConvTranspose1d(3, 4, 3, stride=2), nn.BatchNorm1d(4), (5, 3, 4)),
    "transposed 2d, grouped": (nn.ConvTranspose2d(4, 6, 3, groups=2), nn.BatchNorm2d(6), (5, 4, 3, 4)),
    "transposed 3d": (nn.ConvTranspose3d(2, 3, 2), nn.BatchNorm3d(3), (5, 2, 3, 2, 3)),
    "without affine": (nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6, affine=False), (5, 4, 5, 6)),
    "another epsilon": (nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6, eps=0.5), (5, 4, 5, 6)),
}


def used(norm):
    for tensor in (norm.running_mean, norm.weight, norm.bias):
        if tensor is not None:
            nn.init.normal_(tensor)
    nn.init.uniform_(norm.running_var, 0.2, 3.0)
    return norm.double().eval()


@pytest.mark.parametrize("name", LAYERS)
def test_one_layer_gives_what_two_gave(name):
    layer, norm, shape = LAYERS[name]
    torch.manual_seed(0)
    layer, norm = layer.double(), used(norm or nn.BatchNorm2d(6))
    x = torch.randn(shape, dtype=torch.float64)
    both = norm(layer(x))
    weight, bias = folded(layer, norm)
    layer.weight, layer.bias = nn.Parameter(weight), nn.Parameter(bias)
    torch.testing.assert_close(layer(x), both, rtol=1e-12, atol=1e-12)


def test_half_precision_is_folded_in_single():
    layer, norm = nn.Linear(3, 4).bfloat16(), used(nn.BatchNorm1d(4)).bfloat16()
    weight, bias = folded(layer, norm)
    assert (weight.dtype, bias.dtype) == (torch.float32, torch.float32)
    scale = norm.weight.float() / (norm.running_var.float() + norm.eps).sqrt()
    torch.testing.assert_close(weight, layer.weight.float() * scale[:, None])


def test_a_scale_belongs_to_the_channels_of_the_output():
    weight, bias = merged(torch.ones(2, 3), None, torch.tensor([2.0, 3.0]), torch.tensor([4.0, 5.0]))
    assert weight.tolist() == [[2.0] * 3, [3.0] * 3]
    assert bias.tolist() == [4.0, 5.0]


def test_scale_and_shift_are_those_of_a_batch_norm():
    norm, x = used(nn.BatchNorm1d(3)), torch.randn(4, 3, dtype=torch.float64)
    scale, shift = scale_and_shift(norm.running_mean, norm.running_var, norm.weight, norm.bias, norm.eps)
    torch.testing.assert_close(x * scale + shift, norm(x))
