"""A replica gives what the model gives, wherever it is asked, and leaves nothing behind."""

import copy
import pickle
import random
import threading

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from cases import CASES
from torch import Tensor, nn

from lightning_explain import (
    METHODS,
    FeatureAblation,
    Input,
    IntegratedGradients,
    Layer,
    Layers,
    Neuron,
    Occlusion,
    explain,
    explain_methods,
)
from lightning_explain.attribution.guard import borrowed
from lightning_explain.attribution.model import call
from lightning_explain.attribution.pairs import record
from lightning_explain.attribution.replica import Replica
from lightning_explain.metrics.randomisation.parameters import randomised

STEPS = IntegratedGradients(4)


def settled(model):
    """With statistics and scales as after some training."""
    torch.manual_seed(7)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            for tensor in filter(lambda t: t is not None, (module.running_mean, module.bias)):
                nn.init.normal_(tensor, std=0.3)
            for tensor in filter(lambda t: t is not None, (module.running_var, module.weight)):
                nn.init.uniform_(tensor, 0.5, 2.0)
    return model.eval()


class Block(nn.Module):
    def __init__(self, into, out, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(into, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out)
        self.conv2, self.bn2 = nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out)
        short = (nn.Conv2d(into, out, 1, stride, bias=False), nn.BatchNorm2d(out))
        self.short = nn.Identity() if into == out else nn.Sequential(*short)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        return self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))) + self.short(x))


class ResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.bn = nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.block1, self.block2 = Block(4, 4, 1), Block(4, 6, 2)
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        return self.head(self.block2(self.block1(F.relu(self.bn(self.stem(x))))).mean(dim=(2, 3)))


def flat(*layers, head):
    return nn.Sequential(*layers, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(head, 3))


class Between(nn.Module):
    """What is between the layer and the norm is read by a shortcut, too."""

    def __init__(self):
        super().__init__()
        self.conv, self.bn, self.head = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 3)

    def forward(self, x):
        held = self.conv(x)
        return self.head((F.relu(self.bn(held)) + held).mean(dim=(2, 3)))


class Twice(nn.Module):
    """A layer that runs twice, or a norm that does."""

    def __init__(self, layer, norm):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.conv, self.bn, self.head = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Linear(4, 3)
        self.layer, self.norm = layer, norm

    def forward(self, x):
        x = self.stem(x)
        for _ in range(self.layer):
            x = self.conv(x)
        for _ in range(self.norm):
            x = F.relu(self.bn(x))
        return self.head(x.mean(dim=(2, 3)))


MODELS = {
    # name: (model, inputs, how many pairs are folded)
    "mlp": (lambda: nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3)), (5,), 1),
    "residual": (ResNet, (3, 8, 8), 6),
    "depthwise": (
        lambda: flat(nn.Conv2d(3, 6, 3, groups=3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 1), head=4),
        (3, 6, 6),
        1,
    ),
    "grouped": (lambda: flat(nn.Conv2d(4, 6, 3, groups=2, bias=False), nn.BatchNorm2d(6), head=6), (4, 6, 6), 1),
    "transposed": (lambda: flat(nn.ConvTranspose2d(4, 6, 3, groups=2), nn.BatchNorm2d(6), head=6), (4, 4, 4), 1),
    "one dimension": (
        lambda: nn.Sequential(nn.Conv1d(3, 4, 3), nn.BatchNorm1d(4), nn.ReLU(), nn.Flatten(), nn.Linear(24, 3)),
        (3, 8),
        1,
    ),
    "three dimensions": (
        lambda: nn.Sequential(nn.Conv3d(2, 3, 2), nn.BatchNorm3d(3), nn.ReLU(), nn.Flatten(), nn.Linear(81, 3)),
        (2, 4, 4, 4),
        1,
    ),
    "a reader between": (Between, (3, 6, 6), 0),
    "a layer twice": (lambda: Twice(2, 1), (3, 6, 6), 0),
    "a norm twice": (lambda: Twice(1, 2), (3, 6, 6), 0),
    "no affine": (lambda: flat(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False), head=4), (3, 6, 6), 1),
    "no statistics": (
        lambda: flat(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), nn.Conv2d(4, 4, 3), head=4),
        (3, 8, 8),
        0,
    ),
}
SAMPLES = 3


