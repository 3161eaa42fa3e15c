import random
import warnings

import numpy as np
import pytest
import runs
import torch
from hypothesis import settings

from lightning_explain import AttributionCheckpoint, AttributionMonitor

settings.register_profile("few", max_examples=25, deadline=None, derandomize=True, database=None)
settings.load_profile("few")
torch.set_num_threads(1)  # tiny tensors: more threads only wait for each other


@pytest.fixture(autouse=True)
def seeded() -> None:
    for seed in (torch.manual_seed, np.random.seed, random.seed):  # the oracles draw from all of them
        seed(0)


@pytest.fixture(scope="session")
def watched_run(tmp_path_factory):
    """A monitored and gated run of two epochs: its folder, the module and the report of its last validation."""
    folder = tmp_path_factory.mktemp("run")
    monitor = AttributionMonitor(runs.probe(), methods=["saliency"], metrics=["srg", "relevance_mass"], max_rows=64)
    srg = "attribution/saliency/srg"
    gated = AttributionCheckpoint(
        dirpath=folder, filename="gated", gate=[f"{srg} >= best - 3", f"{srg} >= -2 for 2 validations"]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer, module = runs.fit(folder, monitor, gated, max_epochs=2, enable_checkpointing=True)
    trainer.save_checkpoint(folder / "final.ckpt")
    monitor.probe.save(folder / "probe.pt")
    return folder, module, monitor.report
