"""What leads up to a layer is done once, and is there again in another pass."""

from collections.abc import Callable, Iterator
from types import MappingProxyType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lightning_explain import IntegratedGradients, Layer, explain
from lightning_explain.attribution.engine import pose
from lightning_explain.attribution.halting import captured
from lightning_explain.attribution.layers import Layers
from lightning_explain.attribution.prefix import Prefix
from lightning_explain.attribution.problem import Problem


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"out": x + self.second(self.first(x).tanh())}


class Chain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.act, self.head = Block(), Block(), nn.ReLU(inplace=True), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.one(x)["out"])
        return self.head(self.act(self.two(x)["out"] + x))


@pytest.fixture
def problem() -> Problem:
    torch.manual_seed(0)
    return pose(Chain().double().eval(), torch.randn(3, 4, dtype=torch.float64), 1)


def names(problem: Problem, prefix: Prefix) -> list[str]:
    known = {module: name for name, module in problem.model.named_modules()}
    return [known[module] for module, _ in prefix.runs]


def recorded(problem: Problem, *layers: Layer, samples: int = 3, each: bool = True) -> Prefix:
    prefix = Prefix.of(problem, layers, samples, each=each)
    assert prefix is not None
    return prefix


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (Layer("head"), ["one", "act", "two", "act", "head"]),
        (Layer("head", of="input"), ["one", "act", "two", "act"]),
        (Layer("two"), ["one", "act", "two"]),
        (Layer("two.first"), ["one", "act", "two.first"]),
        (Layer("two.second", of="input"), ["one", "act", "two.first"]),
        (Layer("one.first", of="input"), []),
        (Layer("act", call=1), ["one", "act", "two", "act"]),
        (Layer("act", call=-1), ["one", "act", "two", "act"]),
        (Layer("act"), ["one", "act"]),
    ],
    ids=str,
)
def test_the_outermost_modules_that_are_done_are_kept(problem: Problem, layer: Layer, expected: list[str]) -> None:
    assert names(problem, recorded(problem, layer)) == expected


def test_of_several_layers_the_first_that_is_reached_counts(problem: Problem) -> None:
    assert names(problem, recorded(problem, *Layers(("head", "two")).layers)) == ["one", "act", "two"]


@pytest.mark.parametrize("rows", [[0, 1, 2], [2, 2, 0, 1, 0], [1]], ids=str)
@pytest.mark.parametrize("name", ["two", "two.second", "head", "act"])
def test_rows_are_given_what_is_their_samples(problem: Problem, name: str, rows: list[int]) -> None:
    index = torch.tensor(rows)
    prefix, expected = recorded(problem, Layer(name)), problem.model(problem.inputs[index])  # type: ignore[index]
    nothing = torch.full((len(rows), 4), torch.nan, dtype=torch.float64)  # which nobody looks at
    with prefix.skipped(index):
        torch.testing.assert_close(problem.model(nothing), expected, rtol=0, atol=1e-14)
    assert torch.equal(problem.model(problem.inputs[index]), expected)  # type: ignore[index]


def test_a_bare_prefix_gives_all_rows_the_first_sample_and_takes_no_memory(problem: Problem) -> None:
    prefix = recorded(problem, Layer("two"), samples=2, each=False)
    with prefix.skipped(torch.tensor([2, 1, 2, 0])):
        (found,) = captured(problem, Layer("two"), problem.inputs[:1].expand(4, -1), halts=False)  # type: ignore[index]
    (first,) = captured(problem, Layer("two"), problem.inputs[:1], halts=False)  # type: ignore[index]
    torch.testing.assert_close(found, first.expand(4, -1), rtol=0, atol=1e-14)
    assert prefix.bytes == 3 * 2 * 4 * 8


