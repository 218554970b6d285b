import pytest
import torch

from src.transforms import (
    FeatureStatistics,
    FrontEnd,
    LogMel,
    NoNormalisation,
    StoredNormalisation,
    UtteranceNormalisation,
)
from src.utils.errors import UserError


@pytest.fixture
def features() -> torch.Tensor:
    scales = torch.tensor([1.0, 10.0, 0.1, 3.0])
    return scales * torch.randn(3, 20, 4, generator=torch.Generator().manual_seed(0)) + 5


LENGTHS = torch.tensor([20, 13, 1])


def test_each_bin_of_each_utterance_gets_mean_0_and_deviation_1(features):
    normalised = UtteranceNormalisation()(features, LENGTHS)
    for i, n in enumerate([20, 13]):
        frames = normalised[i, :n]
        torch.testing.assert_close(frames.mean(0), torch.zeros(4), atol=1e-4, rtol=0)
        torch.testing.assert_close(frames.std(0, correction=0), torch.ones(4))


def test_all_bins_together_keep_their_proportions(features):
    normalised = UtteranceNormalisation(per_bin=False)(features, LENGTHS)
    frames, wanted = normalised[1, :13], features[1, :13]
    wanted = (wanted - wanted.mean()) / wanted.std(correction=0)
    torch.testing.assert_close(frames, wanted)


def test_a_single_frame_or_a_constant_bin_becomes_zero(features):
    features[0, :, 2] = -13.8
    normalised = UtteranceNormalisation()(features, LENGTHS)
    assert normalised[0, :, 2].abs().max() < 1e-2
    assert not normalised[2, 0].any()


def test_no_normalisation_changes_nothing(features):
    assert torch.equal(NoNormalisation()(features, LENGTHS), features)


@pytest.mark.parametrize("kind", [UtteranceNormalisation, StoredNormalisation])
def test_an_impossible_smallest_deviation_is_refused(kind):
    keys = {"statistics": None} if kind is StoredNormalisation else {}
    with pytest.raises(UserError, match="min_std=0: expected a number"):
        kind(min_std=0, **keys)


# --- stored statistics


def front_end(statistics, n_mels: int = 4) -> FrontEnd:
    return FrontEnd(
        features=LogMel(n_mels=n_mels), normalise=StoredNormalisation(statistics=statistics)
    )


@pytest.fixture
def file(tmp_path, features):
    """Statistics of `features`, of all their frames."""
    statistics = FeatureStatistics(4)
    statistics.update(features, torch.tensor([20, 20, 20]))
    statistics.save(tmp_path / "statistics.json")
    return tmp_path / "statistics.json"


CLIP = 0.1 * torch.randn(1, 4_000, generator=torch.Generator().manual_seed(1))
CLIP_LENGTH = torch.tensor([4_000])


def test_a_corpus_normalised_by_its_own_statistics_has_mean_0_and_deviation_1(file, features):
    stored = StoredNormalisation(statistics=file)
    stored.prepare(4)
    frames = stored(features, torch.tensor([20, 20, 20])).flatten(0, 1)
    torch.testing.assert_close(frames.mean(0), torch.zeros(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(frames.std(0, correction=0), torch.ones(4))


@pytest.mark.parametrize("kept", ["null", "a path that is gone"])
def test_a_checkpoint_brings_its_statistics_without_the_file(file, kept):
    trained = front_end(file)
    wanted, _ = trained(CLIP, CLIP_LENGTH)
    weights = trained.state_dict()
    file.unlink()
    rebuilt = front_end(None if kept == "null" else file)
    rebuilt.load_state_dict(weights)
    torch.testing.assert_close(rebuilt(CLIP, CLIP_LENGTH)[0], wanted)


def test_a_checkpoint_overrules_the_file(file):
    weights = front_end(file).state_dict()
    weights["normalise.mean"] = weights["normalise.mean"] + 1
    rebuilt = front_end(file)
    rebuilt.load_state_dict(weights)
    assert torch.equal(rebuilt.normalise.mean, weights["normalise.mean"])


def test_statistics_that_nobody_gave_are_asked_for():
    with pytest.raises(
        UserError, match=r"statistics is null, and no checkpoint .*compute_stats -cn=.* --out "
    ):
        front_end(None)(CLIP, CLIP_LENGTH)


def test_a_missing_statistics_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"gone\.json: no such file, .*compute_stats"):
        front_end(tmp_path / "gone.json")(CLIP, CLIP_LENGTH)


def test_statistics_of_another_front_end_are_refused(file):
    with pytest.raises(UserError, match="statistics of 4 features, but this front end gives 5"):
        front_end(file, n_mels=5)


def test_unnormalised_features_need_no_statistics():
    features, lengths = front_end(None).unnormalised(CLIP, CLIP_LENGTH)
    assert features.isfinite().all()
    assert lengths.tolist() == [23]
