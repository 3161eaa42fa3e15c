"""The score as a game of features, from worlds: what coalitions are worth, by hand and for one sample."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from worlds import TARGETS, WORLDS, Net, baseline, net, samples

Value = Callable[[Iterable[int]], float]

EVERY_WORLD = ("input", "output", "layer_input", "neuron")


def variables(where: str, model: Net) -> tuple[Tensor, Tensor]:
    """The variable of all samples, and of their baseline."""
    world = WORLDS[where]
    z = torch.stack([world.variable(model, x) for x in samples()]).detach()
    return z, world.variable(model, baseline()[0]).detach().expand_as(z)


def odd_ids(where: str, *, count: int = 4, per_sample: bool = False) -> Tensor:
    """A feature mask whose ids are neither consecutive nor positive, a feature here and there."""
    z, _ = variables(where, net())
    generator = torch.Generator().manual_seed(8)
    rows = len(z) if per_sample else 1
    ids = torch.randint(0, count, (rows, *z.shape[1:]), generator=generator)
    ids.flatten(1)[:, :count] = torch.arange(count)  # each is there
    if per_sample:
        ids[1][ids[1] == 2] = 0  # and one sample has a feature less
    return 7 * ids - 10


def game(where: str, sample: int, ids: Tensor) -> Value:
    """The score of a sample where the elements with other ids than those present are the baseline's."""
    model, world, target = net(), WORLDS[where], int(TARGETS[sample])
    z, z0 = (tensors[sample] for tensors in variables(where, model))
    own = ids[sample if len(ids) > 1 else 0].expand(z.shape)

    def value(present: Iterable[int]) -> float:
        kept = torch.zeros(z.shape, dtype=torch.bool)
        for number in present:
            kept |= own == number
        return float(world.score(model, torch.where(kept, z, z0), target).detach())

    return value


def known_ids(ids: Tensor, sample: int) -> list[int]:
    return sorted(set(ids[sample if len(ids) > 1 else 0].flatten().tolist()))


def laid_out(numbers: dict[int, float], ids: Tensor, sample: int, like: Tensor) -> Tensor:
    """The number of each element's feature."""
    own = ids[sample if len(ids) > 1 else 0].expand(like.shape)
    return torch.tensor([numbers[number] for number in own.flatten().tolist()], dtype=torch.float64).view(like.shape)