def test_what_is_of_no_sample_is_given_as_it_is() -> None:
    class Positions(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.count, self.head = nn.Embedding(7, 4), nn.Identity(), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            where = self.embedding(torch.arange(7))
            return self.head((x[:, None] + where) * self.count(torch.tensor(2.0))).sum(dim=1)

    torch.manual_seed(0)
    problem = pose(Positions().eval(), torch.randn(3, 4), 1)
    prefix, rows = recorded(problem, Layer("head", of="input")), torch.tensor([1, 1, 0, 2])
    with prefix.skipped(rows):
        assert torch.equal(problem.model(problem.inputs[rows]), problem.model(problem.inputs[rows]))  # type: ignore[index]
    assert names(problem, prefix) == ["embedding", "count"]


def test_a_run_that_would_have_another_number_is_refused() -> None:
    class Inside(nn.Module):
        def __init__(self, shared: nn.Module) -> None:
            super().__init__()
            self.shared = shared

        def forward(self, x: Tensor) -> Tensor:
            return self.shared(x)  # type: ignore[no-any-return]

    shared = nn.Linear(4, 4)
    problem = pose(nn.Sequential(Inside(shared), nn.Tanh(), shared).eval(), torch.randn(3, 4), 1)
    assert Prefix.of(problem, [Layer("0.shared", call=1)], 3, each=True) is None
    assert Prefix.of(problem, [Layer("0.shared", call=0)], 3, each=True) is not None


def test_a_layer_that_is_not_reached_has_no_prefix(problem: Problem) -> None:
    assert Prefix.of(problem, [Layer("one", call=5)], 3, each=True) is None


@pytest.mark.parametrize("own", [False, True], ids=["of its class", "its own"])
def test_forward_functions_are_given_back(problem: Problem, own: bool) -> None:
    one = problem.model.one
    assert isinstance(one, Block)
    mine = one.forward
    if own:
        vars(one)["forward"] = mine
    before = {name: dict(vars(module)) for name, module in problem.model.named_modules()}
    prefix = recorded(problem, Layer("two"))
    with pytest.raises(RuntimeError), prefix.skipped(torch.tensor([0])):
        raise RuntimeError
    with pytest.raises(RuntimeError), prefix.skipped(torch.tensor([0, 1])):
        problem.model.head(torch.zeros(3, 5))  # type: ignore[operator]
    after = {name: dict(vars(module)) for name, module in problem.model.named_modules()}
    assert [list(held) for held in after.values()] == [list(held) for held in before.values()]
    assert vars(one).get("forward") is (mine if own else None)


def test_hooks_of_the_user_see_what_they_saw(problem: Problem) -> None:
    one, seen = problem.model.one, list[Any]()
    assert isinstance(one, Block)
    one.register_forward_hook(lambda _, args, out: {"out": out["out"] + 1})
    prefix, expected = recorded(problem, Layer("two")), problem.model(problem.inputs)
    one.register_forward_hook(lambda _, args, out: seen.append(out["out"]))
    with prefix.skipped(torch.arange(3)):
        assert torch.equal(problem.model(problem.inputs), expected)
    assert len(seen) == 1


class Named(list[Tensor]):
    pass


GIVEN: dict[str, tuple[Callable[[Tensor], Any], Callable[[Any], Tensor], bool]] = {
    # name: (what a module gives, how it is read, whether that can be given again)
    "a named tuple of torch": (lambda h: torch.stack([h, h]).max(dim=0), lambda given: given.values, True),
    "a list of a class of its own": (lambda h: Named([h]), lambda given: given[0], True),
    "a number beside it": (lambda h: (h, 2.0, None), lambda given: given[0], True),
    "a mapping that nobody can copy": (lambda h: MappingProxyType({"h": h}), lambda given: given["h"], False),
    "a sparse tensor": (lambda h: h.to_sparse(), lambda given: given.to_dense(), False),
    "an iterator": (lambda h: iter([h, h]), next, False),
    "a function": (lambda h: lambda: h, lambda given: given(), False),
    "a tensor that knows more": (lambda h: marked(h), lambda given: given * given.marked, True),
}


def marked(h: Tensor) -> Tensor:
    h.marked = 1.0  # type: ignore[attr-defined]
    return h


@pytest.mark.parametrize("samples", [1, 3, 5])
@pytest.mark.parametrize("given", GIVEN)
def test_what_cannot_be_given_again_is_computed_again(given: str, samples: int) -> None:
    give, read, lasts = GIVEN[given]

    class Giving(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Any:
            return give(self.linear(x))

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two, self.head = Giving(), nn.Linear(4, 4), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            given = self.one(x)
            h = read(given)
            return self.head(self.two(h) + (h if isinstance(given, Iterator) else read(given)))

    torch.manual_seed(0)
    model, x = Model().double().eval(), torch.randn(samples, 4, dtype=torch.float64)
    prefix = recorded(pose(model, x, 1), Layer("two"), samples=samples)
    assert names(pose(model, x, 1), prefix) == (["one", "two"] if lasts else ["one.linear", "two"])
    assert explain(model, x, IntegratedGradients(50), Layer("two"), target=1).delta.abs().max() < 1e-6


def test_scripted_modules_run_as_ever() -> None:
    scripted = torch.jit.script(nn.Sequential(nn.Linear(4, 4), nn.Tanh()))
    problem = pose(nn.Sequential(scripted, nn.Linear(4, 4), nn.Linear(4, 3)).eval(), torch.randn(3, 4), 1)
    prefix, expected = recorded(problem, Layer("1")), problem.model(problem.inputs)
    assert names(problem, prefix) == ["1"]
    with prefix.skipped(torch.arange(3)):
        assert torch.equal(problem.model(problem.inputs), expected)
