"""A replica is trusted if it gives what the model gives, and dropped with one message if not."""

import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint
from torchmetrics import MeanSquaredError

from lightning_explain import (
    FeatureAblation,
    IntegratedGradients,
    Layer,
    Neuron,
    explain,
    explain_dataset,
    explain_methods,
    explain_targets,
)
from lightning_explain.attribution.engine import pose
from lightning_explain.attribution.guard import borrowed
from lightning_explain.attribution.replica import Replica
from lightning_explain.attribution.replication import replicated

SAMPLES = 4
STEPS = IntegratedGradients(4)


class Net(nn.Module):
    """A convolution and a BatchNorm, and whatever a function makes of them."""

    def __init__(self, run=lambda net, x: net.end(net.bn(net.conv(x)))):
        super().__init__()
        self.conv, self.bn, self.head = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Linear(4, 3)
        nn.init.normal_(self.bn.running_mean)
        nn.init.uniform_(self.bn.weight, 0.5, 2)
        self.run = run

    def end(self, x):
        return self.head(F.relu(x).mean(dim=(2, 3)))

    def forward(self, x):
        return self.run(self, x)


def net(run=None):
    torch.manual_seed(0)
    return (Net() if run is None else Net(run)).eval()


def samples(count=SAMPLES):
    return torch.randn(count, 2, 5, 5, generator=torch.Generator().manual_seed(1))


def asked(model, replica=True, x=None):
    """The forward of the problem, and why it is the model's."""
    with borrowed(model):
        problem, reason = replicated(pose(model, samples() if x is None else x, 1), replica)
    return problem.forward, reason


def by_layout(model, x):
    held = model.conv(x)
    return model.end(held * (2.0 if held.stride(1) == 1 else 1.0))


def only_in_float32(model, x):
    if x.dtype != torch.float32:
        raise ValueError("only float32 is taken")
    return model.end(model.bn(model.conv(x)))


def recomputed(model, x):
    return model.end(checkpoint(lambda y: model.bn(model.conv(y)), x, use_reentrant=False))


def offset(model, x):
    return model.end(model.conv(x + 1000) - model.conv(torch.full_like(x, 1000)))


DROPPED = {
    "the norm is told from its replica": (
        lambda net, x: net.end(net.bn(net.conv(x)) + float("forward" in vars(net.bn))),
        True,
        "its outputs are off by",
    ),
    "only one type is taken": (only_in_float32, torch.bfloat16, r"the replica fails \(ValueError: only float32"),
    "runs again in the backward pass": (recomputed, True, "its gradient is off by"),
    "too few bits for the outputs": (offset, torch.bfloat16, "its outputs are off by"),
    "a type without such operators": (
        lambda net, x: net.end(net.conv(torch.linalg.inv(x + 9 * torch.eye(5).to(x)))),
        torch.bfloat16,
        "the replica fails",
    ),
}


