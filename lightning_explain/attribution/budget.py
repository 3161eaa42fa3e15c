"""Rows are the currency: how many go through the model at once."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch

Body = Callable[[slice], None]

FIRST_CHUNK = 32
LARGEST_CHUNK = 1024
WORTHWHILE = 1.1
OUT_OF_MEMORY = ("out of memory", "not enough memory", "can't allocate memory", "alloc_failed")


@dataclass
class _Chunk:
    """The chunk size in use for one kind of work, and the best rate it has shown."""

    rows: int
    rate: float = 0.0
    settled: bool = False
    previous: int = 0


@dataclass
class RowBudget:
    """Splits work into chunks of rows, so that memory is that of one chunk whatever the work is.

    Without ``max_rows`` it starts with 32 rows and doubles them for as long as a chunk of twice the
    size brings at least a tenth more rows per second; large chunks are often slower than medium ones
    where the activations leave the cache. When memory runs out the chunk is halved and tried again.
    What it learnt it keeps, for each kind of work, as long as it lives.

    Args:
        max_rows: Rows in a chunk, at most; with it the chunks, and so the last bits of floating
            point sums, do not depend on how fast the machine is. At least 1.

    Raises:
        ValueError: If ``max_rows`` is less than 1.

    Example:
        >>> RowBudget(max_rows=2).run(5, "forward", lambda rows: print(rows.start, rows.stop))
        0 2
        2 4
        4 5
    """

    max_rows: int | None = None
    _chunks: dict[str, _Chunk] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if self.max_rows is not None and self.max_rows < 1:
            raise ValueError(f"max_rows must be at least 1, got {self.max_rows}.")

    def run(self, total: int, kind: str, body: Body) -> None:
        """Call ``body`` for consecutive slices of ``range(total)``.

        Args:
            total: The number of rows.
            kind: What the work is; chunk sizes are learnt for each kind by itself.
            body: Does the rows of one slice. It may be called again, with a smaller slice that
                begins at the same row, after it ran out of memory: it must not have added
                anything to a result by then.
        """
        chunk = self._chunks.setdefault(kind, self._first())
        start = 0
        while start < total:
            rows = slice(start, min(start + chunk.rows, total))
            began = time.perf_counter()
            if _fits(body, rows):
                self._learn(chunk, rows.stop - rows.start, time.perf_counter() - began)
                start = rows.stop
            else:
                self._shrink(chunk, rows)

    def slices(self, total: int) -> Iterator[slice]:
        """Slices for work that is itself made of :meth:`run` calls, and so not worth timing.

        Yields:
            Consecutive slices of ``range(total)``.
        """
        step = max((chunk.rows for chunk in self._chunks.values()), default=self._first().rows)
        for start in range(0, total, step):
            yield slice(start, min(start + step, total))

    def _first(self) -> _Chunk:
        if self.max_rows is not None:
            return _Chunk(self.max_rows, settled=True)
        return _Chunk(FIRST_CHUNK)

    def _learn(self, chunk: _Chunk, rows: int, seconds: float) -> None:
        if chunk.settled or rows < chunk.rows:
            return
        rate = rows / max(seconds, 1e-9)
        if chunk.previous != chunk.rows:  # the first chunk of a size pays for allocations; time the second
            chunk.previous = chunk.rows
        elif rate < WORTHWHILE * chunk.rate:
            chunk.rows, chunk.settled = chunk.rows // 2, True
        elif chunk.rows >= LARGEST_CHUNK:
            chunk.settled = True
        else:
            chunk.rows, chunk.rate = 2 * chunk.rows, rate

    def _shrink(self, chunk: _Chunk, rows: slice) -> None:
        chunk.rows, chunk.settled = (rows.stop - rows.start) // 2, True
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _fits(body: Body, rows: slice) -> bool:
    try:
        body(rows)
    except RuntimeError as error:
        if rows.stop - rows.start == 1 or not _out_of_memory(error):
            raise
        return False  # not inside the handler may memory be freed: the traceback holds the tensors
    return True


def _out_of_memory(error: RuntimeError) -> bool:
    said = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or any(words in said for words in OUT_OF_MEMORY)
