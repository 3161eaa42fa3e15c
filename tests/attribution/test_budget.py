import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from cases import few_features
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lightning_explain import (
    METHODS,
    RISE,
    FeaturePermutation,
    GradCAM,
    Input,
    IntegratedGradients,
    Layer,
    Neuron,
    Occlusion,
    ShapleySampling,
    SmoothGrad,
    VarGrad,
    explain,
)
from lightning_explain.attribution import budget
from lightning_explain.attribution.budget import FIRST_CHUNK, LARGEST_CHUNK_ON_CPU, RowBudget
from lightning_explain.attribution.engine import pose
from lightning_explain.attribution.memory import RowSize
from lightning_explain.attribution.methods import Method
from lightning_explain.attribution.place import Place


class Clock:
    """Time that passes only by the work done: a fixed cost for each chunk, another for each row."""

    def __init__(self, per_chunk: float, per_row: float) -> None:
        self.now, self.per_chunk, self.per_row = 0.0, per_chunk, per_row
        self.chunks: list[int] = []

    def perf_counter(self) -> float:
        return self.now

    def body(self, rows: slice) -> None:
        size = rows.stop - rows.start
        self.chunks.append(size)
        self.now += self.per_chunk + self.per_row * size


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float, float], Clock]:
    def make(per_chunk: float, per_row: float) -> Clock:
        made = Clock(per_chunk, per_row)
        monkeypatch.setattr(budget, "time", made)
        return made

    return make


@given(total=st.integers(0, 200), max_rows=st.none() | st.integers(1, 64), limit=st.integers(1, 300))
def test_every_row_is_done_once_and_in_order_whatever_the_memory(total: int, max_rows: int | None, limit: int) -> None:
    done: list[int] = []

    def body(rows: slice) -> None:
        assert max_rows is None or rows.stop - rows.start <= max_rows
        if rows.stop - rows.start > limit:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        done.extend(range(rows.start, rows.stop))

    RowBudget(max_rows).run(total, "forward", body)
    assert done == list(range(total))


def test_chunks_grow_while_that_pays(clock: Callable[[float, float], Clock]) -> None:
    free = clock(1.0, 1e-6)
    RowBudget().run(20_000, "forward", free.body)
    assert free.chunks[:2] == [2, FIRST_CHUNK]
    assert set(free.chunks[-4:-1]) == {LARGEST_CHUNK_ON_CPU}
    assert all(b in {a, 2 * a} for a, b in zip(free.chunks[1:], free.chunks[2:-1], strict=False))


def test_of_equally_fast_chunks_the_smallest_is_kept(clock: Callable[[float, float], Clock]) -> None:
    steady = clock(0.0, 1.0)
    rows = RowBudget()
    rows.run(10_000, "forward", steady.body)
    assert steady.chunks[-2] == FIRST_CHUNK
    steady.chunks.clear()
    rows.run(10_000, "forward", steady.body)
    assert set(steady.chunks[:-1]) == {FIRST_CHUNK}  # it remembers


def test_growing_ends_where_it_gets_slower(clock: Callable[[float, float], Clock]) -> None:
    made = clock(1.0, 0.0)

    def spills(rows: slice) -> None:
        made.body(rows)
        made.now += 100.0 * (rows.stop - rows.start > 128)

    RowBudget().run(20_000, "forward", spills)
    assert max(made.chunks) == 256
    assert made.chunks[-2] == 128


def test_a_slow_moment_does_not_end_the_growing(clock: Callable[[float, float], Clock]) -> None:
    made = clock(1.0, 0.0)

    def disturbed(rows: slice) -> None:
        made.body(rows)
        made.now += 50.0 * (len(made.chunks) % 3 == 0)

    RowBudget().run(20_000, "forward", disturbed)
    assert max(made.chunks) == LARGEST_CHUNK_ON_CPU


def test_no_chunk_takes_more_than_its_share_of_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    row = torch.zeros(1000, dtype=torch.float64)
    monkeypatch.setattr(budget, "available", lambda device: 4 * 20 * (row.nbytes + 4 * 8))
    sizes = []

    def body(rows: slice) -> None:
        sizes.append(rows.stop - rows.start)
        torch.stack([row + i for i in range(rows.start, rows.stop)]).sum()

    RowBudget().run(500, "forward", body)
    assert sizes[0] == 2
    assert max(sizes) <= 20
    assert max(sizes) >= 8


