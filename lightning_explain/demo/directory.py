"""The demo's directory: one run directory of TensorBoard for each training run."""

from __future__ import annotations

import shutil
from pathlib import Path

RUNS = ("shortcut", "honest")


def claim(out: Path, overwrite: bool = False) -> None:
    """Make sure that the demo's run directories can be written, and are empty.

    TensorBoard draws all event files of a directory as one run: two demos must not share it.

    Args:
        out: The demo's directory; made if it is not there.
        overwrite: Delete what an earlier demo wrote there, and nothing else.

    Raises:
        FileExistsError: If ``out`` is a file, or there is something in a run directory that is not
            to be, or must not be, deleted.
    """
    if out.exists() and not out.is_dir():
        raise FileExistsError(f"{out} is a file; give a directory.")
    used = [out / name for name in RUNS if _is_used(out / name)]
    if used and not overwrite:
        there = ", ".join(map(str, used))
        raise FileExistsError(f"An earlier run is there: {there}. Give another directory, or --overwrite.")
    for run in used:
        if not (run.is_dir() and any(run.glob("events.out.tfevents.*"))):
            raise FileExistsError(
                f"{run} was not written by the demo, so it is not overwritten. Give another directory."
            )
    for run in used:
        shutil.rmtree(run)
    out.mkdir(parents=True, exist_ok=True)


def _is_used(run: Path) -> bool:
    return run.exists() and not (run.is_dir() and not any(run.iterdir()))
