"""Every corpus through one command: one kind of list and summary, and reasons for what is lost."""

import json
import shlex
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from PIL import Image

from scripts.prepare_data import main
from scripts.preparing.summary import summarise
from src.cli import CONFIGS
from src.datasets import AN4, CommonVoice, Folder, LibriSpeech, LJSpeech, VoxForge
from src.datasets.corpora.listing import Flaw, Row
from src.datasets.librispeech.rows import is_validation_speaker
from src.text import Characters
from tests.datasets.commands import tiny_commands
from tests.datasets.tiny_corpora import (
    append,
    damaged,
    sound,
    write_an4,
    write_common_voice,
    write_ljspeech,
    write_voxforge,
)
from tests.datasets.tiny_corpus import write_chapter
from tests.text.without_espeak import without_espeak

SPLITS = ("train", "validation", "test")
NO_LIMITS = ("--min_duration_s", "0", "--max_characters_per_s", "1000")


def an4(root: Path) -> dict:
    train = {f"an{i}-f{i:03}-b": "E N T E R" for i in range(12)}
    write_an4(root, train, {"cen1-mxyz-b": "YES", "cen2-mxyz-b": "NO"})
    return {split: AN4(root, split, None) for split in SPLITS}


def ljspeech(root: Path) -> dict:
    write_ljspeech(root, [(f"LJ001-{i:04}", "Mr. Ho", "Mister Ho") for i in range(12)])
    return {split: LJSpeech(root, split, None) for split in SPLITS}


def voxforge(root: Path) -> dict:
    for i in range(12):
        write_voxforge(root, f"speaker{i}-2010-a", {"a1": "¡Sí!", "a2": "No."})
    return {split: VoxForge(root, split, None) for split in SPLITS}


def common_voice(root: Path) -> dict:
    rows = [(f"c{i}", f"clip{i}", "Hola.") for i in range(6)]
    write_common_voice(root / "es", {"train": rows[:3], "dev": rows[3:5], "test": rows[5:]})
    return {split: CommonVoice(root, split, None) for split in SPLITS}


def folder(root: Path) -> dict:
    for i in range(6):
        sound(root / "day" / f"{i}.wav").with_suffix(".txt").write_text("go")
    return {split: Folder(root, split, None) for split in SPLITS}


@pytest.fixture
def prepare(tmp_path):
    """`python -m scripts.prepare_data NAME --root tmp_path/NAME OPTIONS` and its list."""

    def call(name: str, *options: str) -> tuple[Path, list[dict]]:
        out = tmp_path / "out" / f"{name}.jsonl"
        where = ("--root", tmp_path / name, "--out", out, "--index_dir", tmp_path / "index")
        main([name, *map(str, (*where, *options))])
        return out, [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]

    return call


@pytest.mark.parametrize("corpus", [an4, ljspeech, voxforge, common_voice, folder])
def test_a_list_is_the_corpus_split_as_the_dataset_splits_it(corpus, prepare, tmp_path, capsys):
    datasets = corpus(tmp_path / corpus.__name__)
    out, lines = prepare(corpus.__name__)
    for split, dataset in datasets.items():
        listed = Folder(out, split, None)
        assert list(listed.ids) == list(dataset.ids)
        np.testing.assert_allclose(listed.durations_s, dataset.durations_s, atol=1e-4)
        for mine, own in zip(listed, dataset, strict=True):
            assert (mine.transcript, mine.speaker) == (own.transcript, own.speaker)
            np.testing.assert_array_equal(mine.waveform, own.waveform)
    numbers = json.loads(out.with_suffix(".summary.json").read_text(encoding="utf-8"))
    assert {k: v["utterances"] for k, v in numbers["splits"].items()} == {
        split: len(dataset) for split, dataset in datasets.items()
    }
    hours = sum(d.durations_s.sum() for d in datasets.values()) / 3600
    assert sum(v["hours"] for v in numbers["splits"].values()) == pytest.approx(hours, abs=2e-4)
    assert numbers["characters"] == dict(Counter("".join(line["text"] for line in lines)))
    assert Image.open(out.with_suffix(".durations.png")).size[0] > 500
    assert out.with_suffix(".rejected.jsonl").read_text() == ""
    shown = capsys.readouterr().out
    assert f"dataset.root={out}" in shown and "validation" in shown


def test_a_summary_counts_each_part_for_itself():
    seconds = {"train": (6.0, 1.0, 2.0), "test": (4.0,)}
    rows = [
        Row("", "", "ab", speaker=f"{split}{s > 1}", split=split, duration_s=s)
        for split, lengths in seconds.items()
        for s in lengths
    ]
    found = summarise(rows, [Flaw("x", "lost"), Flaw("y", "torn"), Flaw("z", "torn")])
    names = ("utterances", "hours", "speakers", "shortest_s", "median_s", "longest_s")
    assert found["splits"] == {
        "train": dict(zip(names, (3, 0.0025, 2, 1.0, 2.0, 6.0), strict=True)),
        "test": dict(zip(names, (1, 0.0011, 1, 4.0, 4.0, 4.0), strict=True)),
    }
    assert (found["characters"], found["rejected"]) == ({"a": 4, "b": 4}, {"torn": 2, "lost": 1})


