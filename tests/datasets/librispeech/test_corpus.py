"""LibriSpeech as a dataset: real speech, speakers apart, and a way out when it is absent."""

import numpy as np
import pytest

from src.batch import to_float
from src.datasets import Batches, LibriSpeech, make_loader
from src.datasets.librispeech.rows import is_validation_speaker
from src.text import Characters
from src.utils.errors import UserError
from tests.datasets.tiny_corpus import write_chapter


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Part `a` with speakers 1 … 40, an utterance each, and part `b` with speaker 90."""
    folder = tmp_path_factory.mktemp("corpus") / "LibriSpeech"
    for speaker in range(1, 41):
        write_chapter(folder / "a", str(speaker), {"GO UP": 0.02 * speaker})
    write_chapter(folder / "b", "90", {"STOP IT": 0.5, "N0": 0.6})
    return folder


def test_an_utterance_has_its_sound_its_words_and_its_speaker(root):
    corpus = LibriSpeech(root, ["b"], Characters())
    assert (len(corpus), list(corpus.ids), corpus.durations_s.tolist()) == (1, ["90-1-0000"], [0.5])
    utterance = corpus[0]
    assert (utterance.id, utterance.speaker) == ("90-1-0000", "90")
    assert (utterance.transcript, utterance.target) == ("STOP IT", "stop it")
    assert Characters().vocabulary.decode(utterance.tokens) == "stop it"
    assert utterance.waveform.shape == (8000,)
    assert utterance.waveform.dtype == np.float32


def test_a_line_of_transcripts_ends_at_its_newline_only(tmp_path):
    said = "ONE\u2028TWO\x0cTHREE\x85FOUR"
    write_chapter(tmp_path / "part", "7", {said: 0.1})
    dataset = LibriSpeech(tmp_path, "part", Characters())
    assert dataset[0].transcript == said
    assert dataset[0].target == "one two three four"


def test_waveforms_come_at_the_wanted_rate(root):
    assert LibriSpeech(root, "b", None, sample_rate=8000)[0].waveform.shape == (4000,)
    refusing = LibriSpeech(root, "b", None, sample_rate=8000, resample=False)
    with pytest.raises(UserError, match=r"recorded at 16000 Hz, but .* 8000 Hz"):
        refusing[0]


@pytest.mark.parametrize("place", [".", ".."])
def test_root_may_be_the_corpus_or_the_folder_around_it(root, place):
    assert len(LibriSpeech(root / place, ["a", "b"], None)) == 42


def test_several_parts_are_one_corpus_and_limits_hold_over_all(root, caplog):
    corpus = LibriSpeech(root, ["a", "b"], Characters(), min_duration_s=0.45, sort="duration")
    assert np.all(np.diff(corpus.durations_s) >= 0)
    assert corpus.durations_s[0] >= 0.45
    assert "90-1-0000" in list(corpus.ids)
    assert "LibriSpeech a+b: kept 19 of 42 utterances" in caplog.text
    assert "1 whose transcript the vocabulary can't write (90-1-0001; first: 'N0'" in caplog.text
    shortest = [len(corpus[0].waveform), len(corpus[1].waveform)]
    np.testing.assert_allclose(shortest, corpus.durations_s[:2] * 16000, rtol=1e-5)


def test_speakers_are_shared_out_without_overlap_or_loss(root):
    sides = [
        LibriSpeech(root, "a", None, speakers=speakers, validation_share=0.3)
        for speakers in ("train", "validation")
    ]
    train, validation = ({u.speaker for u in side} for side in sides)
    assert train.isdisjoint(validation)
    assert train | validation == {str(speaker) for speaker in range(1, 41)}
    assert min(len(train), len(validation)) >= 5


def test_a_speaker_s_side_depends_on_nothing_but_the_name():
    names = [str(speaker) for speaker in range(10_000)]
    small = {name for name in names if is_validation_speaker(name, 0.05)}
    large = {name for name in names if is_validation_speaker(name, 0.2)}
    assert small < large  # a larger share only adds speakers
    assert 0.04 < len(small) / 10_000 < 0.06
    assert 0.18 < len(large) / 10_000 < 0.22
    # SHA-256("103") begins 454f63ac…, 0x454f/0x10000 = 0.2707: written down so that a change
    # of the rule, which would move training speakers into validation, can't pass unnoticed.
    assert not is_validation_speaker("103", 0.27)
    assert is_validation_speaker("103", 0.271)


@pytest.mark.parametrize(
    ("speakers", "share", "advice"), [("validation", 0.01, "Raise"), ("train", 0.99, "Lower")]
)
def test_a_share_that_leaves_nobody_on_one_side_is_refused(tmp_path, speakers, share, advice):
    write_chapter(tmp_path / "a", "103", {"GO": 0.1})  # 0.2707 on the scale of shares
    with pytest.raises(UserError) as error:
        LibriSpeech(tmp_path, "a", None, speakers=speakers, validation_share=share)
    assert f"validation_share={share}: of these 1 speakers none falls to {speakers}" in str(
        error.value
    )
    assert str(error.value).endswith(f"{advice} dataset.validation_share.")


def test_only_the_chosen_speakers_flaws_are_told(tmp_path, caplog):
    for speaker in map(str, range(1, 21)):
        write_chapter(tmp_path / "a", speaker, {"GO": 0.1, "UP": 0.1})
        (tmp_path / "a" / speaker / "1" / f"{speaker}-1-0001.flac").unlink()
    for speakers in ("train", "validation"):
        caplog.clear()
        n = len(LibriSpeech(tmp_path, "a", None, speakers=speakers, validation_share=0.4))
        assert f"({speakers} speakers): kept {n} of {2 * n}" in caplog.text
        assert f"{n} with a transcript but no audio" in caplog.text


def test_an_utterance_in_two_parts_is_used_once(tmp_path, caplog):
    for part in ("a", "b"):
        write_chapter(tmp_path / part, "1", {"GO": 0.1})
    assert len(LibriSpeech(tmp_path, ["a", "b"], None)) == 1
    assert "1 listed more than once, first line used (1-1-0000)" in caplog.text


def test_unreadable_audio_is_left_out_by_name(tmp_path, caplog):
    write_chapter(tmp_path / "a", "1", {"GO": 0.1, "UP": 0.1})
    (tmp_path / "a/1/1/1-1-0000.flac").write_bytes(b"noise")
    corpus = LibriSpeech(tmp_path, "a", None)
    assert list(corpus.ids) == ["1-1-0001"]
    assert "kept 1 of 2 utterances; 1 can't be used: 1 with unreadable audio" in caplog.text
    assert list(corpus.unreadable) == ["1-1-0000"]
    assert "1-1-0000.flac: " in corpus.unreadable["1-1-0000"]


def test_audio_that_turns_out_damaged_is_named_even_from_a_worker(tmp_path):
    write_chapter(tmp_path / "a", "1", {"GO": 0.5}, suffix=".wav")
    corpus = LibriSpeech(tmp_path, "a", Characters())
    file = tmp_path / "a/1/1/1-1-0000.wav"
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(UserError, match=r"1-1-0000\.wav: is cut short"):
        next(iter(make_loader(corpus, Batches([0.5], 1, shuffle=False), n_workers=1)))


def test_an_absent_part_says_where_it_looked_what_is_there_and_how_to_get_it(root):
    with pytest.raises(UserError) as error:
        LibriSpeech(root, ["train-clean-100"], None)
    message = str(error.value)
    assert f"not in {root.resolve()} (there are a, b)" in message
    assert "6.4 GB" in message
    assert (
        "python train.py -cn=deepspeech2 dataset=librispeech dataset.download=true "
        f"dataset.root={root}"
    ) in message


@pytest.mark.parametrize(
    ("part", "command"),
    [
        ("train-clean-100", "python train.py -cn=deepspeech2"),
        ("test-clean", "python inference.py -cn=inference checkpoint=FILE"),
        ("test-other", "python inference.py -cn=inference_other checkpoint=FILE"),
    ],
)
def test_an_absent_corpus_names_the_command_that_fetches_it(tmp_path, monkeypatch, part, command):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="there are no parts at all") as error:
        LibriSpeech("data/LibriSpeech", part, None)
    assert str(error.value).endswith(f"{command} dataset=librispeech dataset.download=true")


def test_a_misspelt_part_is_met_with_the_right_name(root):
    with pytest.raises(UserError, match=r"no.* part dev-cleen; did you mean dev-clean"):
        LibriSpeech(root, ["dev-cleen"], None)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"parts": []}, "name at least one part"),
        ({"parts": ["a", "a"]}, "each once"),
        ({"speakers": "test"}, "speakers=test: expected one of all, train, validation"),
        ({"validation_share": 5}, "validation_share=5: expected a share between 0 and 1"),
        ({"speakers": "validation", "validation_share": 0.0001}, "none falls to validation"),
    ],
)
def test_senseless_arguments_are_refused(root, keys, message):
    with pytest.raises(UserError, match=message):
        LibriSpeech(**{"root": root, "parts": ["a"], "text": None} | keys)


def test_real_opus_and_flac_speech_is_read(shared_data, tmp_path):
    root, text = shared_data / "LibriSpeech", Characters()
    parts = ["train-clean-100", "test-other"]
    corpus = LibriSpeech(root, parts, text, index_dir=tmp_path, sort="duration")
    assert len(corpus) == 1107 + 50
    opus = next(i for i, name in enumerate(corpus.ids) if name == "211-122425-0000")
    assert corpus[opus].target.startswith("do you know that his eminence has been making")
    batches = make_loader(corpus, Batches(corpus.durations_s[:12], 4, shuffle=True), n_workers=1)
    for batch in batches:
        rows = [list(corpus.ids).index(name) for name in batch.ids]
        seconds = batch.waveform_lengths.numpy() / 16000
        np.testing.assert_allclose(seconds, corpus.durations_s[rows], atol=1e-4)
        assert 0.01 < to_float(batch.waveforms).abs().max() <= 1.0