def posed(name, dtype=torch.float64):
    make, shape, _ = MODELS[name]
    torch.manual_seed(0)
    model = settled(make()).to(dtype)
    return model, torch.randn(SAMPLES, *shape, dtype=dtype)


def replica_of(model, x, **settings):
    return Replica(call, model, record(model, x[:2].clone(), call), **settings)


class TestTheSame:
    @pytest.mark.parametrize("name", MODELS)
    def test_outputs_and_gradients(self, name):
        model, x = posed(name)
        with borrowed(model):
            replica = replica_of(model, x)
            assert len(replica.recorded.pairs) == MODELS[name][2]
            for channels_last in (True, False):
                replica = replica_of(model, x, channels_last=channels_last)
                z = x.clone().requires_grad_()
                torch.testing.assert_close(replica(model, z), model(z), rtol=1e-10, atol=1e-12)
                slopes = [torch.autograd.grad(out[:, 1].sum(), z)[0] for out in (replica(model, z), model(z))]
                torch.testing.assert_close(*slopes, rtol=1e-10, atol=1e-12)

    @pytest.mark.parametrize("name", MODELS)
    def test_attributions(self, name):
        model, x = posed(name, torch.float32)
        for method in (STEPS, FeatureAblation()):
            plain, cheap = (explain(model, x, method, target=1, replica=replica) for replica in (False, True))
            torch.testing.assert_close(cheap.values, plain.values, rtol=1e-3, atol=1e-5)
            torch.testing.assert_close(cheap.outputs, plain.outputs, rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
    def test_in_all_worlds(self, case):
        model, inputs = case.model(), case.inputs()
        given = {"target": case.target, "baseline": case.baseline()}
        for place, _ in case.places:
            plain, cheap = (explain(model, inputs, STEPS, place, **given, replica=r) for r in (False, True))
            for a, b in zip(cheap.point, plain.point, strict=True):
                torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-10)

    @pytest.mark.parametrize("method", ["deep_lift", "lrp", "guided_backprop", "deconvolution", "guided_grad_cam"])
    def test_methods_by_rules_for_operators(self, method):
        model, x = posed("residual")
        found = [
            explain_methods(model, x, [method, STEPS], target=1, replica=replica)[method] for replica in (False, True)
        ]
        torch.testing.assert_close(found[1].values, found[0].values, rtol=1e-7, atol=1e-9)

    @pytest.mark.parametrize("place", [Neuron("block1.conv1", (2, 1, 1)), Layer("block1.conv1")], ids=repr)
    def test_rules_do_not_see_that_something_else_is_lent(self, place):
        # Where a hook keeps a pair apart, tensors are made in the midst of the pass that DeepLift watches.
        model, x = posed("residual")
        plain, cheap = (explain(model, x, "deep_lift", place, 1, replica=replica) for replica in (False, True))
        torch.testing.assert_close(cheap.values, plain.values, rtol=1e-7, atol=1e-9)

    @pytest.mark.parametrize("dtype", [True, torch.bfloat16])
    def test_arguments_by_name(self, dtype):
        model, x = posed("mlp", torch.float32)
        layers = list(model)

        class Named(nn.Module):
            def __init__(self):
                super().__init__()
                self.layers = nn.ModuleList([*layers, nn.Linear(3, 2)])

            def forward(self, x):
                for layer in self.layers:
                    x = layer(input=x)
                return x

        model = Named().eval()
        plain, cheap = (explain(model, x, STEPS, target=1, replica=replica) for replica in (False, dtype))
        torch.testing.assert_close(cheap.values, plain.values, rtol=0.1, atol=0.05)
        assert not torch.equal(cheap.values, plain.values)

    def test_every_composite_of_lrp(self):
        model, x = posed("residual")
        methods = [METHODS["lrp"](name) for name in ("epsilon", "epsilon_gamma_box", "alpha1_beta0")]
        for lrp in methods:
            plain, cheap = (
                explain_methods(model, x, [lrp, STEPS], target=1, replica=replica)["lrp"] for replica in (False, True)
            )
            torch.testing.assert_close(cheap.values, plain.values, rtol=1e-7, atol=1e-9)


