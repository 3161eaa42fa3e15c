"""Small float64 models and the evaluations of their attributions, for tests of the scores."""

from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import nn

from lightning_explain.attribution.engine import explainer, pose
from lightning_explain.attribution.guard import borrowed
from lightning_explain.attribution.regions import Grid
from lightning_explain.metrics.evaluation import Evaluation
from lightning_explain.metrics.perturbation import Course, Perturbations, Subsets


class Picture(nn.Module):
    """Two channels of 6 x 6 (or other) pixels, three classes, smooth."""

    def __init__(self, seed=0, channels=2):
        super().__init__()
        torch.manual_seed(seed)
        self.conv = nn.Conv2d(channels, 3, 3, padding=1)
        self.conv2 = nn.Conv2d(3, 4, 3, padding=1)
        self.head = nn.Linear(4, 3)
        self.double()

    def forward(self, x):
        x = torch.tanh(self.conv2(torch.tanh(self.conv(x) * 2)))
        return self.head(x.mean(dim=(2, 3))) * 4


class Pair(nn.Module):
    """A picture of two channels and a row of numbers that interact."""

    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.picture = Picture(seed + 1)
        self.table = nn.Linear(5, 3)
        self.double()

    def forward(self, image, row):
        return self.picture(image) * torch.sigmoid(self.table(row)) + torch.tanh(self.table(row))


class Linear(nn.Module):
    """f = x . w, one number for each sample or one for each class; no bias, so f(0) = 0."""

    def __init__(self, shape, classes=3, seed=0):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(torch.randn(classes, *shape, generator=generator, dtype=torch.float64))

    def forward(self, x):
        return x.flatten(1) @ self.weight.flatten(1).T


def pictures(n=4, size=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 2, size, size, generator=generator, dtype=torch.float64)


def rows(n=4, features=5, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, features, generator=generator, dtype=torch.float64)


TARGET = torch.tensor([0, 2, 1, 2])


@contextmanager
def problem_of(model, inputs, target=TARGET, place=None, **settings):
    """A problem, while the model is borrowed."""
    with borrowed(model):
        posed = pose(model, inputs, target, **settings)
        yield posed if place is None else replace(posed, place=place)


class Watched:
    """Perturbations with one choice of random sets and one of curves."""

    def __init__(self, problem, readout="raw", *, removals=64, cells=6, share=0.2, steps=16, seed=0):
        self.perturbations = Perturbations(problem, readout, seed)
        self.features, self.removals = self.perturbations.features, removals
        self.subsets, self.course = Subsets(Grid(cells), removals, (share,)), Course(steps=steps)

    @property
    def taken(self):
        return self.perturbations.taken(self.subsets)

    @property
    def masks(self):
        """(removals, D), True where a feature is gone."""
        return self.perturbations.regions(self.subsets.partition).spread(self.taken)

    @property
    def drops(self):
        return self.perturbations.drops(self.subsets)

    def foretold(self, contributions):
        return self.perturbations.foretold(contributions, self.subsets)

    def curves(self, scores):
        return tuple(self.perturbations.curve(scores, replace(self.course, insertion=i)).values for i in (False, True))

    @property
    def shares(self):
        order = torch.zeros(self.perturbations.problem.samples, self.features.count)
        return self.perturbations.curve(order, self.course).shares


def masks_of(evaluation, subsets):
    """The features that are gone in each random set, (count, D)."""
    perturbations = evaluation.perturbations
    return perturbations.regions(subsets.partition).spread(perturbations.taken(subsets))


@contextmanager
def evaluation_of(model, inputs, method="saliency", *, target=TARGET, place=None, of=None, readout="raw", **settings):
    """An evaluation, while the model is borrowed.

    ``of`` holds fields of the evaluation; ``seed`` goes to the perturbations, everything else to the problem.
    """
    seed = settings.pop("seed", 0)
    with problem_of(model, inputs, target, **settings) as problem:
        chosen = explainer(method, problem, place)
        attribution = chosen(problem)
        perturbations = Perturbations(problem.at(attribution.place), readout, seed)
        yield Evaluation(chosen, problem.at(chosen.place), attribution, perturbations, **(of or {}))


def with_scores(evaluation, scores):
    """The same evaluation, of other attributions of the (one-tensor) variable."""
    return replace(evaluation, attribution=replace(evaluation.attribution, point=(scores,)))
