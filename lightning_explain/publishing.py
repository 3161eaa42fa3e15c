"""Where what came out of an examination is written: scores, pictures, tables, and what it cost."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import torch

from lightning_explain.loggers import write_pictures, write_text

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

    from lightning_explain.clock import Clock
    from lightning_explain.examination import Examination
    from lightning_explain.gallery import Gallery
    from lightning_explain.guest import Once
    from lightning_explain.metrics.score import Score
    from lightning_explain.probe import ProbeSet


def log_scores(
    trainer: Trainer,
    pl_module: LightningModule,
    names: Sequence[str],
    scores: Mapping[str, Score],
    prog_bar: Collection[str],
) -> None:
    """Log scores as the module's own, in a hook that allows it.

    Args:
        trainer: The trainer.
        pl_module: The module.
        names: The full names of all that is logged.
        scores: The scores; if there are none, NaN is logged, for a callback that monitors one would crash on a missing
            one.
        prog_bar: The names of those that the progress bar shows.
    """
    for name in names:
        value = scores[name].mean if scores else math.nan
        # Every rank has the same value; without sync_dist Lightning would warn that it might not.
        pl_module.log(name, value, prog_bar=name in prog_bar, sync_dist=trainer.world_size > 1, batch_size=1)


def draw(trainer: Trainer, gallery: Gallery, probe: ProbeSet, examination: Examination, step: int, once: Once) -> None:
    """Write pictures and tables to every logger, on rank zero; contact sheets remember the validations of a fit.

    Args:
        trainer: The trainer.
        gallery: Draws the pictures.
        probe: The samples.
        examination: What is drawn.
        step: Where on the axis of the validation's scalars.
        once: Warns of a logger that shows no pictures.
    """
    if not trainer.is_global_zero or not trainer.loggers:
        return
    pictures = gallery.pictures(probe, examination, step, remember=trainer.state.fn == "fit")
    for logger in trainer.loggers:
        for table in examination.agreement:
            write_text(logger, f"{gallery.name}/agreement", table.markdown, step)
        if pictures and not write_pictures(logger, pictures, step):
            once.warn(f"{type(logger).__name__} cannot show pictures: it gets the scores alone.")


def log_cost(trainer: Trainer, clock: Clock, prefix: str, step: int) -> None:
    """Log the seconds spent since the last time, and their share of the run; counting begins anew.

    Args:
        trainer: The trainer.
        clock: What counted them.
        prefix: What names begin with.
        step: Where on the axis of the validation's scalars.
    """
    cost = {f"{prefix}/seconds": clock.last, f"{prefix}/time_share": clock.share}
    trainer.callback_metrics.update({name: torch.tensor(value) for name, value in cost.items()})
    for logger in trainer.loggers:
        logger.log_metrics(cost, step)
    clock.last = 0.0
