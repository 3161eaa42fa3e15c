"""Behind a layer only the tail is run, where that is the same."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn

from lightning_explain import IntegratedGradients, Layer, Neuron, Occlusion, explain
from lightning_explain.attribution import tail
from lightning_explain.attribution.engine import pose
from lightning_explain.attribution.layers import Layers
from lightning_explain.attribution.tail import Tail, shortened
from lightning_explain.inputs import Inputs

SAMPLES = 6


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.conv2, self.bn2 = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(x + self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))))


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 3, padding=1)
        self.block1, self.block2 = Block(), Block()
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.block2(self.block1(self.stem(x))).mean(dim=(2, 3)))


class Stages(nn.Module):
    """A stem, and a head that decides what crosses."""

    def __init__(self, join: Callable[[nn.Module, Tensor, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.stem, self.middle, self.head = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        self.turn = Turn()
        self.join = join

    def forward(self, x: Tensor, side: Tensor) -> Tensor:
        self.stem_of = self.stem(x)
        self.turn_of = self.turn(self.stem_of)
        return self.join(self, x, self.middle(torch.tanh(self.stem_of)), side)


class Turn(nn.Module):
    """Gives (features, n), as many of either as there are samples."""

    def forward(self, x: Tensor) -> Tensor:
        return x.T.contiguous()


JOINS = {
    # name: (how the variable goes on, what need not be computed again: see `kind`)
    "nothing crosses": (lambda m, x, h, side: m.head(h.tanh()), "beside"),
    "its own size": (lambda m, x, h, side: m.head(h.tanh().view(h.shape[0], -1)), "beside"),
    "an unused branch": (lambda m, x, h, side: (m.head(h.tanh()), side.sum(dim=1))[0], "beside"),
    "another input": (lambda m, x, h, side: m.head(h.tanh()) * side[:, :1], "bare"),
    "the batch size": (lambda m, x, h, side: m.head(h.tanh().reshape(x.shape[0], -1)), "bare"),
    "the batch size at the end": (lambda m, x, h, side: m.head(h.tanh()).view(x.shape[0], -1), "bare"),
    "a check": (lambda m, x, h, side: checked(m.head(h.tanh()), x), "bare"),
    "an index": (lambda m, x, h, side: m.head(h.tanh())[torch.arange(x.shape[0])], "bare"),
    "a skip connection": (lambda m, x, h, side: m.head(h.tanh() + m.stem_of), "each"),
    "a skip connection that is written to": (lambda m, x, h, side: m.head(h.tanh() + m.stem_of.mul_(2)), "each"),
    "a skip connection that is computed again": (lambda m, x, h, side: m.head(h.tanh() + m.stem(x)), "bare"),
    "a sum over the batch": (lambda m, x, h, side: m.head(h.tanh()) + m.stem_of.sum(dim=0)[:3], "each"),
    "a number of the batch": (lambda m, x, h, side: m.head(h.tanh()) * side.amax(), "bare"),
    "a skip connection on its side": (lambda m, x, h, side: m.head(h.tanh() + m.turn_of.T), "whole"),
}


def checked(out: Tensor, x: Tensor) -> Tensor:
    if out.shape[0] != x.shape[0]:
        raise AssertionError("a batch of another size")
    return out


def made(make: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    model = make().double()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
    return model.eval()


def drawn(*shape: int) -> Tensor:
    return torch.randn(SAMPLES, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@contextmanager
def rows_through(module: nn.Module) -> Iterator[list[int]]:
    """Rows that a module really computes: its hooks are called also where it need not run."""
    seen: list[int] = []
    forward = module.forward

    def counting(x: Tensor) -> Tensor:
        seen.append(x.shape[0])
        return forward(x)

    module.forward = counting  # type: ignore[method-assign]
    yield seen
    assert module.forward is counting
    del module.forward


def kind(place: object) -> str:
    """What is not computed again."""
    if not isinstance(place, Tail):
        return "whole"
    if place.beside:
        return "beside"
    return "each" if place.prefix.each else "bare"


def whole(monkeypatch: pytest.MonkeyPatch, *args: object, **kwargs: object) -> Tensor:
    with monkeypatch.context() as patch:
        patch.setattr(tail, "TRIAL", 10**9)
        return explain(*args, **kwargs).values


@pytest.mark.parametrize("method", [IntegratedGradients(40), Occlusion((1, 1))], ids=lambda method: method.name)
@pytest.mark.parametrize("place", [Layer("block1"), Layer("block2", of="input"), Layer("block2")], ids=str)
def test_the_prefix_of_a_residual_net_is_run_for_no_chunk(
    method: object, place: Layer, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x = made(Residual), drawn(2, 5, 5)
    expected = whole(monkeypatch, model, x, method, place, target=1, max_rows=30)
    with rows_through(model.stem) as stem, rows_through(model.head) as head:
        found = explain(model, x, method, place, target=1, max_rows=30).values
    assert torch.equal(found, expected)
    rows = 40 * SAMPLES if isinstance(method, IntegratedGradients) else 25 * SAMPLES
    assert sum(head) >= rows
    # Variable and baseline, outputs; the trial. No chunk needs any.
    assert sum(stem) <= 3 * SAMPLES + 5 + 2 + 5


def test_what_leads_up_to_a_skip_connection_is_kept_for_each_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = made(Residual), drawn(2, 5, 5)
    for name in ("block2.conv1", "block2.bn2"):
        arguments = (model, x, IntegratedGradients(30), Layer(name))
        expected = whole(monkeypatch, *arguments, target=1, max_rows=30)
        with rows_through(model.stem) as stem, rows_through(model.block2.conv2) as behind:
            found = explain(*arguments, target=1, max_rows=30).values
        assert torch.equal(found, expected)
        assert sum(stem) < 12 * SAMPLES
        assert (sum(behind) < 12 * SAMPLES) == (name == "block2.bn2")


def test_what_is_kept_for_each_sample_takes_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = made(Residual), drawn(2, 5, 5)
    problem = pose(model, x, 1).at(Layer("block2.conv1"))
    monkeypatch.setattr(tail, "available", lambda device: 10_000)
    assert kind(shortened(problem, 40)) == "whole"
    monkeypatch.undo()
    monkeypatch.setattr(tail, "MOST_KEPT", SAMPLES - 1)
    assert kind(shortened(problem.select(torch.arange(SAMPLES)), 40)) == "whole"
    monkeypatch.undo()
    assert kind(shortened(problem.select(torch.arange(SAMPLES)), 40)) == "each"


@pytest.mark.parametrize("join", JOINS)
def test_what_crosses_is_found_by_trial(join: str, monkeypatch: pytest.MonkeyPatch) -> None:
    step, expected_kind = JOINS[join]
    model, inputs = made(lambda: Stages(step)), (drawn(4), drawn(5))
    assert kind(shortened(pose(model, inputs, 1).at(Layer("middle")), 20)) == expected_kind
    arguments = (model, inputs, IntegratedGradients(40), Layer("middle"))
    expected = whole(monkeypatch, *arguments, target=1, max_rows=SAMPLES)
    with rows_through(model.stem) as stem:
        found = explain(*arguments, target=1, max_rows=SAMPLES).values
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-15)
    assert found.abs().max() > 0
    if expected_kind in {"beside", "each"}:
        assert sum(stem) < 40 * SAMPLES


class Padded(nn.Module):
    """Decides from all of its batch whether anything is masked, as transformers do."""

    def __init__(self, decide: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.stem, self.attention, self.head = nn.Linear(3, 4), nn.Linear(4, 1), nn.Linear(4, 3)
        self.decide = decide

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        hidden = self.stem(x)
        weights = self.decide(self.attention(hidden.tanh())[..., 0], mask).softmax(dim=1)
        return self.head((weights[..., None] * hidden[:, : weights.shape[1]]).sum(dim=1))


DECISIONS = {
    "is anything masked": lambda a, mask: a if bool(mask.all()) else a.masked_fill(mask == 0, -1e9),
    "how long is the longest": lambda a, mask: a[:, : int(mask.sum(dim=1).max())],
}


def padded(masked: list[int]) -> tuple[Tensor, Tensor]:
    mask = torch.ones(4 * SAMPLES, 5, dtype=torch.long)
    mask[masked, 2:] = 0
    x = torch.randn(4 * SAMPLES, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    return x, mask


@pytest.mark.parametrize("decision", DECISIONS)
def test_a_decision_that_is_another_for_a_few_samples_is_seen(decision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = made(lambda: Padded(DECISIONS[decision]))
    # The first two and the last five decide alike: the samples in between tell.
    masked = [8, 9] if decision == "is anything masked" else [i for i in range(4 * SAMPLES) if i not in {8, 9}]
    inputs = padded(masked)
    arguments = (model, inputs, IntegratedGradients(10), Layer("stem", channel_dim=-1))
    expected = whole(monkeypatch, *arguments, target=1, max_rows=4 * SAMPLES)
    found = explain(*arguments, target=1, max_rows=4 * SAMPLES).values
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-14)


def test_the_verdict_on_some_samples_is_not_that_on_others() -> None:
    model = made(lambda: Padded(DECISIONS["is anything masked"]))
    place = Layer("stem", channel_dim=-1)
    plain, mixed = padded([]), padded([8, 9])
    problem = pose(model, plain, 1).at(place)
    assert kind(shortened(problem, 10)) == "beside"
    assert kind(shortened(problem.at(place, torch.zeros(4 * SAMPLES, 1, dtype=torch.long)), 10)) == "beside"
    assert kind(shortened(problem.with_inputs(mixed), 10)) == "bare"
    problem = pose(model, mixed, 1).at(place)
    assert kind(shortened(problem, 10)) == "bare"
    without = torch.tensor([i for i in range(4 * SAMPLES) if i not in {8, 9}])
    assert kind(shortened(problem.select(without), 10)) == "beside"


def test_a_target_that_crosses_nothing_is_no_proof_for_another() -> None:
    class Second(Stages):
        def forward(self, x: Tensor, side: Tensor) -> Tensor:
            out = super().forward(x, side)
            return torch.cat([out[:, :2], out[:, 2:] * float(side[:, 0].max() > 2)], dim=1)

    model = made(lambda: Second(JOINS["an unused branch"][0]))
    x, side = drawn(4), drawn(5)
    side[:, 0] = 0
    side[2, 0] = 3  # the tail's two do not see it
    problem = pose(model, (x, side), 0).at(Layer("middle"))
    assert kind(shortened(problem, 20)) == "bare"


def test_the_check_takes_one_pass_of_the_tail() -> None:
    model, x = made(Residual), drawn(2, 5, 5)
    problem = pose(model, x, 1).at(Layer("block1"))
    assert len(problem.z[0]) == SAMPLES
    with rows_through(model.stem) as stem, rows_through(model.head) as head:
        assert isinstance(shortened(problem, 20), Tail)
        assert isinstance(shortened(problem.at(problem.place, torch.zeros(SAMPLES, 1).long()), 20), Tail)
    # Five rows at the baseline, five as a whole, two to record what leads up to the place, and the baseline once more;
    # from then on only the tail: for the trial, and for all samples.
    assert sum(stem) == 5 + 5 + 2 + 5
    assert sum(head) == 5 + 5 + 2 + 5 + 5 + SAMPLES


class Leaving(nn.Module):
    """Gives what it leaves behind for others too."""

    def __init__(self, leave: Callable[[nn.Module, Tensor], None]) -> None:
        super().__init__()
        self.linear, self.inner, self.leave = nn.Linear(4, 6), nn.Tanh(), leave

    def forward(self, x: Tensor) -> Tensor:
        h = self.inner(self.linear(x))
        self.leave(self, h)
        return h


class Reading(nn.Module):
    """A head that looks at what a module in front of the layer left behind."""

    def __init__(self, *, hooked: bool) -> None:
        super().__init__()
        left: dict[str, Tensor] = {}
        keep = (lambda m, h: None) if hooked else (lambda m, h: left.update(h=h))
        self.stem, self.middle, self.head = Leaving(keep), nn.Linear(6, 6), nn.Linear(6, 3)
        if hooked:
            self.stem.inner.register_forward_hook(lambda m, args, out: left.update(h=out))
        self.read = lambda: left["h"]

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.middle(self.stem(x)).tanh() * self.read())


class Folding(nn.Module):
    """A stem that lays out the batch along with another dimension."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.fold = nn.Linear(4, 6), nn.Flatten(0, 1)
        self.middle, self.head = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        folded = self.fold(self.stem(x).view(-1, 2, 3))
        return self.head(self.middle(folded.view(-1, 6)).tanh() + folded.view(-1, 6))