class TestDropped:
    @pytest.mark.parametrize("name", DROPPED)
    def test_the_model_itself_is_explained_and_one_message_says_why(self, name):
        run, replica, reason = DROPPED[name]
        plain = explain(net(run), samples(), STEPS, target=1).values
        with pytest.warns(UserWarning, match=f"model itself is explained, and no replica of it: .*{reason}") as caught:
            cheap = explain(net(run), samples(), STEPS, target=1, replica=replica).values
        assert len(caught) == 1
        torch.testing.assert_close(cheap, plain)

    def test_memory_stays_in_order_for_a_model_that_needs_it(self):
        def viewing(model, x):
            held = F.relu(model.bn(model.conv(x)))
            return model.head(held.view(len(x), 4, -1).mean(dim=2)) + held.view(len(x), -1)[:, :3]

        found = asked(net(viewing))
        assert found[1] is None
        assert (found[0].channels_last, len(found[0].recorded.pairs)) == (False, 1)

    def test_a_model_that_depends_on_the_order_in_memory(self):
        found, reason = asked(net(by_layout))
        assert not isinstance(found, Replica)
        assert "outputs are off" in reason

    def test_what_cannot_be_cheaper_is_not_spoken_of(self):
        model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 3)).eval()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            plain, same = (explain(model, torch.ones(2, 3), STEPS, target=1, replica=r).values for r in (False, True))
        assert torch.equal(plain, same)

    def test_a_model_that_raises_says_so_itself(self):
        def failing(model, x):
            if not torch.is_grad_enabled():
                return model.end(model.conv(x))
            raise RuntimeError("no backward")

        with pytest.raises(RuntimeError, match="no backward"):
            explain(net(failing), samples(), STEPS, target=1, replica=True)
        plain, cheap = (explain(net(failing), samples(), FeatureAblation(), target=1, replica=r) for r in (False, True))
        torch.testing.assert_close(cheap.values, plain.values, rtol=1e-3, atol=1e-6)

    def test_a_model_whose_parameters_have_attributes(self):
        class Scaled(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer, self.norm = nn.Linear(4, 6), nn.BatchNorm1d(6)
                self.layer.weight.gain = 2.0

            def forward(self, x):
                return self.norm(self.layer(x)) * self.layer.weight.gain

        model, x = Scaled(), torch.randn(3, 4)
        with pytest.warns(UserWarning, match="the replica fails .AttributeError: .* has no attribute 'gain'"):
            found = explain(model, x, STEPS, target=1, replica=True)
        assert torch.equal(found.values, explain(model, x, STEPS, target=1).values)

    def test_a_model_that_draws_goes_on_as_if_nothing_had_been_tried(self):
        class Drawing(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer, self.norm = nn.Linear(4, 6), nn.BatchNorm1d(6)

            def forward(self, x):
                return self.norm(self.layer(nn.functional.dropout(x, 0.5, training=True)))

        model, x = Drawing(), torch.randn(3, 4)
        plain = explain(model, x, "occlusion", target=1)
        with pytest.warns(UserWarning, match="The model itself is explained"):
            dropped = explain(model, x, "occlusion", target=1, replica=True)
        assert torch.equal(dropped.values, plain.values)

    def test_outputs_that_are_not_finite(self):
        def masked(model, x):
            out = model.end(model.bn(model.conv(x)))
            return out.masked_fill(torch.tensor([True, False, False]), -torch.inf)

        found, reason = asked(net(masked))
        assert isinstance(found, Replica), reason

    def test_a_model_without_a_gradient(self):
        model = net(lambda model, x: model.end(model.bn(model.conv(x))).round(decimals=3).detach())
        found, reason = asked(model)
        assert isinstance(found, Replica), reason

    def test_one_sample(self):
        found, reason = asked(net(), x=samples(1))
        assert isinstance(found, Replica), reason


class TestAsked:
    def test_outputs_are_tried_on_all_samples_and_gradients_on_two(self):
        model, passes = net(), []
        model.register_forward_hook(lambda *of: passes.append((len(of[2]), of[2].requires_grad)))
        x = samples(7)
        with borrowed(model):
            problem = pose(model, x, 1)
            assert problem.outputs.shape == (7, 3)
            passes.clear()
            replicated(problem, True)
        assert sum(rows for rows, graph in passes if not graph) == 2 + 7
        assert [rows for rows, graph in passes if graph] == [2, 2]

    def test_the_target_is_what_the_model_predicts(self):
        def near(model, x):
            # Two classes apart by less than bfloat16 can tell.
            out = model.end(model.bn(model.conv(x)))
            return torch.stack([out[:, 0] * 1.001, out[:, 0], out[:, 0] * 0.999], dim=1)

        plain, cheap = (explain(net(near), samples(), FeatureAblation(), replica=r) for r in (False, torch.bfloat16))
        assert torch.equal(plain.target, cheap.target)

    def test_what_is_complete_stays_complete(self):
        method = IntegratedGradients(64)
        plain = explain(net(), samples(), method, target=1).delta
        for replica, most in ((True, 1e-6), (torch.bfloat16, 0.01)):
            found = explain(net(), samples(), method, target=1, replica=replica)
            assert float((found.delta - plain).abs().max()) < most
            assert float(found.span.abs().max()) > 0.1

    @pytest.mark.parametrize(
        "method", ["saliency", "grad_cam", "guided_backprop", "deconvolution", "guided_grad_cam", "deep_lift", "lrp"]
    )
    def test_methods_of_one_backward_row_explain_the_model_itself(self, method):
        plain, same = (explain(net(), samples(), method, target=1, replica=r).values for r in (False, True))
        assert torch.equal(plain, same)

    def test_a_neuron(self):
        for place in (Neuron("conv", (1, 2, 2)), Neuron("bn", (1, 2, 2))):
            plain, cheap = (explain(net(), samples(), STEPS, place, replica=r).values for r in (False, True))
            assert plain.any()
            torch.testing.assert_close(cheap, plain, rtol=1e-3, atol=1e-6)

    def test_several_methods_and_targets(self):
        for ask in (
            lambda r: explain_methods(net(), samples(), ["saliency", STEPS, "grad_cam"], replica=r).values(),
            lambda r: explain_targets(net(), samples(), [0, 1, "predicted"], replica=r),
            lambda r: explain_targets(net(), samples(), [0, 1], STEPS, Layer("conv"), replica=r),
        ):
            for plain, cheap in zip(ask(False), ask(True), strict=True):
                assert torch.equal(plain.target, cheap.target)
                torch.testing.assert_close(cheap.values, plain.values, rtol=1e-3, atol=1e-5)

    def test_a_data_set(self):
        batches = [(samples(), torch.randn(SAMPLES, 3)), (samples(3), torch.randn(3, 3))]
        mask = (torch.arange(25) // 9).view(1, 1, 5, 5)
        found = [
            explain_dataset(net(), batches, MeanSquaredError(), feature_mask=mask, replica=r) for r in (False, True)
        ]
        torch.testing.assert_close(found[1].coefficients, found[0].coefficients, rtol=1e-4, atol=1e-6)
        assert not torch.equal(found[1].coefficients, found[0].coefficients)

    def test_a_data_set_warns_once(self):
        batches = [(samples(), torch.randn(SAMPLES, 3)), (samples(3), torch.randn(3, 3))]
        mask = (torch.arange(25) // 9).view(1, 1, 5, 5)
        with pytest.warns(UserWarning, match="no replica of it") as caught:
            explain_dataset(
                net(only_in_float32), batches, MeanSquaredError(), feature_mask=mask, replica=torch.bfloat16
            )
        assert len(caught) == 1


class TestRefused:
    @pytest.mark.parametrize("replica", [None, "bfloat16", 1, torch.int8])
    def test_what_is_no_replica(self, replica):
        with pytest.raises(TypeError, match=r"replica is True, False or a type such as torch.bfloat16, got"):
            explain(net(), samples(), STEPS, target=1, replica=replica)

    def test_training_on_attributions(self):
        with pytest.raises(ValueError, match="copies of the parameters, on which nothing can be trained"):
            explain(net(), samples(), STEPS, target=1, replica=True, create_graph=True)
