"""Recordings of one's own: a folder with texts beside them, or a list with parts of them."""

import math

import numpy as np
import pytest
import soundfile

from src.datasets import Batches, Folder, cached, make_loader
from src.text import Characters
from src.utils.errors import UserError
from tests.datasets.tiny_corpora import append, damaged, samples, sound


def write(root, said: dict[str, str]) -> None:
    """name of a recording → its words, in the .txt file beside it."""
    for name, words in said.items():
        sound(root / name).with_suffix(".txt").write_text(words, encoding="utf-8")


def read(root, split: str = "train", **keys) -> Folder:
    return Folder(root, split, Characters(), **({"validation_share": 0, "test_share": 0} | keys))


def test_texts_beside_recordings_are_their_transcripts(tmp_path):
    write(tmp_path, {"a.wav": "Go\nup!", "day 1/b.FLAC": "\ufeffstop", "day 1/c.ogg": "no"})
    (tmp_path / "a.txt").rename(tmp_path / "a.TXT")
    corpus = read(tmp_path)
    found = {u.id: (u.target, u.speaker, len(u.waveform)) for u in corpus}
    assert found == {
        "a": ("go up", "", 8000),
        "day_1_b": ("stop", "", 8000),
        "day_1_c": ("no", "", 8000),
    }


def test_every_part_of_a_small_folder_has_someone_and_together_they_are_all(tmp_path):
    write(tmp_path, {f"{i}.wav": "word" for i in range(8)})
    parts = [set(Folder(tmp_path, s, Characters()).ids) for s in ("train", "validation", "test")]
    assert [len(part) for part in parts] == [6, 1, 1]
    assert set.union(*parts) == set(map(str, range(8)))


@pytest.mark.parametrize(
    "line",
    [
        r'{"path": "a\u0000b.wav", "text": "x"}',
        r'{"path": "a\ud800b.wav", "text": "x"}',
        r'{"path": "a.wav", "id": "q", "text": "x", "speaker": "\ud800"}',
        r'{"path": "a.wav", "id": "\ud800", "text": "x", "split": "none"}',
        f'{{"path": "a.wav", "id": "q", "text": "x", "duration": 1{"0" * 400}}}',
        f'{{"path": "{"x" * 300}.wav", "text": "x"}}',
    ],
    ids=["zero byte", "odd path", "odd speaker", "odd id", "huge duration", "long path"],
)
def test_a_bad_line_of_a_list_never_ends_the_run(tmp_path, caplog, line):
    sound(tmp_path / "a.wav")
    (tmp_path / "list.jsonl").write_text('{"path": "a.wav", "text": "go"}\n' + line)
    for index_dir in (None, tmp_path / "index"):
        assert list(read(tmp_path / "list.jsonl", index_dir=index_dir).ids) == ["a"]
    assert "kept 1 of 2 utterances; 1 can't be used" in caplog.text


def test_flaws_of_a_folder_are_named(tmp_path, caplog):
    write(tmp_path, {"a.wav": "go", "mute.wav": " \n", "digits.wav": "1 2", "fast.wav": "x" * 99})
    write(tmp_path, {"long.wav": "long", "short.wav": "short", "utf16.wav": ""})
    sound(tmp_path / "long.wav", 3.0)
    sound(tmp_path / "short.wav", 0.01)
    sound(tmp_path / "untold.wav")
    sound(tmp_path / "a.flac", 1.0)
    damaged(tmp_path / "torn.wav").with_suffix(".txt").write_text("torn")
    (tmp_path / "void.wav").touch()
    (tmp_path / "void.txt").write_text("void")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    sound(tmp_path / "latin.wav")
    (tmp_path / "utf16.txt").write_text("sixteen bits", encoding="utf-16")
    (tmp_path / "notes.txt").write_text("about this folder")
    limits = {"min_duration_s": 0.1, "max_duration_s": 2.0, "max_characters_per_s": 40}
    corpus = read(tmp_path, **limits)
    assert set(corpus.ids) == {"a", "utf16"}
    assert corpus.durations_s.tolist() == [1.0, 0.5]  # a.flac comes before a.wav
    for told in (
        "train: kept 2 of 13 utterances; 11 can't be used",
        "1 in a second audio file of an utterance (a.wav)",
        "1 with audio but no transcript (untold)",
        "1 with a transcript but no audio (notes.txt)",
        "1 whose transcript is not UTF-8 text (latin)",
        "2 with unreadable audio (torn, void",
        "1 with more than 40 characters a second (fast)",
        "1 shorter than 0.1 s (short)",
        "1 longer than 2 s (long)",
        "1 whose transcript the vocabulary can't write (digits",
        "1 with an empty transcript (mute)",
    ):
        assert told in caplog.text
    assert set(corpus.unreadable) == {"torn", "void"}


