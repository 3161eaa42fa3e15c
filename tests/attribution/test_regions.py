import copy
import pickle

import pytest
import torch

from lightning_explain.attribution import regions as module
from lightning_explain.attribution.feature_space import FeatureSpace
from lightning_explain.attribution.regions import EveryFeature, Grid, Patches, Regions, Segments

PICTURE, SERIES, TABLE = (2, 6, 7), (3, 9), (5,)


def divide(partition, *shapes, channel_dim=1, n=2):
    z = tuple(torch.randn(n, *shape, generator=torch.Generator().manual_seed(0)) for shape in shapes)
    return partition(z, FeatureSpace(shapes, channel_dim))


OWN = Regions(torch.tensor([[0, 0, 1, 2], [1, 1, 1, 0]]), 3)
SHARED = Regions(torch.tensor([[0, 2, 2, 1]]), 3)


@pytest.mark.parametrize("regions", [OWN, SHARED], ids=["own", "shared"])
def test_sums_means_and_sizes_are_those_of_a_loop(regions):
    values = torch.tensor([[1.0, 2.0, 4.0, 8.0], [16.0, 32.0, 64.0, 128.0]], dtype=torch.float64)
    ids = regions.ids.expand(2, -1).tolist()
    for i in range(2):
        inside = [[float(values[i, d]) for d in range(4) if ids[i][d] == r] for r in range(3)]
        assert regions.sums(values)[i].tolist() == [sum(part) for part in inside]
        assert regions.means(values)[i].tolist() == [sum(part) / len(part) if part else 0 for part in inside]
        assert regions.sizes.expand(2, -1)[i].tolist() == [len(part) for part in inside]
        assert int(regions.filled.expand(2)[i]) == sum(bool(part) for part in inside)


def test_samples_may_have_fewer_regions_than_others():
    assert OWN.filled.tolist() == [3, 2]
    assert OWN.sizes.tolist() == [[2, 1, 1], [1, 3, 0]]


def test_every_feature_has_what_its_region_has():
    rows = torch.tensor([1, 0, 1])
    values = torch.tensor([[10, 11, 12], [20, 21, 22], [30, 31, 32]])
    assert OWN.spread(values, rows).tolist() == [[11, 11, 11, 10], [20, 20, 21, 22], [31, 31, 31, 30]]
    assert OWN.spread(values[:2]).tolist() == [[10, 10, 11, 12], [21, 21, 21, 20]]
    assert SHARED.spread(values, rows).tolist() == [[v[0], v[2], v[2], v[1]] for v in values.tolist()]


def test_every_feature_is_a_region():
    regions = divide(EveryFeature(), PICTURE, TABLE)
    assert regions.ids.tolist() == [list(range(47))]
    assert (regions.count, regions.filled.tolist()) == (47, [47])


@pytest.mark.parametrize(("per_side", "count"), [(2, 4), (3, 9), (6, 36), (100, 42)])
def test_a_grid_has_as_many_cells_as_fit(per_side, count):
    assert divide(Grid(per_side), PICTURE).count == count


