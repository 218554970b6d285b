"""More clips for training only, from folders beside the corpus."""

import h5py
import numpy as np
import pytest

from scripts.prepare_speech_commands import main
from src.datasets.commands.folder import SPLITS
from tests.datasets.commands.tiny_commands import SECOND, split_of, write_clip, write_corpus


@pytest.fixture
def corpus(tmp_path):
    return write_corpus(tmp_path / "clips")


def pack(tmp_path, *folders):
    out = tmp_path / "commands.h5"
    folders = [str(tmp_path / name) for name in folders]
    main(["--source", str(tmp_path / "clips"), "--train_also", *folders, "--out", str(out)])
    return out


def splits_by_id(path):
    with h5py.File(path) as file:
        ids = [name.decode() for name in file["ds/id"]]
        return dict(zip(ids, (SPLITS[split] for split in file["ds/split"]), strict=True))


def test_clips_of_other_folders_are_all_for_training(tmp_path, corpus):
    random = np.random.default_rng(1)
    extra = {}
    for name in ("bed/spoken1_nohash_0", "yes/spoken2_nohash_0"):
        extra[name] = random.integers(-999, 999, SECOND, dtype=np.int16)
        write_clip(tmp_path / "spoken", name, extra[name])
    (tmp_path / "spoken" / "testing_list.txt").write_text("bed/spoken1_nohash_0.wav\n")
    path = pack(tmp_path, "spoken")
    splits = splits_by_id(path)
    assert splits == {name: split_of(name) for name in corpus} | dict.fromkeys(extra, "train")
    with h5py.File(path) as file:
        stored = {name.decode(): row for row, name in enumerate(file["ds/id"])}
        for name, samples in extra.items():
            np.testing.assert_array_equal(file["ds/data"][stored[name]], samples)


def test_words_that_the_corpus_has_not_stay_out(tmp_path, corpus):
    write_clip(tmp_path / "a", "bed/spoken1_nohash_0", np.ones(SECOND, np.int16))
    write_clip(tmp_path / "a", "visual/spoken1_nohash_0", np.ones(SECOND, np.int16))
    write_clip(tmp_path / "b", "down/spoken3_nohash_0", np.ones(SECOND, np.int16))
    found = splits_by_id(pack(tmp_path, "a", "b"))
    assert set(found) - set(corpus) == {"bed/spoken1_nohash_0", "down/spoken3_nohash_0"}


def test_a_clip_that_the_corpus_has_already_is_refused(tmp_path, corpus):
    name = next(iter(corpus))
    write_clip(tmp_path / "spoken", name, np.ones(SECOND, np.int16))
    with pytest.raises(SystemExit, match="would be the same clip"):
        pack(tmp_path, "spoken")
    assert not (tmp_path / "commands.h5").exists()


def test_a_folder_of_other_words_is_refused(tmp_path, corpus):
    write_clip(tmp_path / "spoken", "visual/spoken1_nohash_0", np.ones(SECOND, np.int16))
    with pytest.raises(SystemExit, match="no clip of any of the corpus's 3 words") as stopped:
        pack(tmp_path, "spoken")
    assert "\n" not in str(stopped.value.code)


def test_an_absent_folder_is_refused(tmp_path, corpus):
    with pytest.raises(SystemExit, match="no audio found"):
        pack(tmp_path, "nowhere")