@pytest.fixture
def parts(tmp_path):
    """A list of parts of one recording of 2 s whose samples count up."""
    soundfile.write(tmp_path / "day.wav", samples(32000), 16000, subtype="PCM_16")
    rows = ["path,text,start,duration", "day.wav,one,0,0.5", "day.wav,two,0.75,0.25"]
    rows += ["day.wav,rest,1.5,", "day.wav,whole,,", "day.wav,late,2.5,", "day.wav,over,1.6,1"]
    (tmp_path / "list.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "list.csv"


def test_parts_are_cut_where_the_list_says(parts, caplog):
    corpus = read(parts)
    found = {
        u.transcript: np.round(u.waveform * 2**15).astype(int)
        for u in map(corpus.__getitem__, [0, 1, 2, 3])
    }
    for words, start, end in (("one", 0, 8000), ("two", 12000, 16000), ("rest", 24000, 32000)):
        np.testing.assert_array_equal(found[words], np.arange(start, end))
    assert len(found["whole"]) == 32000
    assert "1 reaching beyond the end of their recording (day-00002500)" in caplog.text


def test_a_part_that_is_not_all_there_is_never_given_short(parts):
    corpus = read(parts)
    row = list(corpus.transcripts).index("over")  # known by the list only, so met when it is read
    with pytest.raises(
        UserError, match=r"1\.00 s from 1\.60 s on should be day-.* ends after 0\.40"
    ):
        corpus[row]


def test_a_duration_that_is_not_the_recording_s_is_noticed(parts):
    parts.write_text("path,text,duration\nday.wav,just a part,0.5\n")
    with pytest.raises(
        UserError, match=r"lasts 2\.00 s, but its list says 0\.50 s.* give it a start"
    ):
        read(parts)[0]
    parts.write_text("path,text,duration\nday.wav,all of it,1.9\n")
    assert len(read(parts)[0].waveform) == 32000


def test_a_reading_process_gives_the_same(parts):
    corpus = read(parts, limit=4)
    [batch] = make_loader(corpus, Batches(corpus.durations_s, 4, shuffle=False), n_workers=1)
    assert batch.ids == list(corpus.ids)
    assert batch.waveform_lengths.tolist() == [len(u.waveform) for u in corpus]


def test_official_splits_and_speakers_of_a_list_are_kept(tmp_path):
    lines = ["path\ttext\tspeaker\tsplit"]
    for i in range(40):
        sound(tmp_path / f"{i}.wav", 0.1)
        lines.append(f"{i}.wav\tgo\ts{i % 20}\t{'test' if i % 20 == 0 else ''}")
    (tmp_path / "l.tsv").write_text("\n".join(lines))
    read_ = {
        s: Folder(tmp_path / "l.tsv", s, None, validation_share=0.2) for s in ("train", "test")
    }
    read_["validation"] = Folder(tmp_path / "l.tsv", "validation", None, validation_share=0.2)
    speakers = {split: {u.speaker for u in part} for split, part in read_.items()}
    assert speakers["test"] == {"s0"}
    assert not speakers["train"] & speakers["validation"]
    assert sum(map(len, speakers.values())) == 20


def test_all_of_a_list_is_read_where_it_is_asked_for(tmp_path, caplog):
    rows = {"a": "test", "b": "train", "c": "", "d": "dev", "gone": ""}
    for name in "abcd":
        sound(tmp_path / f"{name}.wav")
    lines = [f"{name}.wav;go;{split}" for name, split in rows.items()]
    (tmp_path / "l.csv").write_text("\n".join(["path;text;split", *lines]))
    assert list(Folder(tmp_path / "l.csv", "all", None).ids) == ["a", "b", "c", "d"]
    assert "folder l.csv all: kept 4 of 5 utterances; 1 can't be used: 1 " in caplog.text
    with pytest.raises(UserError, match="split=every: expected one of train, validation, test, a"):
        Folder(tmp_path / "l.csv", "every", None)


def test_a_cache_gives_the_same_utterances(parts, tmp_path):
    corpus = read(parts, limit=4)
    packed = cached(corpus, tmp_path / "cache", n_workers=0)
    assert list(packed.ids) == list(corpus.ids)
    for one, other in zip(corpus, packed, strict=True):
        np.testing.assert_array_equal(np.round(one.waveform * 2**15), other.waveform)
        assert (one.id, one.tokens) == (other.id, other.tokens)


def test_other_rates_are_resampled_or_refused(tmp_path):
    sound(tmp_path / "a.wav", rate=8000).with_suffix(".txt").write_text("go")
    assert read(tmp_path)[0].waveform.shape == (8000,)
    with pytest.raises(UserError, match="recorded at 8000 Hz"):
        read(tmp_path, resample=False)[0]


def test_what_is_no_folder_or_list_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"gone: no such folder or list; set dataset\.root"):
        read(tmp_path / "gone")
    (tmp_path / "list.csv").write_text("path,text\n")
    with pytest.raises(
        UserError, match=r"no recordings in it.*Did you mean dataset\.root=.*list\.c"
    ):
        read(tmp_path)
    with pytest.raises(UserError, match="none of 0 utterances can be used because it has no rows"):
        read(tmp_path / "list.csv")
    append(tmp_path / "list.csv", "a.wav,go\n")
    with pytest.raises(UserError, match=r"none of 1 utterance .*no audio"):
        read(tmp_path / "list.csv")


def test_a_split_that_nobody_falls_to_is_refused(tmp_path):
    write(tmp_path, {f"{i}.wav": "word" for i in range(5)})
    with pytest.raises(UserError, match=r"none of its 5 utterances falls to test; choose"):
        read(tmp_path, "test")


@pytest.mark.parametrize("most", [math.nan, 0.0, -1.0])
def test_a_fastest_speech_that_no_number_is_below_is_refused(most, tmp_path):
    write(tmp_path, {"a.wav": "go"})
    with pytest.raises(UserError, match=r"max_characters_per_s=.*; expected null or a number"):
        read(tmp_path, max_characters_per_s=most)