PLACES = [
    Input(),
    Layer("stem"),
    Layer("stem", of="input"),
    Layer("bn"),
    Layer("bn", of="input"),
    Layer("block2.conv2"),
    Layer("block2.bn2"),
    Layer("block2.short"),
    Layer("block2.short.0"),
    Layers(("block1.conv1", "block2.bn1")),
    Neuron("block1.conv1", (2, 1, 1)),
    Neuron("block1.bn1", (2, 1, 1), of="input"),
    Neuron("block1.bn1", (2, 1, 1)),
]


class TestPlaces:
    @pytest.mark.parametrize("place", PLACES, ids=repr)
    def test_every_layer_holds_what_it_held(self, place):
        model, x = posed("residual")
        for method in (STEPS, Occlusion(2, 2) if isinstance(place, Input) else METHODS["activation"]()):
            plain, cheap = (explain(model, x, method, place, 1, replica=replica) for replica in (False, True))
            assert any(bool(leaf.any()) for leaf in plain.point)
            for a, b in zip(cheap.point, plain.point, strict=True):
                torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-9)

    def test_a_pair_is_not_folded_while_somebody_looks_between(self):
        model, x = posed("residual")
        with borrowed(model):
            replica = replica_of(model, x)
            folded = replica._lent_now
            with torch.no_grad():
                wanted, held = model.stem(x), []
                handle = model.stem.register_forward_hook(lambda *of: held.append(of[2]))
                replica(model, x)
                handle.remove()
            assert torch.equal(held[0], wanted)
            assert replica._lent_now is folded

    def test_who_has_a_hook_on_all_modules_sees_the_model(self):
        model, x = posed("residual")
        held = []
        with borrowed(model), torch.no_grad():
            replica, wanted = replica_of(model, x), model.bn(model.stem(x))
            handle = nn.modules.module.register_module_forward_hook(
                lambda module, _, out: held.append(out.clone()) if module is model.bn else None
            )
            try:
                replica(model, x)
            finally:
                handle.remove()
        assert torch.equal(held[0], wanted)

    def test_layers_by_other_ways_than_their_names(self):
        model, x = posed("residual", torch.float32)
        model.listed = [model.stem]
        plain = explain(model, x, STEPS, target=1).values
        closed = explain(model, x, STEPS, target=1, forward=lambda _, given: model(given), replica=True).values
        torch.testing.assert_close(closed, plain, rtol=1e-3, atol=1e-5)


def state(model):
    """Everything that one could touch."""
    return (
        {name: (id(t), t._version, t.clone()) for name, t in (*model.named_parameters(), *model.named_buffers())},
        [(p.requires_grad, id(p.grad)) for p in model.parameters()],
        [(m.training, dict(m._forward_hooks), dict(m._backward_hooks), sorted(vars(m))) for m in model.modules()],
        list(model.state_dict()),
        (torch.get_rng_state(), np.random.get_state()[1], random.getstate()),
    )


def assert_same(before, after):
    assert str(before[1:4]) == str(after[1:4])
    assert torch.equal(before[4][0], after[4][0])
    assert (before[4][1] == after[4][1]).all()
    assert before[4][2] == after[4][2]
    for name, (identity, version, value) in before[0].items():
        assert (identity, version) == after[0][name][:2], name
        assert torch.equal(value, after[0][name][2]), name


