import pytest
import torch
from live import peak
from metrics.evaluations import TARGET, Linear, Pair, Picture, pictures, problem_of, rows

from lightning_explain.attribution.regions import Grid, Regions, Segments
from lightning_explain.attribution.removal import feature_space, left, left_without, left_without_each

OWN = Regions(
    torch.stack([torch.arange(36) // 9, torch.arange(36) % 2, torch.arange(36) // 12, torch.arange(36) // 6 % 2]), 4
)


@pytest.fixture
def counted():
    """A picture model, and the rows that went through it."""
    model, seen = Picture(), []
    model.register_forward_hook(lambda module, args, out: seen.append(len(out)))
    return model, seen


def scores(model, x):
    with torch.no_grad():
        return model(x)[torch.arange(len(x)), TARGET[: len(x)]]


def test_what_is_removed_gives_way_to_the_fill():
    model, x = Picture(), pictures()
    masks = torch.rand(3, 4, 36, generator=torch.Generator().manual_seed(0)) < 0.5
    with problem_of(model, x, baseline=0.5) as problem:
        got = left(problem, 3, lambda sample, copy: masks[copy, sample])
    for k in range(3):
        point = torch.where(masks[k].view(4, 1, 6, 6), 0.5, x)
        torch.testing.assert_close(got[:, k], scores(model, point))


def test_regions_of_each_samples_own_are_removed_whole():
    model, x = Picture(), pictures()
    taken = torch.tensor([[True, False, False, True], [False, True, True, False], [False, False, False, False]])
    with problem_of(model, x) as problem:
        got, each = left_without(problem, OWN, taken), left_without_each(problem, OWN)
    for i in range(4):
        for k in range(3):
            gone = torch.tensor([bool(taken[k, r]) for r in OWN.ids[i].tolist()]).view(1, 1, 6, 6)
            expected = model(x[i : i + 1].masked_fill(gone, 0))[0, TARGET[i]]
            torch.testing.assert_close(got[i, k], expected.detach())
        for r in range(4):
            gone = (OWN.ids[i] == r).view(1, 1, 6, 6)
            torch.testing.assert_close(each[i, r], model(x[i : i + 1].masked_fill(gone, 0))[0, TARGET[i]].detach())
    # Samples 1 and 3 have two regions, sample 2 has three: the others take nothing away.
    torch.testing.assert_close(each[1, 2:], scores(model, x)[1].expand(2))
    torch.testing.assert_close(each[2, 3], scores(model, x)[2])


def test_each_region_alone_is_the_identity_of_sets():
    with problem_of(Pair(), (pictures(), rows())) as problem:
        regions = Grid(3)(problem.z, feature_space(problem))
        sets = torch.eye(regions.count, dtype=torch.bool)
        torch.testing.assert_close(left_without_each(problem, regions), left_without(problem, regions, sets))


def test_equal_questions_cost_no_second_row(counted):
    model, seen = counted
    with problem_of(model, pictures()) as problem:
        regions = Grid(2)(problem.z, feature_space(problem))
        taken = torch.eye(4, dtype=torch.bool)[:3]
        seen.clear()
        first = left_without(problem, regions, taken)
        assert sum(seen) == 4 * 3
        # The same by content, made anew.
        again = left_without(problem, Grid(2)(problem.z, feature_space(problem)), taken.clone())
        assert again is first
        each = left_without_each(problem, regions)
        assert sum(seen) == 4 * 3 + 4 * 4
        assert left_without_each(problem, regions) is each
        assert sum(seen) == 4 * 7


@pytest.mark.parametrize("change", ["sets", "regions", "fill", "problem"])
def test_other_questions_are_asked(counted, change):
    model, seen = counted
    with problem_of(model, pictures()) as problem:
        grid, taken = Grid(2)(problem.z, feature_space(problem)), torch.eye(4, dtype=torch.bool)[:3]
        first = left_without(problem, grid, taken)
        seen.clear()
        if change == "problem":
            problem = problem.with_inputs(pictures(seed=9))
        other = left_without(
            problem,
            Regions(grid.ids.flip(1), 4) if change == "regions" else grid,
            ~taken if change == "sets" else taken,
            "mean" if change == "fill" else "baseline",
        )
        assert sum(seen) == 4 * 3
        assert not torch.allclose(first, other)


def test_segments_are_removed_in_a_real_picture():
    x = torch.zeros(2, 2, 16, 16, dtype=torch.float64)
    x[0, 0, :8], x[0, 1, :, :8], x[1] = 1, 2, pictures(1, size=16)[0]
    model = Linear((2, 16, 16))
    with problem_of(model, x, TARGET[:2]) as problem:
        regions = Segments(4, 0.001)(problem.z, feature_space(problem))
        drops = problem.value[:, None] - left_without_each(problem, regions)
    pixel = (x * model.weight.detach()[TARGET[:2]]).sum(dim=1).flatten(1)
    assert len(set(regions.filled.tolist())) > 1
    torch.testing.assert_close(drops, regions.sums(pixel))


@pytest.mark.parametrize("fill", ["baseline", "uniform", "noisy_linear"])
def test_memory_does_not_grow_with_the_number_of_removals(fill):
    def ask(copies):
        mask = torch.rand(256, generator=torch.Generator().manual_seed(0)) < 0.3
        return lambda problem: left(problem, copies, lambda sample, copy: mask.expand(len(sample), -1), fill)

    small, large = peak(ask(3)), peak(ask(30))
    assert large < 1.1 * small, f"{large} bytes for 30 removals, {small} for 3"


def test_memory_does_not_grow_with_the_number_of_regions():
    def ask(per_side):
        return lambda problem: left_without_each(problem, Grid(per_side)(problem.z, feature_space(problem)))

    small, large = peak(ask(2)), peak(ask(8))
    assert large < 1.1 * small, f"{large} bytes for 64 regions, {small} for 4"
