"""What every front end in configs/transform promises."""

import copy

import pytest
import torch

from src.transforms import (
    FrontEnd,
    LogMel,
    NoNormalisation,
    RawFrames,
    StoredNormalisation,
    UtteranceNormalisation,
)
from src.utils.errors import UserError
from tests.transforms.chosen import CONFIGS, TRANSFORMS, front_end

# Longer than a hop's fraction, shorter than a window, one sample, nothing.
LENGTHS = [16_000, 12_345, 5_000, 401, 250, 1, 0]


@pytest.fixture(params=TRANSFORMS)
def transform(request) -> FrontEnd:
    return front_end(request.param)


@pytest.fixture
def clips() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [0.1 * torch.randn(n, generator=generator) for n in LENGTHS]


def side_by_side(clips: list[torch.Tensor], padding: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Clips in one batch (B, N), the rest filled with `padding`, and their lengths."""
    batch = torch.full((len(clips), max(map(len, clips)) + 777), padding)
    for row, clip in zip(batch, clips, strict=True):
        row[: len(clip)] = clip
    return batch, torch.tensor([len(clip) for clip in clips])


def test_every_config_is_tested_here():
    promised = {"spectrogram", "logmel70", "logmel80", "logmel128", "mfcc", "raw"}
    assert promised <= set(TRANSFORMS)
    assert len(TRANSFORMS) == len(list((CONFIGS / "transform").iterdir()))


@pytest.mark.parametrize("padding", [0.0, 0.9, float("nan"), float("inf")])
def test_padding_never_changes_an_utterance(transform, clips, padding):
    features, lengths = transform(*side_by_side(clips, padding))
    for i, clip in enumerate(clips[:-1]):
        alone, alone_length = transform(clip[None], torch.tensor([len(clip)]))
        n = int(alone_length)
        assert int(lengths[i]) == n
        torch.testing.assert_close(features[i, :n], alone[0, :n], rtol=1e-4, atol=1e-4)


def test_frames_beyond_the_length_are_zero(transform, clips):
    features, lengths = transform(*side_by_side(clips, float("nan")))
    for frames, length in zip(features, lengths, strict=True):
        assert not frames[length:].any()
    assert features.isfinite().all()


def test_lengths_shapes_and_types_are_as_promised(transform, clips):
    batch, lengths = side_by_side(clips, 0.0)
    features, feature_lengths = transform(batch, lengths)
    assert features.dtype == torch.float32
    assert feature_lengths.dtype == torch.int64
    assert features.shape[0] == len(clips)
    assert features.shape[2] == transform.n_features
    assert features.shape[1] == transform.output_lengths(torch.tensor([batch.shape[1]]))
    assert torch.equal(feature_lengths, transform.output_lengths(lengths))


def test_ten_seconds_give_about_as_many_frames_as_there_are_hops(transform):
    assert transform.sample_rate == 16_000
    assert round(transform.hop_s, 6) in (0.01, 0.03, 0.05)
    n_frames = int(transform.output_lengths(torch.tensor([160_000])))
    assert 10 / transform.hop_s - 6 <= n_frames <= 10 / transform.hop_s


def test_short_clips_give_one_frame_and_no_samples_give_none(transform):
    lengths = torch.tensor([0, 1, 159, 160])
    assert transform.output_lengths(lengths).tolist() == [0, 1, 1, 1]
    features, feature_lengths = transform(torch.zeros(2, 0), torch.tensor([0, 0]))
    assert feature_lengths.tolist() == [0, 0]
    assert not features.any()


def test_silence_gives_finite_features(transform):
    features, _ = transform(torch.zeros(1, 8_000), torch.tensor([8_000]))
    assert features.isfinite().all()
    assert features.abs().max() < 10


def test_features_stay_float32_under_autocast(transform, clips):
    batch = side_by_side(clips, 0.0)
    plain, _ = transform(*batch)
    with torch.autocast("cpu", torch.bfloat16):
        automatic, _ = transform(*batch)
    assert automatic.dtype == torch.float32
    torch.testing.assert_close(automatic, plain)


def test_half_precision_waveforms_are_taken_as_float32(transform):
    waveform = 0.1 * torch.randn(1, 4_000, generator=torch.Generator().manual_seed(1)).half()
    lengths = torch.tensor([4_000])
    torch.testing.assert_close(transform(waveform, lengths), transform(waveform.float(), lengths))


def test_the_batch_it_is_given_stays_as_it_was(transform, clips):
    batch, lengths = side_by_side(clips, 0.5)
    before = batch.clone()
    transform(batch, lengths)
    assert torch.equal(batch, before)


def test_only_stored_statistics_are_kept_with_the_weights(transform):
    stored = isinstance(transform.normalise, StoredNormalisation)
    expected = {"normalise.mean", "normalise.std"} if stored else set()
    assert set(transform.state_dict()) == expected


def test_a_copy_gives_the_same_features(transform, clips):
    batch = side_by_side(clips, 0.0)
    torch.testing.assert_close(copy.deepcopy(transform)(*batch), transform(*batch))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_the_same_features(transform, clips):
    batch, lengths = side_by_side(clips, 0.0)
    wanted, wanted_lengths = transform(batch, lengths)
    features, feature_lengths = transform.cuda()(batch.cuda(), lengths.cuda())
    assert torch.equal(feature_lengths.cpu(), wanted_lengths)
    torch.testing.assert_close(features.cpu(), wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    "name", sorted(set(TRANSFORMS) - {"logmel80_stored", "raw_unscaled", "whisper"})
)
def test_real_speech_comes_out_normalised(shared_data, name):
    from src.audio import read

    clip = sorted((shared_data / "speech_commands" / "seven").glob("*.opus"))[0]
    waveform = torch.from_numpy(read(clip))[None]
    features, lengths = front_end(name)(waveform, torch.tensor([waveform.shape[1]]))
    frames = features[0, : int(lengths)]
    assert float(frames.mean()) == pytest.approx(0, abs=1e-3)
    assert float(frames.std()) == pytest.approx(1, abs=1e-2)


def test_loudness_is_taken_out_by_utterance_normalisation():
    transform = front_end("logmel80")
    waveform = 0.1 * torch.randn(1, 8_000, generator=torch.Generator().manual_seed(2))
    lengths = torch.tensor([8_000])
    torch.testing.assert_close(
        transform(waveform, lengths)[0], transform(4 * waveform, lengths)[0], rtol=0, atol=1e-2
    )


def raw(pre_emphasis: float = 0.0, deltas: int = 0) -> FrontEnd:
    """Frames of 10 samples of the waveform itself."""
    return FrontEnd(
        features=RawFrames(sample_rate=1_000, hop_ms=10),
        normalise=NoNormalisation(),
        pre_emphasis=pre_emphasis,
        deltas=deltas,
    )


def test_pre_emphasis_takes_off_a_share_of_the_sample_before():
    waveform = torch.arange(1.0, 21.0)[None]
    features, _ = raw(pre_emphasis=0.5)(waveform, torch.tensor([20]))
    emphasised = [1.0] + [n - 0.5 * (n - 1) for n in range(2, 21)]
    assert features.flatten().tolist() == emphasised


def test_pre_emphasis_does_not_ring_into_the_padding_of_a_short_clip():
    features, _ = raw(pre_emphasis=0.5)(torch.ones(1, 20), torch.tensor([3]))
    assert features[0, 0].tolist() == [1.0, 0.5, 0.5] + [0.0] * 7


def test_deltas_multiply_the_features():
    assert [raw(deltas=n).n_features for n in (0, 1, 2)] == [10, 20, 30]
    features, _ = raw(deltas=2)(torch.ones(1, 50), torch.tensor([50]))
    assert features.shape == (1, 5, 30)


def test_unnormalised_features_are_those_before_normalisation():
    features = LogMel(n_mels=20)
    normalised = FrontEnd(features=features, normalise=UtteranceNormalisation())
    plain = FrontEnd(features=features, normalise=NoNormalisation())
    batch = 0.1 * torch.randn(2, 4_000), torch.tensor([4_000, 4_000])
    torch.testing.assert_close(normalised.unnormalised(*batch), plain(*batch))


@pytest.mark.parametrize("value", [-0.1, 1.5, "x", None])
def test_an_impossible_pre_emphasis_is_refused(value):
    with pytest.raises(UserError, match=f"pre_emphasis={value}: expected a number from 0 to 1"):
        raw(pre_emphasis=value)


@pytest.mark.parametrize("value", [3, -1, 1.0, True])
def test_an_impossible_number_of_deltas_is_refused(value):
    with pytest.raises(UserError, match=f"deltas={value}: expected a whole number from 0 to 2"):
        raw(deltas=value)