class TestTheModel:
    @pytest.mark.parametrize("replica", [True, torch.bfloat16])
    def test_is_left_as_it_was(self, replica):
        model, x = posed("residual", torch.float32)
        model.train()
        model.block1.bn1.eval()
        model.head.bias.requires_grad_(False)
        model(x).sum().backward()
        model.stem.register_forward_hook(lambda *_: None)
        model.head.register_full_backward_hook(lambda *_: None)
        before = state(model)
        explain(model, x, STEPS, target=1, replica=replica)
        assert_same(before, state(model))

    def test_is_left_as_it_was_when_it_raises(self):
        model, x = posed("residual", torch.float32)
        with borrowed(model):
            replica = replica_of(model, x, dtype=torch.bfloat16)
            before = state(model)
            with pytest.raises(RuntimeError, match=r"channels|expected"):
                replica(model, x[:, :2])
            assert_same(before, state(model))

    def test_trains_on_as_it_would_have(self):
        ends = []
        for replica in (False, True):
            model, x = posed("residual", torch.float32)
            optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
            for _ in range(3):
                optimizer.zero_grad()
                model.train()(x).square().mean().backward()
                optimizer.step()
                explain(model, x, STEPS, target=1, replica=replica)
            ends.append(model.state_dict())
        assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])

    def test_is_not_copied(self):
        model, x = posed("residual", torch.float32)
        model.lock, model.data = threading.Lock(), [torch.zeros(1)]
        with pytest.raises(TypeError, match="pickle"):
            copy.deepcopy(model)
        with pytest.raises(TypeError, match="pickle"):
            pickle.dumps(model)
        plain, cheap = (explain(model, x, STEPS, target=1, replica=replica).values for replica in (False, True))
        torch.testing.assert_close(cheap, plain, rtol=1e-3, atol=1e-5)
        assert not torch.equal(cheap, plain)  # it was a replica that was explained

    def test_only_what_is_lent_takes_memory(self):
        model, x = posed("residual", torch.float32)
        with borrowed(model):
            lent = replica_of(model, x)._lent_now
            kept = {id(table) for table, _, _ in lent}
        assert id(model.head._parameters) not in kept
        names = [name for _, name, _ in lent]
        assert (names.count("weight"), names.count("forward")) == (6, 6)

    def test_compiled_parts_are_lent_tensors_too(self):
        model, x = posed("residual", torch.float32)
        plain = explain(model, x, STEPS, target=1).values
        model.block1 = torch.compile(model.block1, backend="eager")
        cheap = explain(model, x, STEPS, target=1, replica=True).values
        torch.testing.assert_close(cheap, plain, rtol=1e-3, atol=1e-5)


class TestOtherParameters:
    def test_a_model_with_random_parameters_is_called_as_it_is(self):
        model, x = posed("residual")
        with borrowed(model), torch.no_grad():
            replica = replica_of(model, x)
            trained = replica(model, x)
            with randomised(model, seed=1):
                assert torch.equal(replica(model, x), model(x))
            assert torch.equal(replica(model, x), trained)

    def test_so_is_one_that_was_trained_on(self):
        model, x = posed("residual")
        replica = replica_of(model, x)
        with torch.no_grad():
            for tensor in (model.stem.weight, model.bn.running_mean):
                tensor.mul_(2)
                assert torch.equal(replica(model, x), model(x))
                replica = replica_of(model, x)
                assert not torch.equal(replica(model, x), model(x))

    def test_another_model_is_called_as_it_is(self):
        model, x = posed("residual")
        other = settled(ResNet()).double()
        with borrowed(model), torch.no_grad():
            assert torch.equal(replica_of(model, x)(other, x), other(x))

    def test_shared_parameters_stay_shared(self):
        model = flat(nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 3), head=3)
        model[1].weight = model[0].weight
        with borrowed(model):
            lent = {name: of for _, name, of in replica_of(model, torch.randn(2, 3, 8, 8))._lent_now}
            both = [of for _, name, of in replica_of(model, torch.randn(2, 3, 8, 8))._lent_now if name == "weight"]
        assert lent.keys() == {"weight"}
        assert both[0] is both[1]


