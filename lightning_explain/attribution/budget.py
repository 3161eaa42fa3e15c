"""Rows are the currency: how many go through the model at once."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch

from lightning_explain.attribution.memory import (
    Allocations,
    Footprint,
    RowSize,
    TooLargeError,
    Tripwire,
    available,
    uncounted,
)

Body = Callable[[slice], None]

Progress = Callable[[int, int], None]
"""(rows done, rows in all) -> nothing: told of each piece of work, from (0, rows) on."""

FIRST_ROWS = 2
FIRST_CHUNK = 32
LARGEST_CHUNK = 1024
LARGEST_CHUNK_ON_CPU = 256
SHARE_OF_MEMORY = 0.25
FIRST_BYTES_ON_CPU = 2**28
"""What operators make of the first chunk, all together: from there on allocations are slow, and caches too small."""
LARGEST_STEP = 2**30
"""What a single operator may make, in bytes, of a chunk of which nothing is known."""
SURELY_SMALL = 1 / 16
"""The part of its share of memory below which even a generous guess needs no looking."""
NEGLIGIBLE = 2**27
"""Bytes, by the same guess, of which there is no need to ask whether a device has them."""
QUICK = 1e-3
"""Seconds; a chunk that takes less is too small, and nothing else is to be learnt from it."""
TRIALS = 3
STILL_FAST = 0.9
AS_FAST = 0.95
OUT_OF_MEMORY = ("out of memory", "not enough memory", "can't allocate memory", "alloc_failed")


@dataclass
class _Chunk:
    """The chunk size in use for one kind of work, and the best rate that each size has shown.

    Until it is ``weighed`` nobody has looked at how much memory a row takes.
    """

    rows: int
    settled: bool = False
    largest: int = LARGEST_CHUNK
    weighed: bool = True
    rates: dict[int, float] = field(default_factory=dict)
    trials: int = 0


@dataclass
class RowBudget:
    """Splits work into chunks of rows, so that memory is that of one chunk whatever the work is.

    Without ``max_rows`` the memory that the first rows of a kind of work take is weighed; no chunk may take more than a
    quarter of what is available. A whole chunk is weighed, and stopped if it takes more, where the sizes of the model
    and of its inputs say that no single operator can; else two rows go alone. Weighing costs a small pass a fifth of
    its time: where a generous guess says that the first chunk must fit, only the second is weighed, and none where even
    the largest must. A GPU's allocator counts anyway: there the first chunk is what the guess says, and weighed.

    Then, on a GPU, chunks are as large as that allows, 1024 rows at most: what costs there is to launch a pass. On a
    CPU they begin with 32 rows, fewer where these make much, 256 where they make next to nothing. They are doubled at
    once where they take no time, and then for as long as that is not slower by the row; of the sizes tried the smallest
    that is about as fast as any is kept. Large chunks are often slower there than medium ones, where the activations
    leave the cache. When memory runs out all the same, the chunk is halved and tried again. What was learnt is kept,
    for each kind of work, as long as the budget lives.

    Args:
        max_rows: Rows in a chunk, at most; with it the chunks, and so the last bits of floating
            point sums, do not depend on how fast the machine is. At least 1.
        progress: Told how far a piece of work is, at its beginning and after each chunk.

    Raises:
        ValueError: If ``max_rows`` is less than 1.

    Example:
        >>> RowBudget(max_rows=2).run(5, "forward", lambda rows: print(rows.start, rows.stop))
        0 2
        2 4
        4 5
    """

    max_rows: int | None = None
    progress: Progress | None = field(default=None, repr=False)
    _chunks: dict[str, _Chunk] = field(default_factory=dict, repr=False)
    _depth: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.max_rows is not None and self.max_rows < 1:
            raise ValueError(f"max_rows must be at least 1, got {self.max_rows}.")

    def run(self, total: int, kind: str, body: Body, guess: Callable[[], RowSize] | None = None) -> None:
        """Call ``body`` for consecutive slices of ``range(total)``.

        A body may ask for what takes a run of its own, of all samples: that is not weighed with the body's rows, and is
        no progress.

        Args:
            total: The number of rows.
            kind: What the work is; chunk sizes are learnt for each kind by itself.
            body: Does the rows of one slice. It may be called again, with a smaller slice that
                begins at the same row, after it ran out of memory: it must not have added
                anything to a result by then.
            guess: What a row may take, asked for before the first; None: nobody knows.
        """
        self._depth += 1
        try:
            with uncounted():
                self._run(total, kind, body, guess)
        finally:
            self._depth -= 1

    def _run(self, total: int, kind: str, body: Body, guess: Callable[[], RowSize] | None) -> None:
        chunk = self._chunks.get(kind)
        start = 0
        self._tell(start, total)
        if chunk is None and total:
            start, chunk = self._begin(kind, total, body, guess)
            if start:
                self._tell(start, total)
        while start < total and chunk is not None:
            rows = slice(start, min(start + chunk.rows, total))
            if not chunk.weighed:
                done, self._chunks[kind] = _weighed(rows, body)
                start, chunk = start + done, self._chunks[kind]
                self._tell(start, total)
                continue
            began = _now(chunk)
            if _fits(body, rows):
                _learn(chunk, rows.stop - rows.start, _now(chunk) - began)
                start = rows.stop
                self._tell(start, total)
            else:
                self._shrink(chunk, rows)

    def slices(self, total: int, device: torch.device) -> Iterator[slice]:
        """Slices for work that is itself made of :meth:`run` calls, and so not worth timing.

        Args:
            total: The number of rows.
            device: Where they are: on a GPU there is nothing to be learnt from few.

        Yields:
            Consecutive slices of ``range(total)``.
        """
        start, first = 0, self.max_rows or (FIRST_CHUNK if device.type == "cpu" else LARGEST_CHUNK)
        while start < total:
            # Asked again each time: the work of the first slice teaches how many rows go at once.
            stop = min(start + max((chunk.rows for chunk in self._chunks.values()), default=first), total)
            yield slice(start, stop)
            start = stop

    def _tell(self, done: int, total: int) -> None:
        if self.progress is not None and self._depth == 1:
            self.progress(done, total)

    def _begin(self, kind: str, total: int, body: Body, guess: Callable[[], RowSize] | None) -> tuple[int, _Chunk]:
        if self.max_rows is not None:
            done, chunk = 0, _Chunk(self.max_rows, settled=True)
        else:
            done, chunk = _first(total, body, None if guess is None else guess())
        self._chunks[kind] = chunk
        return done, chunk

    def _shrink(self, chunk: _Chunk, rows: slice) -> None:
        chunk.rows, chunk.settled = (rows.stop - rows.start) // 2, True
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _first(total: int, body: Body, size: RowSize | None) -> tuple[int, _Chunk]:
    # How many rows are done by then, and the chunk to go on with.
    if size is not None and LARGEST_CHUNK * size.total <= NEGLIGIBLE:
        return 0, _chunk(size.device, LARGEST_CHUNK_ON_CPU, LARGEST_CHUNK)
    memory = None if size is None else available(size.device)
    if size is not None and memory is not None:
        share, most = SHARE_OF_MEMORY * memory, _most(size.device)
        if most * size.total <= SURELY_SMALL * share:
            return 0, _chunk(size.device, FIRST_CHUNK, most)
        if size.device.type == "cuda":  # whose allocator counts for nothing, and says when there is no more
            first = min(total, most, max(FIRST_ROWS, int(share / size.total)))
            return _weighed(slice(0, first), body, meter=Allocations(size.device))
        rows = slice(0, min(total, FIRST_CHUNK))
        if rows.stop * size.total <= share:
            with Tripwire(share):
                fits = _fits(body, rows)
            if fits:
                return rows.stop, _Chunk(FIRST_CHUNK, weighed=False)
        elif rows.stop * size.step <= min(share, LARGEST_STEP):
            return _weighed(rows, body, share)
    return _weighed(slice(0, min(total, FIRST_ROWS)), body)


def _weighed(
    rows: slice, body: Body, limit: float | None = None, meter: Allocations | None = None
) -> tuple[int, _Chunk]:
    with meter or Footprint(limit) as footprint:
        fits = _fits(body, rows)
    done = rows.stop - rows.start
    if fits:
        return done, _next_chunk(footprint, done)
    if limit is None:
        return 0, _Chunk(max(1, done // 2), settled=True)
    return _weighed(slice(rows.start, rows.start + min(done, FIRST_ROWS)), body)


def _next_chunk(footprint: Footprint | Allocations, rows: int) -> _Chunk:
    memory, on_cpu = available(footprint.device), footprint.device.type == "cpu"
    each = max(footprint.bytes / rows, 1)
    fitting = _most(footprint.device) if memory is None else int(SHARE_OF_MEMORY * memory / each)
    largest = max(1, min(_most(footprint.device), fitting))
    first = max(1, min(FIRST_CHUNK, int(FIRST_BYTES_ON_CPU / each))) if on_cpu else FIRST_CHUNK
    return _chunk(footprint.device, first, largest)


def _chunk(device: torch.device, first: int, largest: int) -> _Chunk:
    # On a GPU a pass of few rows costs its launches, and nothing is learnt from it: as many as fit, from the start.
    if device.type != "cpu":
        return _Chunk(largest, settled=True, largest=largest)
    return _Chunk(min(first, largest), largest=largest)


def _most(device: torch.device) -> int:
    # On a CPU more rows bring nothing, and a busy moment must not lead there.
    return LARGEST_CHUNK_ON_CPU if device.type == "cpu" else LARGEST_CHUNK


def _now(chunk: _Chunk) -> float:
    if not chunk.settled and torch.cuda.is_initialized():
        torch.cuda.synchronize()  # kernels run on after they are launched; once settled nobody waits
    return time.perf_counter()


def _learn(chunk: _Chunk, rows: int, seconds: float) -> None:
    if chunk.settled or rows < chunk.rows:
        return
    if seconds < QUICK and 2 * rows <= chunk.largest:
        chunk.rows = 2 * rows  # what costs is the call
        return
    # The best of some trials: the first pays for allocations, and others' work on the machine only slows down.
    chunk.rates[rows] = max(chunk.rates.get(rows, 0.0), rows / max(seconds, 1e-9))
    chunk.trials += 1
    if chunk.trials < TRIALS:
        return
    chunk.trials = 0
    best = max(chunk.rates.values())
    if 2 * rows <= chunk.largest and chunk.rates[rows] >= STILL_FAST * best:
        chunk.rows = 2 * rows
    else:
        chunk.rows, chunk.settled = min(size for size, rate in chunk.rates.items() if rate >= AS_FAST * best), True


def _fits(body: Body, rows: slice) -> bool:
    try:
        body(rows)
    except RuntimeError as error:
        if not isinstance(error, TooLargeError) and (rows.stop - rows.start == 1 or not _out_of_memory(error)):
            raise
        return False  # not inside the handler may memory be freed: the traceback holds the tensors
    return True


def _out_of_memory(error: RuntimeError) -> bool:
    said = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or any(words in said for words in OUT_OF_MEMORY)
