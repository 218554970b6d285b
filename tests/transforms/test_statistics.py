import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from src.transforms import FeatureStatistics, read_statistics
from src.utils.errors import UserError


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 9), min_size=1, max_size=6),
    offset=st.sampled_from([0.0, -12.0, 1e4]),
    seed=st.integers(0, 2**16),
)
def test_batches_add_up_to_the_statistics_of_all_frames(lengths, offset, seed):
    generator = torch.Generator().manual_seed(seed)
    statistics, seen = FeatureStatistics(3), []
    for length in lengths:
        features = torch.randn(2, 9, 3, generator=generator) + offset
        features[0, length:] = torch.nan  # padding is never read
        statistics.update(features, torch.tensor([length, 9]))
        seen += [features[0, :length], features[1]]
    frames = torch.cat(seen).double().numpy()
    assert statistics.n_frames == len(frames)
    np.testing.assert_allclose(statistics.mean, frames.mean(0), rtol=1e-10)
    np.testing.assert_allclose(statistics.std, frames.std(0), rtol=1e-7)


def test_what_is_saved_is_what_is_read(tmp_path):
    statistics = FeatureStatistics(3)
    statistics.update(torch.randn(2, 5, 3), torch.tensor([5, 4]))
    statistics.save(tmp_path / "s.json")
    mean, std = read_statistics(tmp_path / "s.json")
    assert mean == statistics.mean.tolist()
    assert std == statistics.std.tolist()
    assert json.loads((tmp_path / "s.json").read_text())["n_frames"] == 9


def test_statistics_of_nothing_are_not_written(tmp_path):
    statistics = FeatureStatistics(3)
    statistics.update(torch.zeros(1, 4, 3), torch.tensor([0]))
    with pytest.raises(UserError, match="not written, since no frame was counted"):
        statistics.save(tmp_path / "s.json")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        (f'{{"mean": [{"9" * 400}], "std": [1]}}', "not two equally long lists of finite numbers"),
        ("[1, 2]", 'lacks "mean" or "std"'),
        ('{"mean": [0]}', 'lacks "mean" or "std"'),
        ('{"mean": [0, 1], "std": [1]}', "not two equally long lists of finite numbers"),
        ('{"mean": [], "std": []}', "not two equally long lists of finite numbers"),
        ('{"mean": [NaN], "std": [1]}', "not two equally long lists of finite numbers"),
        ('{"mean": ["x"], "std": [1]}', "not two equally long lists of finite numbers"),
        ('{"mean": [0], "std": [-1]}', '"std" holds negative numbers'),
    ],
)
def test_a_file_that_is_no_statistics_is_refused(tmp_path, content, message):
    path = tmp_path / "s.json"
    path.write_text(content)
    with pytest.raises(UserError, match=rf"s\.json: not a file of .*{message}.*compute_stats"):
        read_statistics(path)


def test_a_file_that_can_not_be_read_is_named(tmp_path):
    with pytest.raises(UserError, match=r"gone\.json: could not be read \(No such file"):
        read_statistics(tmp_path / "gone.json")
