"""Small real training runs, for tests of the callbacks."""

import random
from dataclasses import dataclass, field

import lightning as L
import numpy as np
import torch
import torchmetrics
from lightning.pytorch.callbacks import Callback
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_explain import ProbeSet

CLASSES = 3


def images(n=24, seed=0):
    generator = torch.Generator().manual_seed(seed)
    label = torch.arange(n) % CLASSES
    x = torch.rand(n, 1, 8, 8, generator=generator) * 0.3
    for i in range(n):
        x[i, 0, :, 2 * int(label[i]) : 2 * int(label[i]) + 2] += 0.7
    return x, label


def probe(n=6, **fields):
    x, label = images(n, seed=1)
    mask = torch.zeros(8, 8, dtype=torch.bool)
    mask[:, :2] = True
    return ProbeSet.from_tensors(x, **({"label": label, "mask": mask} | fields))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 6, 3, padding=1)
        self.drop = nn.Dropout(0.3)
        self.head = nn.Linear(6 * 16, CLASSES)

    def forward(self, x):
        x = torch.relu_(self.norm(self.conv1(x)))
        x = nn.functional.max_pool2d(torch.relu(self.conv2(x)), 2)
        return self.head(self.drop(x.flatten(1)))


class Module(L.LightningModule):
    def __init__(self, lr=0.05):
        super().__init__()
        self.net = Net()
        self.lr = lr

    def forward(self, x):
        return self.net(x)

    def loss(self, batch):
        x, y = batch
        return nn.functional.cross_entropy(self(x), y)

    def training_step(self, batch, _):
        return self.loss(batch)

    def validation_step(self, batch, _):
        self.log("val_loss", self.loss(batch))
        self.log("val_acc", (self(batch[0]).argmax(1) == batch[1]).float().mean(), prog_bar=True)

    def test_step(self, batch, index):
        self.validation_step(batch, index)

    def predict_step(self, batch, _):
        return self(batch[0])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.lr, momentum=0.9)


class Manual(Module):
    """Two optimizers, stepped by hand; gradients are cleared after the step, not before."""

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch, _):
        self.manual_backward(self.loss(batch))
        for optimizer in self.optimizers():
            optimizer.step()
            optimizer.zero_grad()

    def configure_optimizers(self):
        head = list(self.net.head.parameters())
        rest = [p for name, p in self.named_parameters() if "head" not in name]
        return [torch.optim.Adam(head, 0.01), torch.optim.SGD(rest, 0.05)]


class Frozen(Module):
    """A frozen batch norm in evaluation mode, and a frozen layer that the optimizer still holds."""

    def __init__(self):
        super().__init__()
        self.net.conv2.requires_grad_(False)

    def on_train_epoch_start(self):
        self.net.norm.eval()


def loaders(n=24, shuffle=True):
    data = TensorDataset(*images(n))
    return DataLoader(data, batch_size=4, shuffle=shuffle), DataLoader(TensorDataset(*images(12, seed=2)), batch_size=6)


def trainer(tmp_path, *callbacks, **settings):
    defaults = {
        "max_epochs": 3,
        "accelerator": "cpu",
        "default_root_dir": tmp_path,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "logger": False,
        "num_sanity_val_steps": 1,
    }
    return L.Trainer(callbacks=list(callbacks), **(defaults | settings))


def fit(tmp_path, *callbacks, module=None, seed=0, **settings):
    L.seed_everything(seed, verbose=False)
    module = Module() if module is None else module()
    run = trainer(tmp_path, *callbacks, **settings)
    run.fit(module, *loaders())
    return run, module


def draws():
    return [random.random(), float(np.random.rand()), float(torch.rand(()))]


def hooks(module):
    names = [n for n in vars(nn.Module()) if "hooks" in n]
    return [(name, len(getattr(m, name))) for m in module.modules() for name in names if getattr(m, name) is not None]


def gradients(module):
    return [None if p.grad is None else p.grad.clone() for p in module.parameters()]


@dataclass
class Trace(Callback):
    """What a run looks like from inside, batch by batch; it must not notice a monitor."""

    seen: list = field(default_factory=list)

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.seen.append((batch[0].sum(), [m.training for m in pl_module.modules()], gradients(pl_module)))

    def on_validation_end(self, trainer, pl_module):
        flags = [(p.requires_grad, p.is_inference()) for p in pl_module.parameters()]
        self.seen.append(([m.training for m in pl_module.modules()], flags, hooks(pl_module), gradients(pl_module)))


def fingerprint(run, module, trace):
    """Everything that a run ends with, and saw on its way."""
    return {
        "weights": {k: v.clone() for k, v in module.state_dict().items()},
        "optimizers": [o.state_dict() for o in run.optimizers],
        "gradients": gradients(module),
        "training": [m.training for m in module.modules()],
        "requires_grad": [p.requires_grad for p in module.parameters()],
        "hooks": hooks(module),
        "modules": [name for name, _ in module.named_modules()],
        "draws": draws(),
        "step": run.global_step,
        "kept": [len(shapes) for shapes in getattr(module, "history", {}).values()],
        "metrics": [float(m.compute()) for m in module.modules() if isinstance(m, torchmetrics.MeanMetric)],
        "trace": trace.seen,
    }


def same(a, b):
    """Bit for bit."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a == b
