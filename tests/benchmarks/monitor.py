"""What a validation with the default monitor costs, against what its rows cost at best.

Run: ``python -m tests.benchmarks.monitor`` from the repository's root. Prints; asserts nothing.

A row is one sample through the model. The best cost of a row, forward or forward and backward, is measured in the
same run, over chunk sizes, on the bare model; rows times that cost is the limit that no monitor can go below.
"""

import argparse
import platform
import tempfile

import torch
from lightning.pytorch.loggers import TensorBoardLogger

from lightning_explain import ProbeSet
from lightning_explain.callback import AttributionMonitor
from lightning_explain.demo.data import load_digits, patch_mask, plant_patch, split, telling_gray
from lightning_explain.demo.model import DigitClassifier
from lightning_explain.gallery import Gallery
from lightning_explain.loggers import write_pictures
from tests.benchmarks.clock import best_cost, best_of, count_rows


def main():
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--samples", type=int, default=32)
    threads, samples = vars(parser.parse_args()).values()
    torch.set_num_threads(threads)
    _, digits = split(load_digits())
    digits = plant_patch(digits, telling_gray(digits.label))
    probe = ProbeSet.from_dataset(digits.dataset(), size=samples, mask=patch_mask(), region="artefact")
    model = DigitClassifier().eval()
    monitor = AttributionMonitor(probe)
    suite = monitor._make_suite(model)
    suite.prepare(model)
    previous = suite.explain(model)
    suite.run(model, previous=previous)  # the first validation also explains the model with random parameters
    rows = count_rows(model, lambda: suite.run(model, previous=previous))
    seconds = best_of(5, lambda: suite.run(model, previous=previous))
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    forward, forward_chunk = best_cost(model, digits.images, backward=False)
    backward, backward_chunk = best_cost(model, digits.images, backward=True)
    limit = rows["forward"] * forward + rows["backward"] * backward
    print(f"{platform.processor() or platform.machine()}, {threads} thread(s), torch {torch.__version__}")
    print(f"model: {sum(p.numel() for p in model.parameters()):,} parameters, {samples} probe images 28 x 28")
    print(f"methods: {', '.join(e.name for e in suite.explainers)}; metrics: {len(suite._metrics)}")
    print(f"rows: {rows['forward']:,} forward, {rows['backward']:,} forward and backward")
    print(f"best cost of a row: {forward * 1e3:.4f} ms forward (chunk {forward_chunk}),", end=" ")
    print(f"{backward * 1e3:.4f} ms forward and backward (chunk {backward_chunk})")
    print(f"explain and score: {seconds:.3f} s a validation, limit {limit:.3f} s, ratio {seconds / limit:.2f}")
    print(f"chunks chosen: { {k: c.rows for k, c in monitor._budget._chunks.items()} }")
    drawing(probe, suite, model)


def drawing(probe, suite, model):
    """Time 100 heatmaps: rendering, encoding, writing; with full contact sheets from the 8th validation on."""
    examination = suite.run(model)
    gallery = Gallery("attribution", 33)
    with tempfile.TemporaryDirectory() as folder:
        logger = TensorBoardLogger(folder)

        def draw(step):
            pictures = gallery.pictures(probe, examination, step)
            write_pictures(logger, pictures, step)

        for step in range(8):
            draw(step)
        heatmaps = min(33, len(probe)) * len(suite.explainers)
        seconds = best_of(5, lambda: draw(8))
    print(f"render and write: {seconds:.3f} s for {heatmaps} heatmaps and {len(suite.explainers)} contact sheets")


if __name__ == "__main__":
    main()