@pytest.mark.parametrize(("size", "expected"), [(1, (6, 7)), (2, (3, 4)), (3, (2, 3)), (8, (2, 2))])
def test_patches_are_squares_that_end_at_the_border(size, expected):
    regions = divide(Patches(size), PICTURE)
    laid = regions.ids.view(6, 7)
    # No patch is longer than half of a side, rounded up.
    sides = [min(size, half) for half in (3, 4)]
    for i in range(6):
        for j in range(7):
            assert int(laid[i, j]) == (i // sides[0]) * expected[1] + j // sides[1]
    assert regions.count == expected[0] * expected[1]


def test_inputs_have_patches_of_their_own():
    regions = divide(Patches(4), SERIES, TABLE, ())
    assert regions.ids.tolist() == [[0, 0, 0, 0, 1, 1, 1, 1, 2, 3, 3, 3, 4, 4, 5]]


def test_patches_of_elements_where_no_dimension_is_spanned():
    regions = divide(Patches(2), (2, 4, 4), channel_dim=None)
    assert regions.ids.view(2, 4, 4)[1].tolist() == [[4, 4, 5, 5], [4, 4, 5, 5], [6, 6, 7, 7], [6, 6, 7, 7]]


def test_partitions_are_found_again():
    assert {EveryFeature(): 1, Grid(3): 2, Patches(2): 3}[Patches(2)] == 3
    assert hash(Segments(9)) == hash(Segments(9))
    assert Segments(9) != Segments(10)


def test_wrong_partitions_are_refused():
    for per_side in (-1, 0, 1):  # one cell for all: a score that no map can change
        with pytest.raises(ValueError, match=f"per_side must be at least 2, got {per_side}"):
            Grid(per_side)
    for partition, wrong in ((Grid, 2.5), (Grid, "4"), (Patches, None), (Segments, True)):
        with pytest.raises(TypeError, match=f"must be an integer, got {wrong!r}"):
            partition(wrong)
    with pytest.raises(ValueError, match="size of a patch must be at least 1, got 0"):
        Patches(0)
    with pytest.raises(ValueError, match="number of segments must be at least 2, got 1"):
        Segments(1)


def quarters(n=2, channels=3, side=16, channel_dim=1):
    """Pictures of four plain squares; the second picture has two halves."""
    x = torch.zeros(n, channels, side, side)
    half = side // 2
    x[0, 0, :half] = 1
    x[0, 1, :, :half] = 1
    x[1, 0, half:] = 1
    return x if channel_dim == 1 else x.movedim(1, -1).contiguous()


@pytest.mark.parametrize("channel_dim", [1, -1])
def test_segments_follow_the_picture(channel_dim):
    x = quarters(channel_dim=channel_dim)
    regions = Segments(4)((x,), FeatureSpace.of((x,), channel_dim))
    colors = quarters().movedim(1, -1).reshape(2, 256, 3)
    assert regions.ids.shape == (2, 256)
    assert int(regions.filled[0]) == 4
    for i in range(2):
        for r in range(int(regions.filled[i])):
            inside = colors[i][regions.ids[i] == r]
            assert len(inside.unique(dim=0)) == 1
    assert regions.ids.min(dim=1).values.tolist() == [0, 0]


def test_segments_are_those_of_scikit_image():
    from skimage.segmentation import slic

    x = torch.nn.functional.avg_pool2d(torch.randn(3, 1, 20, 14), 5, 1, 2)
    regions = Segments(12, 0.3)((x,), FeatureSpace.of((x,)))
    counts = []
    for i in range(3):
        picture = ((x[i] - x[i].min()) / (x[i].max() - x[i].min())).permute(1, 2, 0).numpy()
        expected = slic(picture, n_segments=12, compactness=0.3, start_label=0, channel_axis=-1)
        assert regions.ids[i].view(20, 14).tolist() == expected.tolist()
        counts.append(int(expected.max()) + 1)
    assert regions.filled.tolist() == counts
    assert regions.count == max(counts)


def test_what_is_no_picture_has_cells():
    image, series, table = quarters(), torch.randn(2, 3, 20), torch.randn(2, 5)
    space = FeatureSpace.of((image, series, table))
    regions = Segments(4)((image, series, table), space)
    first = int(regions.ids[:, :256].max()) + 1
    assert regions.ids[:, 256:276].tolist() == [[first + i // 5 for i in range(20)]] * 2
    assert regions.ids[:, 276:].tolist() == [[first + 4 + i * 4 // 5 for i in range(5)]] * 2


def test_a_plain_picture_is_divided_all_the_same():
    x = torch.ones(2, 3, 8, 8)
    assert Segments(4)((x,), FeatureSpace.of((x,))).count > 1


def test_segments_are_searched_once_for_the_same_pictures(monkeypatch):
    x, calls = quarters(), []
    segments = Segments(4)
    slic = Segments._slic
    monkeypatch.setattr(Segments, "_slic", lambda self, picture: calls.append(1) or slic(self, picture))
    space = FeatureSpace.of((x,))
    first = segments((x,), space)
    assert torch.equal(segments((x.clone(),), space).ids, first.ids)
    assert len(calls) == 2
    other = (torch.randn(2, 3, 6, 6),)
    segments(other, FeatureSpace.of(other))
    segments((x,), space)  # another place does not push it out
    assert len(calls) == 4
    segments((x + torch.rand(x.shape),), space)
    assert len(calls) == 6
    for twin in (pickle.loads(pickle.dumps(segments)), copy.deepcopy(segments)):
        assert twin == segments


def test_segments_need_scikit_image(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'lightning-explain\[segments\]', or take Grid\(\)"):
        Segments()
