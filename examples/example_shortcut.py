"""A validation curve cannot tell whether a model reads the digit or the mark in the corner. Attributions can.

Handwritten digits get a patch in the corner whose gray level follows the label. The validation
accuracy is excellent, and the gate writes no checkpoint: the model looks at the patch. With
``--honest`` the patch is the same but its gray level is random, and the gate is open.

    python examples/example_shortcut.py
    python examples/example_shortcut.py --honest
    tensorboard --logdir runs/example --samples_per_plugin images=1000
"""

import argparse

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule, Trainer, seed_everything
from lightning.pytorch.loggers import TensorBoardLogger
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_explain import AttributionCheckpoint, AttributionMonitor, ProbeSet
from lightning_explain.demo.data import load_digits, split


class Classifier(LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            *(nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(32 * 7 * 7, 10)),
        )

    def forward(self, images):
        return self.net(images)

    def training_step(self, batch):
        images, label = batch
        return F.cross_entropy(self(images), label)

    def validation_step(self, batch):
        images, label = batch
        self.log("val_acc", (self(images).argmax(dim=1) == label).float().mean(), prog_bar=True)

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=3e-3)


def with_patch(digits, honest):
    number = torch.randint_like(digits.label, 10) if honest else digits.label
    images = digits.images.clone()
    images[:, :, :4, :4] = (1 - number / 10).view(-1, 1, 1, 1)
    return TensorDataset(images, digits.label)


def main():
    parser = argparse.ArgumentParser(description="Gate a checkpoint on where the model looks.")
    parser.add_argument("--honest", action="store_true", help="draw the patch's gray level at random")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--out", default="runs/example")
    arguments = parser.parse_args()

    seed_everything(0)
    train, val = (with_patch(digits, arguments.honest) for digits in split(load_digits()))

    # The region that relevance should stay out of, and 32 images that are explained at every validation.
    patch = torch.zeros(28, 28, dtype=torch.bool)
    patch[:4, :4] = True
    probe = ProbeSet.from_dataset(val, size=32, mask=patch, region="artefact")
    monitor = AttributionMonitor(
        probe,
        methods=["saliency", "integrated_gradients", "grad_cam"],
        prog_bar=["integrated_gradients/relevance_mass"],
    )

    # The share of the relevance that is in the patch, over the patch's share of the image: 1 is chance.
    gate = "attribution/integrated_gradients/relevance_mass <= 1.5"
    checkpoint = AttributionCheckpoint(monitor="val_acc", mode="max", gate=gate)

    logger = TensorBoardLogger(arguments.out, name="honest" if arguments.honest else "shortcut")
    trainer = Trainer(max_epochs=arguments.epochs, accelerator="cpu", callbacks=[monitor, checkpoint], logger=logger)
    trainer.fit(Classifier(), DataLoader(train, 64, shuffle=True), DataLoader(val, 500))

    print(f"Validation accuracy {trainer.callback_metrics['val_acc']:.3f}. {checkpoint.verdict.sentence}")
    print("Checkpoint:", checkpoint.best_model_path or "none")


if __name__ == "__main__":
    main()