def test_librispeech_has_its_official_parts(prepare, tmp_path):
    for part, speakers in (("train-clean-100", range(30, 50)), ("test-clean", range(60, 62))):
        for speaker in speakers:
            write_chapter(tmp_path / "librispeech" / part, str(speaker), {"GO UP": 0.5})
    write_chapter(tmp_path / "librispeech" / "dev-clean", "84", {"STOP": 0.5, "NO": 0.5})
    (tmp_path / "librispeech/dev-clean/84/1/84-1-0001.flac").unlink()
    out, lines = prepare("librispeech", *NO_LIMITS)
    assert Counter(line["split"] for line in lines) == {"train": 20, "validation": 1, "test": 2}
    own = LibriSpeech(tmp_path / "librispeech", "test-clean", None)
    assert list(Folder(out, "test", None).ids) == list(own.ids)
    [lost] = map(json.loads, out.with_suffix(".rejected.jsonl").read_text().splitlines())
    assert (lost["id"], lost["reason"]) == ("84-1-0001", "with a transcript but no audio")


def test_without_dev_the_speakers_are_held_out_that_librispeech_holds_out(prepare, tmp_path):
    for speaker in range(100, 160):
        write_chapter(tmp_path / "librispeech" / "train-clean-100", str(speaker), {"GO": 0.2})
    _, lines = prepare("librispeech", "--test_share", "0")
    held_out = {line["speaker"] for line in lines if line["split"] == "validation"}
    expected = {s for s in map(str, range(100, 160)) if is_validation_speaker(s, 0.05)}
    assert held_out == expected and expected


def test_speech_commands_have_their_official_lists(prepare, tmp_path):
    tiny_commands.write_corpus(tmp_path / "speech_commands", n_each=1)
    _, lines = prepare("speech_commands")
    found = {line["id"]: (line["split"], line["text"]) for line in lines}
    for path in (tmp_path / "speech_commands").glob("*/*.wav"):
        clip = f"{path.parent.name}/{path.stem}"
        assert found[tiny_commands.safe(clip)] == (tiny_commands.split_of(clip), path.parent.name)


def test_every_row_that_is_left_out_has_a_reason(prepare, tmp_path, capsys):
    root = tmp_path / "folder"
    folder(root)
    said = {"mute": "", "digits": "1984", "fast": "x" * 99, "long": "long", "short": "short"}
    for name, words in said.items():
        seconds = {"long": 3.0, "short": 0.01}.get(name, 0.5)
        sound(root / f"{name}.wav", seconds).with_suffix(".txt").write_text(words)
    damaged(root / "torn.wav").with_suffix(".txt").write_text("torn")
    sound(root / "untold.wav")
    (root / "alone.txt").write_text("alone")
    out, lines = prepare("folder", "--text", "characters", "--max_duration_s", "2")
    assert {line["id"] for line in lines} == {f"day_{i}" for i in range(6)}
    lost = map(json.loads, out.with_suffix(".rejected.jsonl").read_text().splitlines())
    assert {line["id"]: line["reason"] for line in lost} == {
        "mute": "with an empty transcript",
        "digits": "whose transcript the vocabulary can't write",
        "fast": "with more than 40 characters a second",
        "long": "longer than 2 s",
        "short": "shorter than 0.1 s",
        "torn": "with unreadable audio",
        "untold": "with audio but no transcript",
        "alone.txt": "with a transcript but no audio",
    }
    shown = capsys.readouterr().out
    assert "with unreadable audio" in shown and "torn.wav: not readable as audio" in shown


def test_a_list_is_held_against_its_recordings(prepare, tmp_path):
    sound(tmp_path / "a.wav", 1.0)
    sound(tmp_path / "b.wav", 1.0)
    rows = ["path,text,start,duration", "a.wav,whole,,1.2", "b.wav,of another,,7"]
    rows += ["a.wav,half,0.5,0.5", "a.wav,over,0.75,0.5"]
    (tmp_path / "list.csv").write_text("\n".join(rows))
    (tmp_path / "folder").mkdir()
    out, lines = prepare("folder", "--root", tmp_path / "list.csv")
    assert {line["text"]: line["duration"] for line in lines} == {"whole": 1.0, "half": 0.5}
    lost = map(json.loads, out.with_suffix(".rejected.jsonl").read_text().splitlines())
    assert {line["id"]: (line["reason"], line["explanation"]) for line in lost} == {
        "a-00000750": ("reaching beyond the end of their recording", ""),
        "b": ("whose recording lasts longer or shorter than listed", "1.00 s instead of 7.00 s"),
    }


