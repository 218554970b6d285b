"""The reader of packed Speech Commands gives back what was packed, whoever reads."""

import multiprocessing
import os
import pickle
import shutil

import h5py
import numpy as np
import pytest
import torch

from src.datasets import Batches, SpeechCommands, make_loader
from src.text import Characters, Phonemes
from src.utils.errors import UserError
from tests.datasets.commands.tiny_commands import (
    SECOND,
    SPEAKERS,
    WORDS,
    pack_corpus,
    safe,
    split_of,
)

LENGTHS = (SECOND, 9000, 12345)
SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """The samples of a corpus by id, and the file that holds it."""
    return pack_corpus(tmp_path_factory.mktemp("commands"), n_each=4, lengths=LENGTHS)


@pytest.mark.parametrize("split", SPLITS)
def test_every_clip_of_the_split_comes_back_as_it_was_recorded(packed, split):
    corpus, path = packed
    dataset = SpeechCommands(path, split, Characters())
    wanted = {safe(name): name for name in corpus if split_of(name) == split}
    assert sorted(dataset.ids) == sorted(wanted)
    for utterance in dataset:
        name = wanted[utterance.id]
        assert utterance.waveform.dtype == np.int16
        np.testing.assert_array_equal(utterance.waveform, corpus[name])
        assert utterance.transcript == name.split("/")[0]
        assert utterance.speaker == name.split("/")[1].partition("_nohash_")[0]


def test_durations_are_those_of_the_clips_without_their_padding(packed):
    dataset = SpeechCommands(packed[1], "train", None)
    assert dataset.durations_s.dtype == np.float32
    assert set(np.round(dataset.durations_s * SECOND).astype(int)) == set(LENGTHS)
    for i, utterance in enumerate(dataset):
        assert dataset.durations_s[i] == pytest.approx(len(utterance.waveform) / SECOND)


def test_a_word_becomes_letters_or_phonemes_of_either_dictionary(packed):
    for text, yes in (
        (Characters(), "yes"),
        (Phonemes("csr"), "Y EH S"),
        (Phonemes("cmu"), "Y EH S"),
    ):
        utterance = next(u for u in SpeechCommands(packed[1], "train", text) if "yes" in u.id)
        assert (utterance.transcript, utterance.target) == ("yes", yes)
        assert utterance.tokens == text.encode("yes")


def test_without_a_text_targets_are_empty(packed):
    utterance = SpeechCommands(packed[1], "train", None)[0]
    assert (utterance.target, utterance.tokens) == ("", ())


def test_no_id_can_be_taken_for_a_folder(packed):
    ids = [name for split in SPLITS for name in SpeechCommands(packed[1], split, None).ids]
    assert len(set(ids)) == len(packed[0])
    assert not any("/" in name for name in ids)


def test_no_speaker_is_in_two_splits(packed):
    heard = [{u.speaker for u in SpeechCommands(packed[1], s, None)} for s in SPLITS]
    assert set.union(*heard) == set(SPEAKERS)
    assert sum(map(len, heard)) == len(SPEAKERS)


def test_limits_keep_what_they_say_and_name_the_rest(packed, caplog):
    dataset = SpeechCommands(packed[1], "train", None, min_duration_s=0.6, max_duration_s=0.9)
    assert set(dataset.durations_s) == {np.float32(12345 / SECOND)}
    assert "Speech Commands train: kept 8 of 24" in caplog.text
    assert "shorter than 0.6 s" in caplog.text and "longer than 0.9 s" in caplog.text


def test_a_limit_keeps_many_words(packed):
    dataset = SpeechCommands(packed[1], "train", None, limit=len(WORDS))
    assert {u.transcript for u in dataset} == set(WORDS)


def test_sorting_goes_by_duration(packed):
    seconds = SpeechCommands(packed[1], "train", None, sort="duration_desc").durations_s
    assert list(seconds) == sorted(seconds, reverse=True) and len(set(seconds)) == 3


def test_words_outside_the_lexicon_are_counted_not_read(packed, caplog):
    text = Phonemes("csr", words=["yes", "bed"])
    dataset = SpeechCommands(packed[1], "train", text)
    assert {u.transcript for u in dataset} == {"yes", "bed"}
    assert "8 whose transcript the vocabulary can't write" in caplog.text


def test_a_lexicon_without_any_of_the_words_is_refused(packed):
    with pytest.raises(UserError, match="none of 24 utterances can be used"):
        SpeechCommands(packed[1], "train", Phonemes("csr", words=["zero"]))


@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
@pytest.mark.parametrize(("start", "n_workers"), [("fork", 4), ("spawn", 2)])
def test_workers_read_what_one_process_reads(packed, start, n_workers):
    dataset = SpeechCommands(packed[1], "train", Characters())
    alone = {u.id: u for u in dataset}  # the parent has the file open when workers start
    batches = Batches(dataset.durations_s, 3, shuffle=True, seed=1)
    loader = make_loader(dataset, batches, n_workers=n_workers)
    loader.multiprocessing_context = start
    n_read = 0
    for batch in [batch for _ in range(2) for batch in loader]:
        for i, name in enumerate(batch.ids):
            n = int(batch.waveform_lengths[i])
            assert torch.equal(batch.waveforms[i, :n], torch.from_numpy(alone[name].waveform))
            assert batch.transcripts[i] == alone[name].transcript
            n_read += 1
    assert n_read == 2 * len(dataset)
    # The workers' copies of the handle are gone; the parent's still reads.
    np.testing.assert_array_equal(dataset[0].waveform, alone[dataset.ids[0]].waveform)


def test_a_forked_child_does_not_disturb_its_parent(packed):
    dataset = SpeechCommands(packed[1], "train", None)
    before = [u.waveform for u in dataset]
    for _ in range(3):
        child = multiprocessing.get_context("fork").Process(target=read_all, args=(dataset,))
        child.start()
        for i in range(len(dataset)):
            np.testing.assert_array_equal(dataset[i].waveform, before[i])
        child.join()
        assert child.exitcode == 0


def read_all(dataset: SpeechCommands) -> None:
    assert [len(u.waveform) for u in dataset] == list(np.rint(dataset.durations_s * SECOND))
    assert dataset._data._pid == os.getpid()  # through a handle of its own, not the parent's


def test_a_dataset_survives_pickling_with_its_file_open(packed):
    dataset = SpeechCommands(packed[1], "train", Characters())
    first = dataset[0]
    again = pickle.loads(pickle.dumps(dataset))[0]
    np.testing.assert_array_equal(first.waveform, again.waveform)
    assert (first.id, first.tokens) == (again.id, again.tokens)


def test_a_file_that_this_process_has_open_is_read(packed):
    with h5py.File(packed[1]) as file:
        utterance = SpeechCommands(packed[1], "test", None)[0]
        row = list(file["ds/id"].asstr()).index(utterance.id.replace("_", "/", 1))
        np.testing.assert_array_equal(utterance.waveform, file["ds/data"][row])


def test_a_read_only_file_in_a_read_only_folder_is_read(packed, tmp_path):
    folder = tmp_path / "archive"
    folder.mkdir()
    path = shutil.copy(packed[1], folder / "commands.h5")
    path.chmod(0o444)
    folder.chmod(0o555)
    assert len(list(SpeechCommands(path, "train", None))) == 24
