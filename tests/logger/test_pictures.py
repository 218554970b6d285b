"""Spectrograms with their tokens: every token drawn, readable, above its time."""

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from src import audio
from src.logger import save_png, spectrogram_with_tokens
from src.logger.pictures import spread
from src.utils.errors import UserError
from tests.conftest import REPOSITORY

HOP_S = 0.01
TOKENS = [("Y", 0.2), ("EH", 0.4), ("S", 0.7)]


def features(n_frames: int, n_bins: int = 40) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n_frames, n_bins)).astype(np.float32)


def test_a_picture_is_rgb_and_shows_more_than_noise():
    rgb = spectrogram_with_tokens(features(100), HOP_S, TOKENS, "reference  yes\nheard      yes")
    assert rgb.dtype == np.uint8 and rgb.ndim == 3 and rgb.shape[2] == 3
    assert len(np.unique(rgb.reshape(-1, 3), axis=0)) > 50


@pytest.mark.parametrize("time_s", [0.1, 0.5, 0.9])
def test_a_token_is_marked_at_its_own_time(time_s):
    # A mark is white on black; the axis runs from its left edge to its right one over 1 s.
    rgb = spectrogram_with_tokens(np.zeros((100, 8)), HOP_S, [("A", time_s)])
    dark = (rgb.astype(int).sum(2) < 60).mean(0) > 0.5  # columns of the axis, without its labels
    first, last = np.flatnonzero(dark)[[0, -1]]
    mark = first + np.flatnonzero(~dark[first:last])
    assert len(mark) > 0
    assert (mark.mean() - first) / (last - first) == pytest.approx(time_s, abs=0.01)


def test_a_token_after_the_last_frame_is_drawn_at_the_end():
    end = spectrogram_with_tokens(features(100), HOP_S, [("A", 1.0)])
    late = spectrogram_with_tokens(features(100), HOP_S, [("A", 1.02)])
    np.testing.assert_array_equal(late, end)


def test_a_longer_utterance_gets_more_rows_up_to_a_limit():
    heights = [spectrogram_with_tokens(features(n), HOP_S, TOKENS).shape[0] for n in (300, 1000)]
    assert heights[1] > 2 * heights[0]
    ten_minutes = spectrogram_with_tokens(features(60_000, 4), HOP_S, TOKENS)
    assert ten_minutes.shape[0] < 12 * heights[0]


@pytest.mark.parametrize("n_frames", [0, 1, 2])
def test_the_shortest_utterances_can_be_drawn(n_frames):
    posteriors = np.full((n_frames, 3), 1 / 3)
    rgb = spectrogram_with_tokens(
        features(n_frames), HOP_S, [], posteriors=posteriors, frame_s=HOP_S, symbols=["_", "a", "b"]
    )
    assert rgb.size > 0


def test_constant_and_non_finite_features_can_be_drawn():
    for value in (0.0, np.nan, -np.inf):
        assert spectrogram_with_tokens(np.full((50, 8), value), HOP_S, TOKENS).size > 0


def test_dollars_and_other_marks_are_drawn_as_they_are():
    odd = [("$", 0.1), ("$x_1$", 0.3), ("\\frac", 0.5), ("␣", 0.6), (" ", 0.7), ("ʒ", 0.8)]
    posteriors = np.eye(6)[np.arange(100) % 6]
    rgb = spectrogram_with_tokens(
        features(100), HOP_S, odd, "$5 for $6", posteriors, HOP_S, symbols=[s for s, _ in odd]
    )
    assert rgb.size > 0


def test_posteriors_get_a_panel_of_their_own_and_names_at_their_peaks():
    posteriors = np.zeros((25, 3))
    posteriors[:, 0] = 1
    posteriors[10:13] = [0.1, 0.9, 0]
    plain = spectrogram_with_tokens(features(100), HOP_S, TOKENS)
    panel = spectrogram_with_tokens(features(100), HOP_S, TOKENS, "", posteriors, 0.04)
    assert panel.shape[0] > plain.shape[0] + 80
    named = spectrogram_with_tokens(
        features(100), HOP_S, TOKENS, "", posteriors, 0.04, symbols=["_", "EH", "S"]
    )
    assert (panel != named).any()


def test_posteriors_without_their_frame_length_are_refused():
    with pytest.raises(ValueError, match="frame_s"):
        spectrogram_with_tokens(features(10), HOP_S, [], posteriors=np.ones((3, 2)))


@given(
    st.lists(st.tuples(st.floats(0, 10), st.floats(0.01, 1)), max_size=10),
)
def test_labels_never_overlap_and_move_no_further_than_they_must(labels):
    labels = sorted(labels)
    centres, widths = [c for c, _ in labels], [w for _, w in labels]
    new = spread(centres, widths, 0.0, 10.0)
    edges = [(c - w / 2, c + w / 2) for c, w in zip(new, widths, strict=True)]
    for (_, right), (left, _) in pairwise(edges):
        assert right <= left + 1e-9
    if labels:
        assert edges[0][0] >= -1e-9 and edges[-1][1] <= 10 + 1e-9
    old = [(c - w / 2, c + w / 2) for c, w in zip(centres, widths, strict=True)]
    free = all(a[1] <= b[0] for a, b in pairwise(old))
    if labels and free and old[0][0] >= 0 and old[-1][1] <= 10:
        np.testing.assert_allclose(new, centres, atol=1e-9)


def test_a_png_holds_the_picture(tmp_path):
    rgb = spectrogram_with_tokens(features(30), HOP_S, TOKENS)
    save_png(rgb, tmp_path / "new folder/picture.png")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "new folder/picture.png")), rgb)


def test_a_png_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"picture\.png: could not be written"):
        save_png(np.zeros((2, 2, 3), np.uint8), tmp_path / "file/picture.png")


def test_real_speech_can_be_drawn(shared_data):
    waveform = audio.read(next(iter(sorted(shared_data.glob("speech_commands_wav/yes/*.wav")))))
    frames = np.lib.stride_tricks.sliding_window_view(waveform, 400)[::160] * np.hanning(400)
    power = np.log(np.abs(np.fft.rfft(frames)) ** 2 + 1e-6)
    rgb = spectrogram_with_tokens(power, HOP_S, TOKENS, "reference  yes")
    assert rgb[..., 0].std() > 20  # contrast


def test_importing_the_room_loads_no_optional_or_heavy_package():
    names = "{'matplotlib', 'wandb', 'tensorboard', 'torch'}"
    program = f"import src.logger, sys; assert not {names} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, check=True)
