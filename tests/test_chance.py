import torch

from lightning_explain.randomness import stream


def test_purposes_and_seeds_have_streams_of_their_own():
    drawn = {
        tuple(torch.rand(4, generator=stream(purpose, seed)).tolist())
        for purpose in ("noise", "removals", "parameters")
        for seed in range(20)
    }
    assert len(drawn) == 60
    assert torch.equal(torch.rand(4, generator=stream("noise", 3)), torch.rand(4, generator=stream("noise", 3)))


def test_no_stream_repeats_what_a_user_draws_from_the_same_seed():
    torch.manual_seed(1)
    state = torch.get_rng_state()
    for seed in (0, 1, 42, 1234):
        user = torch.rand(50, generator=torch.Generator().manual_seed(seed))
        ours = torch.rand(50, generator=stream("noise", seed))
        assert not torch.isclose(user, ours).any()
    assert torch.equal(torch.get_rng_state(), state)