def test_a_chunk_that_is_not_full_teaches_nothing(clock: Callable[[float, float], Clock]) -> None:
    made = clock(1.0, 0.0)
    rows = RowBudget()
    for _ in range(10):
        rows.run(FIRST_CHUNK - 1, "forward", made.body)
    made.chunks.clear()
    rows.run(10 * FIRST_CHUNK, "forward", made.body)
    assert made.chunks[0] == FIRST_CHUNK


def test_kinds_learn_by_themselves(clock: Callable[[float, float], Clock]) -> None:
    made = clock(1.0, 0.0)
    rows = RowBudget()
    rows.run(50_000, "forward", made.body)
    made.chunks.clear()
    rows.run(FIRST_CHUNK + 2, "backward", made.body)
    rows.run(5000, "forward", made.body)
    assert made.chunks[:3] == [2, FIRST_CHUNK, LARGEST_CHUNK_ON_CPU]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:128] err == 0. DefaultCPUAllocator: can't allocate memory: you"),
        RuntimeError("[enforce fail at CPUAllocator.cpp:76] data. DefaultCPUAllocator: not enough memory"),
        RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
    ids=lambda error: str(error)[:20],
)
def test_every_kind_of_memory_error_halves_the_chunk(error: RuntimeError) -> None:
    sizes: list[int] = []

    def body(rows: slice) -> None:
        sizes.append(rows.stop - rows.start)
        if sizes[-1] > 5:
            raise error

    rows = RowBudget(20)
    rows.run(23, "forward", body)
    assert sizes == [20, 10, 5, 5, 5, 5, 3]
    rows.run(5, "forward", body)
    assert sizes[-1] == 5


def test_other_errors_and_single_rows_that_do_not_fit_are_raised() -> None:
    def body(rows: slice) -> None:
        raise torch.OutOfMemoryError(f"CUDA out of memory at {rows.start}")

    with pytest.raises(torch.OutOfMemoryError, match="at 0"):
        RowBudget(8).run(8, "forward", body)
    calls: list[slice] = []

    def wrong(rows: slice) -> None:
        calls.append(rows)
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        RowBudget(8).run(8, "forward", wrong)
    assert len(calls) == 1


def test_what_did_not_fit_is_freed_before_the_next_try() -> None:
    refs: list[weakref.ref[Tensor]] = []
    alive: list[int] = []

    def body(rows: slice) -> None:
        alive.append(sum(ref() is not None for ref in refs))
        held = torch.empty(rows.stop - rows.start)
        refs.append(weakref.ref(held))
        if len(held) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    gc.disable()
    try:
        RowBudget(8).run(8, "forward", body)
    finally:
        gc.enable()
    assert alive == [0] * len(alive)
    assert len(alive) == 6


@pytest.mark.parametrize("max_rows", [0, -3])
def test_at_least_a_row(max_rows: int) -> None:
    with pytest.raises(ValueError, match=f"max_rows must be at least 1, got {max_rows}"):
        RowBudget(max_rows)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2, 8, 3, padding=1)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.conv2(torch.tanh(self.conv1(x)))).mean(dim=(2, 3)))


PLACES = (Input(), Layer("conv1"), Neuron("conv2", (0, 1, 1)))


WITHOUT_ATTENTION = [name for name in METHODS if not METHODS[name].needs_attention]


@pytest.mark.parametrize("place", PLACES, ids=str)
@pytest.mark.parametrize("name", WITHOUT_ATTENTION)
def test_no_more_rows_at_once_than_asked_for(name: str, place: Place) -> None:
    model, rows = Net(), []
    model.register_forward_pre_hook(lambda _model, args: rows.append(len(args[0])))
    x = torch.randn(5, 2, 6, 6)
    mask = few_features(model, x, place)
    rows.clear()
    explain(model, x, name, place, target=1, max_rows=3, feature_mask=mask)
    assert max(rows) <= 3
    assert sum(rows) >= 5


