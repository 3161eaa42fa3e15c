"""Random numbers that have nothing to do with the user's."""

import hashlib

import torch


def stream(purpose: str, seed: int) -> torch.Generator:
    """A generator on the CPU, for one purpose alone.

    Weights and data often come from ``torch.manual_seed(0)``; a generator with that very seed would give the same
    numbers again: the "random" model would be the one that the training began with.

    Returns:
        The generator; the same purpose and seed give the same numbers, everywhere.

    Example:
        >>> stream("noise", 0).initial_seed() == stream("noise", 0).initial_seed()
        True
        >>> len({stream(purpose, seed).initial_seed() for purpose in ("noise", "removals") for seed in (0, 1)})
        4
    """
    digest = hashlib.sha256(f"{purpose} {seed}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:4], "big"))
