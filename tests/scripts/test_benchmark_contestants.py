"""The comparison is fair: the same audio, the same model, and for the limit the same learning."""

import numpy as np
import pytest
import torch

from scripts.benchmarks.contestants import FeaturesInWorkers, Limit, OneBatch, Ours, PlainLoop, pad
from scripts.benchmarks.corpus import CHARACTERS_A_SECOND, PART, librispeech_durations, write_tones
from scripts.benchmarks.stopwatch import PHASES
from src import audio
from src.datasets import LibriSpeech
from src.utils.errors import UserError
from tests.scripts.benchmarked import SECONDS, tiny_recipe


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    return tiny_recipe(tmp_path_factory.mktemp("tones"))


def weights(recognizer) -> list[torch.Tensor]:
    return [p.detach().clone() for p in recognizer.parameters()]


def test_the_limit_learns_exactly_what_ours_learns(recipe):
    ours, limit = Ours(recipe), Limit(recipe)
    before = weights(limit.stepper.recognizer)
    assert ours.run() == limit.run()
    after = weights(limit.stepper.recognizer)
    for first, w, same in zip(before, after, weights(ours.trainer.stepper.recognizer), strict=True):
        torch.testing.assert_close(w, same, rtol=1e-5, atol=1e-6)
        assert not torch.equal(w, first)


def test_every_pass_reads_the_same_audio_in_as_many_steps(recipe):
    n_samples = round(sum(SECONDS) * 16_000)
    for kind in (Ours, Limit, PlainLoop):
        contestant = kind(recipe)
        first = contestant.run()
        assert first.n_samples == n_samples and first.n_padded > n_samples
        assert contestant.run() == first
    plain, ours = PlainLoop(recipe), Ours(recipe)
    assert abs(plain.run().n_steps - ours.run().n_steps) <= 1


def test_one_batch_is_read_again_and_again(recipe):
    one, limit = OneBatch(recipe), Limit(recipe)
    assert len({id(batch) for batch in one.held}) == 1
    assert one.run().n_steps == limit.run().n_steps


def test_the_plain_loop_gets_the_features_that_ours_gets(recipe):
    plain, limit = PlainLoop(recipe), Limit(recipe)
    batch = limit.held[0]
    dataset = FeaturesInWorkers(plain.loader.dataset.utterances, plain.recognizer.front_end)
    rows = [dataset.utterances.ids.index(name) for name in batch.ids]
    features, lengths, tokens, token_lengths, n_samples = pad([dataset[row] for row in rows])
    wanted, wanted_lengths = limit.stepper.recognizer.features(
        batch.waveforms, batch.waveform_lengths
    )
    torch.testing.assert_close(features, wanted[:, : features.shape[1]], rtol=1e-4, atol=1e-4)
    for found, expected in (
        (lengths, wanted_lengths),
        (tokens, batch.tokens),
        (token_lengths, batch.token_lengths),
        (n_samples, batch.waveform_lengths),
    ):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("kind", [Ours, Limit, PlainLoop])
def test_a_watched_pass_finds_time_in_every_phase_it_has(recipe, kind):
    contestant = kind(recipe)
    with contestant.watch.watching(*contestant.watched()):
        contestant.run()
    phases = contestant.watch.seconds()
    assert tuple(phases) == PHASES
    busy = {"data wait", "copy", "forward", "loss", "backward", "optimizer"}
    busy |= set() if kind is PlainLoop else {"features"}
    assert all(phases[phase] > 0 for phase in busy)
    assert phases["features"] > 0 or kind is PlainLoop
    contestant.run()  # the hooks are gone
    assert sum(contestant.watch.seconds().values()) == 0


def test_a_mistaken_override_is_named(recipe, tmp_path):
    with pytest.raises(UserError, match=r"model\.rnn_widht"):
        tiny_recipe(recipe.root, overrides=["+model.rnn_widht=8"]).trainer(tmp_path)


def test_tones_are_a_corpus_like_librispeech(tmp_path):
    durations_s = librispeech_durations(5000)
    assert 12 < durations_s.mean() < 13 and durations_s.min() >= 1.5 and durations_s.max() <= 17
    durations_s = durations_s[:60]
    corpus = LibriSpeech(write_tones(tmp_path, durations_s), PART, None)
    np.testing.assert_allclose(np.sort(corpus.durations_s), np.sort(durations_s), atol=1e-4)
    row = corpus[7]
    assert len(audio.read(next(tmp_path.rglob(f"{row.id}.flac")), 16_000)) == len(row.waveform)
    said_a_second = len(row.transcript) / corpus.durations_s[7]
    assert abs(said_a_second - CHARACTERS_A_SECOND) < 1