@pytest.mark.parametrize("name", WITHOUT_ATTENTION)
def test_running_out_of_memory_changes_nothing_but_the_chunks(name: str) -> None:
    model, x = Net().double(), torch.randn(9, 2, 6, 6, dtype=torch.float64)
    masks = [few_features(model, x, place) for place in PLACES]
    expected = [
        explain(model, x, name, place, target=1, feature_mask=mask).point
        for place, mask in zip(PLACES, masks, strict=True)
    ]
    failures: list[int] = []

    def small(_model: nn.Module, args: tuple[Tensor]) -> None:
        if len(args[0]) > 3:
            failures.append(len(args[0]))
            raise torch.OutOfMemoryError("CUDA out of memory.")

    model.register_forward_pre_hook(small)
    for place, mask, values in zip(PLACES, masks, expected, strict=True):
        found = explain(model, x, name, place, target=1, feature_mask=mask).point
        torch.testing.assert_close(found, values, rtol=0, atol=1e-12)
    assert failures


class Live(TorchDispatchMode):
    """Bytes of all tensor storages that are alive, now and at most."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor):
                self.follow(leaf.untyped_storage())
        return out

    def follow(self, storage: Any) -> None:
        key = storage._cdata
        if key not in self.known:
            self.known.add(key)
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self.forget, key, storage.nbytes())

    def forget(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.now -= size


def peak(method: Method, place: Place, *, few: bool = False) -> int:
    model, x = Net(), torch.randn(8, 2, 16, 16)
    mask = few_features(model, x, place) if few else None
    gc.collect()
    with Live() as live:
        explain(model, x, method, place, target=1, max_rows=8, feature_mask=mask)
    assert live.peak > x.numel() * 4
    return live.peak


@pytest.mark.parametrize("place", PLACES, ids=str)
@pytest.mark.parametrize(
    ("little", "much"),
    [
        (IntegratedGradients(16), IntegratedGradients(160)),
        (SmoothGrad(n_samples=4), SmoothGrad(n_samples=40)),
        (VarGrad(n_samples=4), VarGrad(n_samples=40)),
        (SmoothGrad(IntegratedGradients(4), n_samples=4), SmoothGrad(IntegratedGradients(40), n_samples=8)),
        (Occlusion(8), Occlusion(2)),
        (Occlusion(4, 4), Occlusion(4, 1)),
        (VarGrad(GradCAM(signed=True), n_samples=4), VarGrad(GradCAM(signed=True), n_samples=40)),
    ],
    ids=["ig", "smoothgrad", "vargrad", "nested", "windows", "overlapping", "grad_cam"],
)
def test_memory_does_not_grow_with_the_work(little: Method, much: Method, place: Place) -> None:
    small, large = peak(little, place), peak(much, place)
    assert large < 1.1 * small, f"{large} bytes for {much}, {small} for {little}"


@pytest.mark.parametrize("place", PLACES, ids=str)
@pytest.mark.parametrize(
    ("little", "much"),
    [
        (FeaturePermutation(2), FeaturePermutation(20)),
        (ShapleySampling(2), ShapleySampling(20)),
        (RISE(20), RISE(200)),
    ],
    ids=["permutation", "shapley_sampling", "rise"],
)
def test_memory_does_not_grow_with_the_draws(
    little: Method, much: Method, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lightning_explain.attribution.coalitions.ROWS_IN_A_BLOCK", 64)
    few = not isinstance(little, RISE)
    small, large = peak(little, place, few=few), peak(much, place, few=few)
    assert large < 1.1 * small, f"{large} bytes for {much}, {small} for {little}"


@pytest.mark.parametrize("max_rows", [None, 2, 50])
def test_it_says_how_far_it_is(max_rows: int | None) -> None:
    said: list[tuple[int, int]] = []
    chunks: list[slice] = []
    rows = RowBudget(max_rows, progress=lambda done, total: said.append((done, total)))
    for total in (7, 3, 0):
        said.clear()
        chunks.clear()
        rows.run(total, "forward", chunks.append)
        assert said == [(0, total), *((chunk.stop, total) for chunk in chunks)]


def test_chunks_that_did_not_fit_are_not_progress() -> None:
    said: list[int] = []

    def body(rows: slice) -> None:
        if rows.stop - rows.start > 2:
            raise RuntimeError("out of memory")

    RowBudget(8, progress=lambda done, _: said.append(done)).run(5, "forward", body)
    assert said == [0, 2, 4, 5]


def sizes_of_chunks(total: int, step: int, sum_of_all: int, row: int = 100, memory: int = 2**34) -> list[int]:
    """Chunks of work whose operators make ``row`` float32 numbers of a row, where a guess was made before."""
    sizes: list[int] = []

    def body(rows: slice) -> None:
        sizes.append(rows.stop - rows.start)
        torch.zeros(sizes[-1], row)

    guess = RowSize(step, sum_of_all, torch.device("cpu"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(budget, "available", lambda device: memory)
        patch.setattr(budget, "QUICK", 0)
        RowBudget().run(total, "forward", body, lambda: guess)
    return sizes


def test_what_is_surely_small_is_not_watched() -> None:
    small = budget.NEGLIGIBLE // budget.LARGEST_CHUNK + 1
    assert sizes_of_chunks(70, step=400, sum_of_all=small)[0] == FIRST_CHUNK


def test_nobody_asks_for_memory_of_which_every_device_has_enough() -> None:
    little = budget.NEGLIGIBLE // budget.LARGEST_CHUNK
    assert sizes_of_chunks(600, step=400, sum_of_all=little, memory=0)[0] == budget.LARGEST_CHUNK_ON_CPU


def test_chunks_that_take_no_time_are_doubled_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    seconds = iter([budget.QUICK / 2] * 2 + [1.0] * 10)
    now = [0.0]

    def clock() -> float:
        return now[0]

    def body(rows: slice) -> None:
        sizes.append(rows.stop - rows.start)
        now[0] += next(seconds)

    monkeypatch.setattr(budget.time, "perf_counter", clock)
    guess = RowSize(1, budget.NEGLIGIBLE // budget.LARGEST_CHUNK, torch.device("cpu"))
    RowBudget().run(5000, "forward", body, lambda: guess)
    assert sizes == [256, 512, 1024, 1024, 1024, 1024, 136]


def test_a_whole_chunk_is_watched_where_no_operator_can_take_too_much() -> None:
    assert sizes_of_chunks(16, step=400, sum_of_all=2**40) == [16]
    assert sizes_of_chunks(70, step=400, sum_of_all=2**40)[:2] == [FIRST_CHUNK, FIRST_CHUNK]


def test_the_second_chunk_is_weighed_where_the_first_must_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    weighed: list[int] = []
    kept = budget._weighed

    def watched(rows: slice, *others: object) -> object:
        weighed.append(rows.start)
        return kept(rows, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(budget, "_weighed", watched)
    guessed = 2**34 // 4 // FIRST_CHUNK
    assert sizes_of_chunks(16, step=400, sum_of_all=guessed) == [16]
    assert not weighed
    assert sizes_of_chunks(70, step=400, sum_of_all=guessed) == [FIRST_CHUNK, FIRST_CHUNK, 6]
    assert weighed == [FIRST_CHUNK]


def test_a_guess_that_is_too_low_is_noticed() -> None:
    sizes = sizes_of_chunks(70, step=1, sum_of_all=900_000, row=1_000_000, memory=4 * 8 * 4_000_000)
    assert sizes[:3] == [FIRST_CHUNK, 2, 8]
    assert max(sizes[1:]) == 8


def test_a_second_chunk_that_does_not_fit_is_halved() -> None:
    sizes: list[int] = []

    def body(rows: slice) -> None:
        sizes.append(rows.stop - rows.start)
        if rows.start and sizes[-1] > 20:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(budget, "available", lambda device: 2**34)
        size = RowSize(400, 2**34 // 4 // FIRST_CHUNK, torch.device("cpu"))
        RowBudget().run(70, "forward", body, lambda: size)
    assert sizes == [32, 32, 16, 16, 6]


def test_two_rows_go_alone_where_an_operator_could_take_too_much() -> None:
    assert sizes_of_chunks(70, step=2**30, sum_of_all=2**40)[:2] == [2, FIRST_CHUNK]


def test_a_watched_chunk_is_stopped_when_it_takes_more_than_its_share() -> None:
    # 400 bytes a row, where 12,800 / 4 may be taken: eight rows at once.
    sizes = sizes_of_chunks(70, step=1, sum_of_all=2**40, memory=4 * 8 * 400)
    assert sizes[:3] == [FIRST_CHUNK, 2, 8]
    assert max(sizes[1:]) == 8


@pytest.mark.parametrize("step", [1, 2**30], ids=["a whole chunk", "two rows"])
def test_work_inside_of_other_work_is_not_weighed_with_it(step: int) -> None:
    # 400 bytes a row, and once 500 rows of something else: 12,800 bytes may be taken.
    sizes: dict[str, list[int]] = {"inner": [], "outer": []}
    rows, size = RowBudget(), RowSize(step, 400, torch.device("cpu"))

    def inner(chunk: slice) -> None:
        sizes["inner"].append(len(torch.zeros(chunk.stop - chunk.start, 100)))

    def outer(chunk: slice) -> None:
        if not sizes["inner"]:
            rows.run(500, "inner", inner, lambda: size)
        sizes["outer"].append(len(torch.zeros(chunk.stop - chunk.start, 100)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(budget, "available", lambda device: 4 * 32 * 400)
        patch.setattr(budget, "NEGLIGIBLE", 0)
        rows.run(70, "outer", outer, lambda: size)
    assert sum(sizes["inner"]) == 500
    assert sizes["outer"] == [32, 32, 6]


def test_work_inside_of_other_work_is_no_progress() -> None:
    said: list[tuple[int, int]] = []
    rows = RowBudget(3, progress=lambda done, total: said.append((done, total)))
    rows.run(5, "outer", lambda _: rows.run(9, "inner", lambda _: None))
    assert said == [(0, 5), (3, 5), (5, 5)]


def test_no_budget_learns_from_a_neurons_variable() -> None:
    # It is that of the inputs: next to nothing a row, where the neuron itself takes a pass.
    problem = pose(nn.Sequential(nn.Linear(3, 4), nn.ReLU()), torch.randn(5, 3), 0)
    problem.at(Neuron("0", 1)).z  # noqa: B018
    assert "forward@0[1]" not in problem.budget._chunks


def test_on_a_cpu_chunks_of_large_rows_begin_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "FIRST_BYTES_ON_CPU", 5 * 400)
    sizes = sizes_of_chunks(7, step=2**30, sum_of_all=2**40)
    assert sizes == [2, 5]


def test_a_small_model_is_run_once_for_a_gradient() -> None:
    model, rows = Net(), []
    model.register_forward_pre_hook(lambda _model, args: rows.append(len(args[0])))
    explain(model, torch.randn(7, 2, 6, 6), "saliency", target=1)
    assert rows == [7]


@pytest.mark.parametrize(
    ("each", "sizes"),
    [
        (2**20, [128, 512, 512, 248]),  # as many as the guess says; then as many as a quarter of the memory holds
        (2**10, [128, 1024, 248]),
        (0, [128, 1024, 248]),
    ],
)
def test_on_a_gpu_the_first_chunk_is_as_the_guess_says(
    each: int, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    taken = [0]

    def body(rows: slice) -> None:
        seen.append(rows.stop - rows.start)
        taken[0] += each * seen[-1]

    counted = {"allocated_bytes": {"all": {"allocated": 0}}}

    def counters(device: torch.device) -> dict[str, dict[str, dict[str, int]]]:
        counted["allocated_bytes"]["all"]["allocated"] = taken[0]
        return counted

    monkeypatch.setattr(torch.cuda, "memory_stats_as_nested_dict", counters)
    monkeypatch.setattr(budget, "available", lambda device: 2**31)
    RowBudget().run(1400, "forward", body, lambda: RowSize(1, 2**22, torch.device("cuda")))
    assert seen == sizes


def test_on_a_gpu_a_first_chunk_that_does_not_fit_is_halved(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def body(rows: slice) -> None:
        seen.append(rows.stop - rows.start)
        if seen[-1] > 40:
            raise torch.OutOfMemoryError

    monkeypatch.setattr(torch.cuda, "memory_stats_as_nested_dict", lambda device: {})
    monkeypatch.setattr(budget, "available", lambda device: 2**31)
    RowBudget().run(100, "forward", body, lambda: RowSize(1, 2**22, torch.device("cuda")))
    assert seen == [100, 50, 25, 25, 25, 25]


@pytest.mark.parametrize(("device", "first"), [("cpu", FIRST_CHUNK), ("cuda", budget.LARGEST_CHUNK)])
def test_slices_begin_small_only_where_something_is_learnt_from_it(device: str, first: int) -> None:
    assert next(RowBudget().slices(5000, torch.device(device))) == slice(0, first)
    assert next(RowBudget(7).slices(5000, torch.device(device))) == slice(0, 7)
