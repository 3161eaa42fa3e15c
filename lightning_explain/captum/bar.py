"""Progress bars."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm

from lightning_explain.attribution.budget import Progress


@contextmanager
def bar(title: str) -> Iterator[Progress | None]:
    """A bar on standard error, counting rows; as work comes piece by piece its length grows.

    Args:
        title: What is written before it; empty: there is none.

    Yields:
        What a :class:`~lightning_explain.attribution.budget.RowBudget` tells how far it is.
    """
    if not title:
        yield None
        return
    with tqdm(desc=title, total=0, file=sys.stderr, unit="row") as shown:
        before = 0

        def tell(done: int, total: int) -> None:
            nonlocal before
            if done == 0:
                before, shown.total = shown.n, shown.total + total
                shown.refresh()
            else:
                shown.update(before + done - shown.n)

        yield tell
