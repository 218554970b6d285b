"""Common Voice in its own layout: official parts, MP3 clips, and the flaws of its lists."""

import numpy as np
import pytest

from src.datasets import CommonVoice
from src.text import Characters, SpanishCharacters
from src.utils.errors import UserError
from tests.datasets.tiny_corpora import append, damaged, write_common_voice

TRAIN = [("ana", "common_voice_es_1", "¿Qué hora es?"), ("ana", "common_voice_es_2", "El niño.")]
DEV = [("beto", "common_voice_es_3", "Sí.")]
TEST = [("eva", "common_voice_es_4", 'Dijo "adiós".')]
MORE = [("leo", "common_voice_es_5", "Buenos días"), ("eva", "common_voice_es_6", "Otra vez")]


@pytest.fixture
def root(tmp_path):
    lists = {"train": TRAIN, "dev": DEV, "test": TEST, "validated": TRAIN + DEV + TEST + MORE}
    return write_common_voice(tmp_path / "cv-corpus-17.0" / "es", lists)


def ids(corpus: CommonVoice) -> list[str]:
    return [name.removeprefix("common_voice_es_") for name in corpus.ids]


def test_the_official_parts_are_the_splits(root):
    text = SpanishCharacters()
    splits = ("train", "validation", "test")
    assert [ids(CommonVoice(root, split, text)) for split in splits] == [["1", "2"], ["3"], ["4"]]


def test_an_utterance_has_its_sound_its_words_and_its_speaker(root):
    corpus = CommonVoice(root, "train", SpanishCharacters())
    utterance = corpus[0]
    assert (utterance.id, utterance.speaker) == ("common_voice_es_1", "ana")
    assert (utterance.transcript, utterance.target) == ("¿Qué hora es?", "qué hora es")
    assert SpanishCharacters().vocabulary.decode(utterance.tokens) == "qué hora es"
    # MP3 has whole frames of 1152 samples: half a second at 32 kHz comes back a little longer.
    assert 8000 <= len(utterance.waveform) < 9000
    assert len(utterance.waveform) == pytest.approx(16000 * corpus.durations_s[0], abs=2)
    assert 0.05 < np.abs(utterance.waveform).max() < 0.2


def test_quotes_in_a_sentence_are_marks_like_others(root):
    assert CommonVoice(root, "test", SpanishCharacters())[0].target == "dijo adiós"


def test_validated_leaves_out_the_clips_and_the_people_of_dev_and_test(root):
    corpus = CommonVoice(root, "train", SpanishCharacters(), train_list="validated")
    assert ids(corpus) == ["1", "2", "5"]  # eva of 6 is heard in test


def test_the_folder_around_the_language_will_do(root):
    assert len(CommonVoice(root.parent, "train", None)) == 2


def test_flaws_are_counted_and_never_end_the_run(root, caplog):
    clips, path = root / "clips", root / "train.tsv"
    damaged(clips / "broken.mp3")
    (clips / "empty.mp3").touch()
    for clip in ("gone", "broken", "empty", "common_voice_es_1"):
        append(path, f"x\t{clip}.mp3\td\tbien\t2\t0\t\t\tes\n")
    for clip, sentence in (("7", ""), ("8", "Año 1984"), ("9", "a" * 100), ("10", None)):
        (clips / f"{clip}.mp3").hardlink_to(clips / "common_voice_es_1.mp3")
        if sentence is not None:
            append(path, f"x\t{clip}.mp3\td\t{sentence}\t2\t0\t\t\tes\n")
    append(path, "half a line\n\n")
    append(path, b"x\t10.mp3\td\tma\xf1ana\t2\t0\t\t\tes\n")
    corpus = CommonVoice(root, "train", SpanishCharacters(), max_characters_per_s=40)
    assert ids(corpus) == ["1", "2"]
    for told in (
        "kept 2 of 11 utterances; 9 can't be used",
        "1 listed more than once, first line used (common_voice_es_1)",
        "1 malformed (train.tsv line 11; first: 1 column instead of 9)",
        "1 whose transcript is not UTF-8 text (10)",
        "1 with a transcript but no audio (gone",
        "2 with unreadable audio (broken, empty",
        "1 with more than 40 characters a second (9)",
        "1 whose transcript the vocabulary can't write (8",
        "1 with an empty transcript (7)",
    ):
        assert told in caplog.text
    assert set(corpus.unreadable) == {"broken", "empty"}


def test_english_letters_leave_out_what_they_can_t_write(root):
    with pytest.raises(UserError, match=r"none of 2 utterances .* vocabulary has no 'é'"):
        CommonVoice(root, "train", Characters())


def test_durations_that_the_release_lists_are_taken(root):
    lines = [f"common_voice_es_{i}.mp3\t{600 + i}" for i in (1, 2)]
    (root / "clip_durations.tsv").write_text("clip\tduration[ms]\n" + "\n".join(lines) + "\n")
    corpus = CommonVoice(root, "train", None)
    np.testing.assert_allclose(corpus.durations_s, [0.601, 0.602])
    assert len(corpus[0].waveform) < 9000  # the whole clip, whatever the list says


def test_clips_of_the_first_release_are_listed_without_their_ending(root):
    with_ending = list(CommonVoice(root, "train", None).ids)
    content = (root / "train.tsv").read_text(encoding="utf-8")
    (root / "train.tsv").write_text(content.replace(".mp3", ""), encoding="utf-8")
    assert list(CommonVoice(root, "train", None).ids) == with_ending


def test_lists_with_a_mark_and_windows_line_ends_are_read(root):
    content = (root / "train.tsv").read_text(encoding="utf-8")
    (root / "train.tsv").write_bytes(content.replace("\n", "\r\n").encode("utf-8-sig"))
    assert ids(CommonVoice(root, "train", SpanishCharacters())) == ["1", "2"]


def test_what_is_missing_is_named_with_a_way_to_it(root, tmp_path):
    with pytest.raises(UserError, match=r"is no Common Voice.*needs an account.*mozillafoundation"):
        CommonVoice(tmp_path / "nowhere", "train", None)
    with pytest.raises(UserError, match=r"other\.tsv: no such list .* there are dev, test, train"):
        CommonVoice(root, "train", None, train_list="other")
    (root / "dev.tsv").write_text("id,words\n")
    with pytest.raises(UserError, match=r"dev\.tsv: has no column client_id, path, sentence"):
        CommonVoice(root, "validation", None)
    with pytest.raises(UserError, match="split=dev: expected one of train, validation, test"):
        CommonVoice(root, "dev", None)