class TestType:
    def test_half_of_the_bits_go_through_the_convolutions(self):
        model, x = posed("residual", torch.float32)
        with borrowed(model), torch.no_grad():
            replica = replica_of(model, x, dtype=torch.bfloat16)
            seen = {}
            handles = [
                module.register_forward_hook(lambda *of, name=name: seen.update({name: of[2].dtype}))
                for name, module in model.named_modules()
            ]
            out = replica(model, x)
            for handle in handles:
                handle.remove()
        assert (seen["stem"], seen["block2.conv2"]) == (torch.bfloat16, torch.bfloat16)
        assert (seen["block2.short.0"], seen["block2"], out.dtype) == (torch.float32,) * 3  # behind the last but one

    @pytest.mark.parametrize("name", MODELS)
    def test_bfloat16_is_near(self, name):
        model, x = posed(name, torch.float32)
        plain, cheap = (explain(model, x, STEPS, target=1, replica=r).values for r in (False, torch.bfloat16))
        assert cheap.dtype == torch.float32
        assert 1e-5 < float((cheap - plain).norm() / plain.norm()) < 0.1

    def test_a_model_in_half_precision_in_its_own(self):
        model, x = posed("residual", torch.bfloat16)
        plain, cheap = (explain(model, x, STEPS, target=1, replica=r).values for r in (False, True))
        assert 0 < float((cheap - plain).norm() / plain.norm()) < 0.1

    def test_double_precision_in_single(self):
        model, x = posed("residual")
        plain, cheap = (explain(model, x, STEPS, target=1, replica=r).values for r in (False, torch.float32))
        assert cheap.dtype == torch.float64
        assert 1e-9 < float((cheap - plain).norm() / plain.norm()) < 1e-4

    def test_recurrent_layers_and_ids(self):
        class Words(nn.Module):
            def __init__(self):
                super().__init__()
                self.embedding, self.lstm = nn.Embedding(10, 6), nn.LSTM(6, 5, batch_first=True)
                self.mix, self.head = nn.Linear(5, 4), nn.Linear(4, 3)

            def forward(self, ids: Tensor) -> Tensor:
                return self.head(torch.tanh(self.mix(self.lstm(self.embedding(ids))[0].mean(dim=1))))

        torch.manual_seed(0)
        model, ids = Words().eval(), torch.randint(0, 10, (SAMPLES, 6))
        place = Layer("embedding", channel_dim=-1)
        flat_weights = [id(weight) for weight in model.lstm._flat_weights]
        plain, cheap = (
            explain(model, ids, STEPS, place, 1, baseline=0, replica=r).values for r in (False, torch.bfloat16)
        )
        assert [id(weight) for weight in model.lstm._flat_weights] == flat_weights
        assert 1e-4 < float((cheap - plain).norm() / plain.norm()) < 0.1

    def test_weights_lie_channels_last_where_that_is_faster(self):
        lies = {}
        for dtype in (torch.float32, torch.bfloat16, torch.float64):
            model, x = posed("residual", dtype)
            with borrowed(model):
                weights = [of for _, name, of in replica_of(model, x)._lent_now if name == "weight" and of.shape[2] > 1]
            lies[dtype] = all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)
        assert lies == {torch.float32: True, torch.bfloat16: True, torch.float64: False}


@pytest.mark.parametrize("replica", [True, torch.bfloat16])
def test_a_place_behind_runs_the_tail_of_the_replica(replica):
    model, x = posed("residual", torch.float32)
    rows = []
    handle = model.stem.register_forward_pre_hook(lambda *of: rows.append(len(of[1][0])))
    explain(model, x, IntegratedGradients(64), Layer("block1"), 1, replica=replica)
    handle.remove()
    assert sum(rows) < 64 * SAMPLES / 2


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support:UserWarning")
def test_a_compressed_buffer_stays_what_it_is() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2)).eval()
    model.register_buffer("adjacency", torch.eye(3).to_sparse_csr())
    x = torch.randn(4, 3)
    found, expected = (explain(model, x, "integrated_gradients", target=1, replica=asked) for asked in (True, False))
    torch.testing.assert_close(found.values, expected.values, rtol=1e-4, atol=1e-6)
