"""Which BatchNorms are found to be the only reader of the layer in front of them."""

from collections import OrderedDict

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from lightning_explain.attribution.guard import borrowed
from lightning_explain.attribution.model import call
from lightning_explain.attribution.pairs import record


class Net(nn.Module):
    """Whatever a function makes of these layers."""

    def __init__(self, run):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(2, 2, 3, padding=1), nn.BatchNorm2d(2)
        self.other, self.relu = nn.Conv2d(2, 2, 3, padding=1), nn.ReLU(inplace=True)
        self.batchwise = nn.BatchNorm2d(2, track_running_stats=False)
        self.wrapper = nn.Sequential(self.conv)
        self.named = Named(self.conv)
        self.linear, self.flat = nn.Linear(4, 2), nn.BatchNorm1d(2)
        self.run = run

    def forward(self, x):
        return self.run(self, x)


class Kept(OrderedDict):
    """A mapping that torch does not know of."""


class Named(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return Kept(found=[self.layer(x)])


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(_, x):
        return x * 2

    @staticmethod
    def backward(_, gradient):
        return gradient * 2


@torch.jit.script
def scripted(x):
    return torch.sin(x)


class Scaled(nn.Conv2d):
    def forward(self, x):
        return F.conv2d(x, self.weight / self.weight.std(), self.bias, padding=self.padding)


class Same(nn.Conv2d):
    """Pads by itself, as convolutions do that come from elsewhere."""

    def forward(self, x):
        return F.conv2d(F.pad(x, (1, 1, 1, 1)), self.weight, self.bias)


class Twice(Same):
    def forward(self, x):
        return super().forward(x).mul_(2)


class Both(Same):
    def forward(self, x):
        return super().forward(x) + super().forward(-x)


class Part(Same):
    def forward(self, x):
        return F.conv2d(F.pad(x, (1, 1, 1, 1)), self.weight[:, :, 1:, 1:], self.bias)[..., 1:, 1:]


def trying(layer, x, otherwise):
    try:
        return layer(x[:, :1])
    except RuntimeError:
        return otherwise(x.clone())


def through(net, x, read):
    held = net.conv(x)
    return net.bn(held), read(held)


FOUND = {
    "one after the other": lambda m, x: m.bn(m.conv(x)),
    "an activation in place behind": lambda m, x: m.relu(m.bn(m.conv(x))),
    "looked at, but not into": lambda m, x: through(m, x, lambda held: (held.shape, held.dim(), held.device))[0],
    "contiguous already": lambda m, x: m.bn(m.conv(x).contiguous()),
    "from a wrapper": lambda m, x: m.bn(m.wrapper(x)),
    "from a list": lambda m, x: [m.conv, m.bn][1]([m.conv, m.bn][0](x)),
    "a shortcut past both": lambda m, x: m.bn(m.conv(x)) + x,
    "from a mapping": lambda m, x: m.bn(m.named(x)["found"][0]),
    "another layer raised before": lambda m, x: m.bn(m.conv(trying(m.other, x, m.relu))),
    "a linear layer": lambda m, x: m.flat(m.linear(x[:, 0, 0])),
}
NOT_FOUND = {
    "no norm": lambda m, x: m.conv(x),
    "a shortcut from between": lambda m, x: sum(through(m, x, lambda held: held)),
    "a shortcut from between, in place": lambda m, x: (lambda held: m.bn(held).add_(held))(m.conv(x)),
    "a function between": lambda m, x: m.bn(torch.tanh(m.conv(x))),
    "a view between": lambda m, x: m.bn(m.conv(x).transpose(2, 3)),
    "a view beside": lambda m, x: sum(through(m, x, lambda held: held[:, :1])),
    "its data beside": lambda m, x: sum(through(m, x, lambda held: held.data * 2)),
    "a number of it": lambda m, x: (lambda pair: pair[0] * pair[1])(through(m, x, lambda held: held.mean().item())),
    "another module": lambda m, x: sum(through(m, x, lambda held: m.other(held))),
    "an autograd function": lambda m, x: sum(through(m, x, Doubled.apply)),
    "a scripted function": lambda m, x: sum(through(m, x, scripted)),
    "an output of the model": lambda m, x: through(m, x, lambda held: held),
    "an output of the model, named": lambda m, x: dict(
        zip(("out", "feature"), through(m, x, lambda h: h), strict=True)
    ),
    "the layer twice": lambda m, x: m.bn(m.conv(m.conv(x))),
    "the norm twice": lambda m, x: m.bn(m.bn(m.conv(x))),
    "the norm after two": lambda m, x: m.bn(m.conv(x)) + m.bn(m.other(x)),
    "the weight elsewhere": lambda m, x: m.bn(m.conv(x)) + m.conv.weight.sum(),
    "a part of the weight elsewhere": lambda m, x: m.bn(m.conv(x)) + m.conv.weight[0].sum(),
    "the weight before": lambda m, x: F.conv2d(m.bn(m.conv(x)), m.conv.weight, padding=1),
    "no statistics": lambda m, x: m.batchwise(m.conv(x)),
    "trained all the same": lambda m, x: m.bn.train()(m.conv(x)),
    "other channels": lambda m, x: m.flat(m.linear(x[:, 0, :2])),
}


def found(net, forward=call):
    net.double()
    with borrowed(net):
        return record(net, torch.randn(2, 2, 4, 4, dtype=torch.float64), forward).pairs


@pytest.mark.parametrize("name", FOUND)
def test_a_norm_that_alone_reads_a_layer(name):
    net = Net(FOUND[name])
    (pair,) = found(net)
    assert (pair.affine, pair.norm) in {(net.conv, net.bn), (net.linear, net.flat)}
    assert not pair.watched


@pytest.mark.parametrize("name", NOT_FOUND)
def test_a_norm_that_does_not(name):
    assert found(Net(NOT_FOUND[name])) == ()


def test_what_is_not_the_layer_that_it_seems_to_be():
    derived = (Scaled(2, 2, 3, padding=1), Twice(2, 2, 3), Both(2, 2, 3), Part(2, 2, 3))
    for other in (*derived, weight_norm(nn.Conv2d(2, 2, 3, padding=1))):
        net = Net(lambda m, x: m.bn(m.conv(x)))
        net.conv = other
        assert found(net) == ()
    net = Net(lambda m, x: m.bn(m.conv(x)))
    net.conv.forward = lambda x: F.conv2d(x, net.conv.weight.abs(), padding=1)
    assert found(net) == ()
    net = Net(lambda m, x: m.bn(m.conv(x)))
    net.bn.forward = torch.tanh
    assert found(net) == ()


@pytest.mark.parametrize("bias", [False, True])
def test_what_derives_from_a_convolution_and_convolves_with_its_weight_is_one(bias):
    net = Net(lambda m, x: m.bn(m.conv(x)))
    net.conv = Same(2, 2, 3, bias=bias)
    (pair,) = found(net)
    assert (pair.affine, pair.norm) == (net.conv, net.bn)


def test_a_tied_weight_belongs_to_nobody():
    net = Net(lambda m, x: m.bn(m.conv(x)) + m.other(x))
    net.other.weight = net.conv.weight
    assert found(net) == ()


def test_the_function_that_calls_the_model_may_be_the_reader():
    net = Net(FOUND["one after the other"])
    assert len(found(net, lambda model, x: model(x).tanh())) == 1
    net = Net(NOT_FOUND["an output of the model"])
    assert len(found(net, lambda model, x: model(x)[0])) == 1
    assert found(net, lambda model, x: model(x)[0] + model(x)[1]) == ()


WATCHES = {
    "the layer's output": (lambda net: net.conv.register_forward_hook, True),
    "the norm's input": (lambda net: net.bn.register_forward_pre_hook, True),
    "the output of what wraps the layer": (lambda net: net.wrapper.register_forward_hook, True),
    "the output of what names it": (lambda net: net.named.register_forward_hook, True),
    "the layer's input": (lambda net: net.conv.register_forward_pre_hook, False),
    "the norm's output": (lambda net: net.bn.register_forward_hook, False),
    "elsewhere": (lambda net: net.other.register_forward_hook, False),
}


@pytest.mark.parametrize("name", WATCHES)
def test_a_hook_watches_the_pair_while_it_is_there(name):
    where, watches = WATCHES[name]
    net = Net(FOUND["from a mapping" if "names" in name else "from a wrapper"])
    (pair,) = found(net)
    handle = where(net)(lambda *_: None)
    assert pair.watched == watches
    handle.remove()
    assert not pair.watched


def test_several_pairs_and_the_end_of_the_model():
    net = nn.Sequential(
        nn.Conv2d(2, 3, 3),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16, 3),
    )
    with borrowed(net):
        recorded = record(net, torch.randn(2, 2, 6, 6), call)
    assert [(pair.affine, pair.norm) for pair in recorded.pairs] == [(net[0], net[1]), (net[3], net[4])]
    assert (recorded.last, recorded.before) == (net[7], net[3])
    assert recorded.behind == {net[4], net[5], net[6], net[7]}


def test_the_end_of_a_model_with_one_layer_or_none_or_one_that_runs_again():
    one, none, again = nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), nn.Flatten(), nn.Linear(4, 4)
    ends = []
    for net, forward in ((one, call), (none, call), (again, lambda model, x: model(model(x)))):
        with borrowed(net):
            recorded = record(net, torch.randn(2, 4), forward)
        ends.append((recorded.last, recorded.before, recorded.behind))
    assert ends == [(one[1], None, frozenset()), (None, None, frozenset()), (None, None, frozenset())]


def test_no_hook_is_left_behind_also_when_the_model_raises():
    def fail(net, x):
        net.conv(x)
        raise RuntimeError("no")

    net = Net(fail)
    with pytest.raises(RuntimeError, match="no"):
        record(net, torch.randn(2, 2, 4, 4), call)
    assert not any((*m._forward_hooks, *m._forward_pre_hooks) for m in net.modules())