def test_a_list_beside_the_recordings_moves_with_them(tmp_path):
    folder(tmp_path / "folder")
    out, index = str(tmp_path / "folder/l.jsonl"), str(tmp_path / "index")
    main(["folder", "--root", str(tmp_path / "folder"), "--out", out, "--index_dir", index])
    (tmp_path / "folder").rename(tmp_path / "moved")
    assert Folder(tmp_path / "moved/l.jsonl", "train", Characters())[0].target == "go"


def test_a_list_is_not_written_without_what_its_text_needs(prepare, tmp_path, monkeypatch):
    folder(tmp_path / "folder")
    (tmp_path / "folder/day/0.txt").write_text("obokiak")
    without_espeak(monkeypatch)
    with pytest.raises(SystemExit, match="pip install espeakng-loader"):
        prepare("folder", "--text", "phonemes_cmu_open")
    assert not (tmp_path / "out").exists()


def test_what_a_list_says_in_no_encoding_is_told_and_left_out(tmp_path, capsys):
    sound(tmp_path / "a.wav")
    lines = [
        '{"path": "a.wav", "text": "go"}',
        r'{"path": "a.wav", "text": "x", "split": "\ud800"}',
    ]
    (tmp_path / "said.jsonl").write_text("\n".join(lines))
    where = ["--root", tmp_path / "said.jsonl", "--out", tmp_path / "l.jsonl"]
    main(["folder", *map(str, [*where, "--index_dir", tmp_path])])
    assert r"split=\ud800" in capsys.readouterr().out


def test_the_line_that_is_told_trains_on_a_list_of_any_name(tmp_path, capsys):
    folder(tmp_path / "Übung, 1")
    out = tmp_path / "Übung, 1" / 'a "list".jsonl'
    where = ["--root", tmp_path / "Übung, 1", "--out", out, "--index_dir", tmp_path / "index"]
    main(["folder", *map(str, where)])
    told = capsys.readouterr().out.splitlines()[-1].removeprefix("train on it: ")
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = compose("deepspeech2", shlex.split(told))
    assert config.dataset.train.root == str(out)


def test_validated_clips_of_common_voice_without_those_of_dev_and_test(prepare, tmp_path):
    common_voice(tmp_path / "common_voice")
    rows = [("c9", "clip9", "Más."), ("c5", "clip5", "Hola."), ("c5", "clip7", "Otra.")]
    write_common_voice(tmp_path / "common_voice" / "es", {"validated": rows})
    _, lines = prepare("common_voice", "--train_list", "validated")
    assert [line["id"] for line in lines if line["split"] == "train"] == ["clip9"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["an4", "--root", "{}/nowhere"], r"nowhere: no such folder; give --root"),
        (["an4", "--root", "{}"], r"is no AN4, which has etc/an4_train\.transcription"),
        (["common_voice", "--root", "{}"], "needs an account"),
        (["common_voice", "--root", "{}", "--download"], "not downloaded here.* needs an account"),
        (["librispeech", "--root", "{}", "--download"], "dataset.download=true"),
        (["librispeech", "--root", "{}"], "LibriSpeech train-clean-100: not in"),
        (["voxforge", "--root", "{}", "--download"], "publishes no checksums.*--archives FILE"),
        (["folder", "--root", "{}", "--text", "charactres"], "did you mean characters?"),
        (["folder", "--root", "{}", "--test_share", "2"], "test_share=2.0: expected a share"),
    ],
)
def test_a_mistake_ends_in_one_line(arguments, message, tmp_path):
    sound(tmp_path / "a.wav").with_suffix(".txt").write_text("go")
    with pytest.raises(SystemExit, match=rf"^prepare_data: .*{message}") as leaving:
        main([word.format(tmp_path) for word in arguments])
    assert "\n" not in leaving.value.code


def test_a_corpus_of_which_nothing_is_usable_writes_nothing(prepare, tmp_path):
    damaged(tmp_path / "folder" / "a.wav").with_suffix(".txt").write_text("go")
    with pytest.raises(
        SystemExit, match=r"none of 1 row .* The first: a with unreadable audio \(.*a\.wav: not re"
    ):
        prepare("folder")
    assert not (tmp_path / "out").exists()


def test_a_list_must_be_called_one(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["folder", "--root", str(tmp_path), "--out", "list.csv"])
    assert "expected a name that ends in .jsonl" in capsys.readouterr().err


def test_a_second_run_replaces_the_first(prepare, tmp_path):
    folder(tmp_path / "folder")
    prepare("folder")
    append(tmp_path / "folder" / "day" / "0.txt", " on")
    out, lines = prepare("folder")
    assert lines[0]["text"] == "go on"
    assert not [path for path in out.parent.iterdir() if path.name.startswith(".")]


def test_a_folder_without_the_corpus_is_told_of_by_the_option_not_by_a_key(tmp_path):
    with pytest.raises(SystemExit, match=r"is no AN4, .*Set --root to the corpus") as error:
        main(["an4", "--root", str(tmp_path)])
    assert "dataset.root" not in str(error.value)