ODD = {"attribute": lambda: Reading(hooked=False), "hook": lambda: Reading(hooked=True), "folded": Folding}


@pytest.mark.parametrize("samples", [1, 2, 5, 6])
@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("alike", [False, True], ids=["each another", "all alike"])
def test_what_is_left_behind_is_that_of_the_pass(
    name: str, samples: int, alike: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x = made(ODD[name]), drawn(4)[:samples]
    arguments = (model, x[:1].expand(samples, -1) if alike else x, IntegratedGradients(64), Layer("middle"))
    expected = whole(monkeypatch, *arguments, target=1, max_rows=30)
    found = explain(*arguments, target=1, max_rows=30).values
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("samples", [2, 3, 5, 6])
def test_what_counts_for_nothing_at_the_samples_may_count_elsewhere(
    samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Greatest(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.middle, self.lift = nn.Linear(4, 6), nn.Linear(6, 6), nn.Identity()
            self.head = nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            h = self.stem(x)
            lifted = self.lift(self.middle(h) + 20 * x.abs().sum(dim=1, keepdim=True))
            return self.head(torch.maximum(lifted, h))

    arguments = (made(Greatest), drawn(4)[:samples], IntegratedGradients(64), Layer("lift"))
    expected = whole(monkeypatch, *arguments, target=1, max_rows=30)
    found = explain(*arguments, target=1, max_rows=30).values
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-13)


def test_a_baseline_on_which_the_model_fails_does_no_harm() -> None:
    class Picky(Residual):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(checked(x, x) if bool(x.any()) else checked(x, x[:0]))

    model, x = made(Picky), drawn(2, 5, 5)
    assert kind(shortened(pose(model, x, 1).at(Layer("block1")), 20)) == "whole"


def test_samples_that_cannot_be_told_apart_are_no_proof_and_no_harm() -> None:
    model = made(lambda: Stages(JOINS["another input"][0]))
    x, side = drawn(4)[:1].expand(SAMPLES, -1), drawn(5)[:1].expand(SAMPLES, -1)
    found = explain(model, (x, side), IntegratedGradients(20), Layer("middle"), target=1)
    assert found.delta.abs().max() < 1e-12


@pytest.mark.parametrize("samples", [1, 2, 3])
def test_few_samples(samples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = made(Residual), drawn(2, 5, 5)[:samples]
    arguments = (model, x, IntegratedGradients(60), Layer("block1"))
    expected = whole(monkeypatch, *arguments, target=1, max_rows=20)
    with rows_through(model.stem) as stem:
        assert torch.equal(explain(*arguments, target=1, max_rows=20).values, expected)
    assert sum(stem) < 60 * samples


def test_targets_belong_to_their_rows() -> None:
    model, x = made(Residual), drawn(2, 5, 5)
    targets = torch.tensor([0, 2, 1, 1, 0, 2])
    together = explain(model, x, IntegratedGradients(20), Layer("block1"), targets, max_rows=30).values
    for i, target in enumerate(targets.tolist()):
        alone = explain(model, x[i : i + 1], IntegratedGradients(20), Layer("block1"), target, max_rows=4).values
        torch.testing.assert_close(together[i : i + 1], alone, rtol=0, atol=1e-12)


def test_a_module_that_runs_again_is_replaced_at_the_run_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.block, self.head = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.block(self.block(self.stem(x)).tanh()).tanh())

    model, x = made(Twice), drawn(4)
    for call in (0, 1):
        arguments = (model, x, IntegratedGradients(20), Layer("block", call=call))
        expected = whole(monkeypatch, *arguments, target=1, max_rows=30)
        with rows_through(model.stem) as stem:
            assert torch.equal(explain(*arguments, target=1, max_rows=30).values, expected)
        assert sum(stem) < 20 * SAMPLES


def test_several_layers_and_what_cannot_be_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    class Parallel(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.places, self.head = nn.Embedding(9, 4), nn.Embedding(5, 4), nn.Linear(4, 3)

        def forward(self, ids: Tensor) -> Tensor:
            where = self.places(torch.arange(ids.shape[1]).expand_as(ids))
            return self.head((self.words(ids) + where).tanh().sum(dim=1))

    model = made(Parallel)
    ids: Inputs = torch.randint(1, 9, (SAMPLES, 5), generator=torch.Generator().manual_seed(2))
    both = Layers(("words", "places"))
    expected = whole(monkeypatch, model, ids, IntegratedGradients(20), both, target=1, baseline=0)
    found = explain(model, ids, IntegratedGradients(20), both, target=1, baseline=0).values
    for left, right in zip(found, expected, strict=True):
        torch.testing.assert_close(left, right, rtol=0, atol=1e-14)
    model, x = made(Residual), drawn(2, 5, 5)
    with rows_through(model.stem) as stem:
        explain(model, x, IntegratedGradients(20), Neuron("block2", (1, 2, 2)), max_rows=30)
    assert sum(stem) >= 20 * SAMPLES


def test_memory_that_runs_out_in_the_trial_only_means_the_long_way() -> None:
    class Small(Residual):
        def forward(self, x: Tensor) -> Tensor:
            if len(x) == tail.PROBED:
                raise torch.OutOfMemoryError("out of memory")
            return super().forward(x)

    model, x = made(Small), drawn(2, 5, 5)
    found = explain(model, x, IntegratedGradients(20), Layer("block1"), target=1, max_rows=8)
    assert found.delta.abs().max() < found.span.abs().max()
