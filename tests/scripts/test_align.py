"""Real and made recordings through the command line, with a model that was never trained."""

import json

import numpy as np
import pytest
import soundfile

from scripts.align import main
from tests.alignment.textgrid_reader import read
from tests.cli.in_process import untrained
from tests.recordings import RATE, TONE, write

LETTERS = ("text=characters", "transform.features.n_mels=20")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A model of letters with a frame of 40 ms."""
    return untrained(tmp_path_factory.mktemp("model") / "letters.pt", *LETTERS)


@pytest.fixture
def talks(tmp_path):
    folder = tmp_path / "talks"
    folder.mkdir()
    return folder


def clip(folder, name: str, text: str | None, samples=TONE, rate: int = RATE):
    """A recording, with its transcript if there is one."""
    path = write(folder / f"{name}.wav", samples, rate)
    if text is not None:
        path.with_suffix(".txt").write_text(text, encoding="utf-8")
    return path


def run(capsys, *words) -> tuple[object, str, str]:
    """Status, stdout and stderr of the command."""
    status = 0
    try:
        main([*map(str, words), "--device", "cpu"])
    except SystemExit as leaving:
        status = leaving.code
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def results(out, name: str):
    """What both files of a recording say, after comparing them."""
    record = json.loads((out / f"{name}.json").read_text(encoding="utf-8"))
    tiers = read((out / f"{name}.TextGrid").read_text(encoding="utf-8"))
    assert list(tiers) == ["words", "tokens"]
    for kind in ("word", "token"):
        tier = tiers[f"{kind}s"]
        assert tier.xmax == record["duration_s"]
        listed = [(i["start_s"], i["end_s"], i[kind]) for i in record[f"{kind}s"]]
        assert [interval for interval in tier.intervals if interval[2]] == listed
    return record


def test_words_and_tokens_of_a_recording(checkpoint, talks, tmp_path, capsys):
    clip(talks, "one", "Hello,\nwell  there!")
    status, told, _ = run(capsys, checkpoint, talks, "--out", tmp_path / "out")
    assert status == 0
    assert "3 words in 1 recording, 2.0 s" in told
    record = results(tmp_path / "out", "one")
    assert [word["word"] for word in record["words"]] == ["hello", "well", "there"]
    assert "".join(token["token"] for token in record["tokens"]) == "hello well there"
    assert (record["duration_s"], record["frame_s"], record["unit"]) == (2.0, 0.04, "character")
    assert record["words"][0]["start_s"] == record["tokens"][0]["start_s"]
    assert record["words"][0]["end_s"] == record["tokens"][4]["end_s"]
    assert all(0 <= token["confidence"] <= 1 for token in record["tokens"])
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"one.json", "one.TextGrid"}


def test_one_bad_recording_costs_no_other_its_alignment(checkpoint, talks, tmp_path, capsys):
    clip(talks, "good", "yes")
    clip(talks, "untold", None)
    clip(talks, "empty", "  ?! \n")
    clip(talks, "digits", "take 5")
    clip(talks, "long", "far too many words for so short a recording " * 3)
    clip(talks, "silent", "hello", np.zeros(RATE, np.float32))
    clip(talks, "nothing", "hello", np.zeros(0, np.float32))
    clip(talks, "blob", "hello").write_bytes(b"")
    clip(talks, "latin", "hello").with_suffix(".txt").write_bytes(b"caf\xe9")
    status, told, errors = run(capsys, checkpoint, talks, "--out", tmp_path / "out")
    assert status == "align: 8 of 9 recordings could not be aligned (see above)."
    assert "1 word in 1 recording," in told
    results(tmp_path / "out", "good")
    assert {path.stem for path in (tmp_path / "out").iterdir()} == {"good"}
    left_out = [line for line in errors.splitlines() if line.startswith("left out: ")]
    assert len(left_out) == 8
    reasons = {
        "untold": "no transcript; write what is said into untold.txt",
        "empty": "its transcript has no words",
        "digits": "the vocabulary has no '5'",
        "long": "131 tokens need at least 134 frames, but there are 50",
        "silent": "digital silence",
        "nothing": "holds no samples",
        "blob": "is empty (0 bytes)",
        "latin": "latin.txt: not readable as UTF-8",
    }
    for name, reason in reasons.items():
        [line] = [line for line in left_out if f"{talks / name}.wav" in line]
        assert reason in line


def test_lists_of_librispeech_and_folders_below(checkpoint, talks, tmp_path, capsys):
    chapter = talks / "84" / "121"
    chapter.mkdir(parents=True)
    clip(chapter, "84-121-0000", None)
    clip(chapter, "84-121-0001", "the file beside wins")
    clip(talks, "84", "same name as a folder")
    (chapter / "84-121.trans.txt").write_text("84-121-0000 GO ON\n84-121-0001 NOT THIS\n")
    status, *_ = run(capsys, checkpoint, f"{talks}/**/*.wav", "--out", tmp_path / "out")
    assert status == 0
    assert results(tmp_path / "out", "84/121/84-121-0000")["text"] == "GO ON"
    assert results(tmp_path / "out", "84/121/84-121-0001")["text"] == "the file beside wins"
    results(tmp_path / "out", "84")


def test_files_of_one_stem_do_not_overwrite_each_other(checkpoint, talks, tmp_path, capsys):
    clip(talks, "a", "yes")
    soundfile.write(talks / "a.flac", TONE, RATE)
    status, *_ = run(capsys, checkpoint, talks, "--out", tmp_path / "out")
    assert status == 0
    assert results(tmp_path / "out", "a")["audio"] != results(tmp_path / "out", "a-2")["audio"]


def test_nothing_is_written_through_a_link_out_of_the_folder(checkpoint, talks, tmp_path, capsys):
    (talks / "sub").mkdir()
    clip(talks / "sub", "a", "yes")
    clip(talks, "b", "yes")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sub").symlink_to(tmp_path / "elsewhere")
    status, _, errors = run(capsys, checkpoint, talks, "--out", tmp_path / "out")
    assert status == "align: 1 of 2 recordings could not be aligned (see above)."
    assert "leads out of" in errors
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize("n_samples", [88_201, 12_345, 400])
def test_no_interval_goes_beyond_a_resampled_recording(
    checkpoint, talks, tmp_path, capsys, n_samples
):
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, n_samples).astype(np.float32)
    clip(talks, "cd", "i", samples, 44_100)
    status, *_ = run(capsys, checkpoint, talks / "cd.wav", "--out", tmp_path / "out")
    assert status == 0
    assert results(tmp_path / "out", "cd")["duration_s"] <= n_samples / 44_100


def test_phonemes_divided_by_bars(talks, tmp_path, capsys):
    model = untrained(tmp_path / "phonemes.pt", "text=phonemes")
    clip(talks, "a", "nine two")
    status, *_ = run(capsys, model, talks / "a.wav", "--out", tmp_path / "out")
    assert status == 0
    record = results(tmp_path / "out", "a")
    assert [word["word"] for word in record["words"]] == ["nine", "two"]
    tokens = [token["token"] for token in record["tokens"]]
    assert tokens == ["N", "AY", "N", "|", "T", "UW"]


def test_a_recording_longer_than_a_chunk(checkpoint, talks, tmp_path, capsys):
    rng = np.random.default_rng(0)
    clip(talks, "long", "a word " * 60, rng.normal(0, 0.1, 75 * RATE).astype(np.float32))
    status, *_ = run(capsys, checkpoint, talks / "long.wav", "--out", tmp_path / "out")
    assert status == 0
    record = results(tmp_path / "out", "long")
    assert (record["duration_s"], len(record["words"])) == (75.0, 120)


def test_real_speech(checkpoint, shared_data, tmp_path, capsys):
    """Ten utterances of LibriSpeech, with the chapter's list as it came."""
    recordings = sorted((shared_data / "LibriSpeech" / "test-clean").rglob("*-0010.*"))
    if not recordings:
        pytest.skip("no LibriSpeech test-clean")
    pattern = str(recordings[0]).replace("-0010.", "-001?.")
    status, *_ = run(capsys, checkpoint, pattern, "--out", tmp_path / "out")
    assert status == 0
    paths = sorted(recordings[0].parent.glob("*-001?.*"))
    assert len(paths) == len(list((tmp_path / "out").glob("*.json"))) > 1
    for path in paths:
        record = results(tmp_path / "out", path.stem)
        assert [word["word"].upper() for word in record["words"]] == record["text"].split()
        seconds = soundfile.info(path).duration
        assert record["words"][-1]["end_s"] <= record["duration_s"] <= seconds
        assert record["duration_s"] == pytest.approx(seconds, abs=2e-6)


def test_mistakes_are_one_sentence(checkpoint, talks, tmp_path, capsys):
    assert "no.pt: no checkpoint there" in run(capsys, tmp_path / "no.pt", talks)[0]
    assert run(capsys, checkpoint, talks)[0].startswith(f"align: {talks}: holds no recordings")
    clip(talks, "a", "yes")
    with pytest.raises(SystemExit, match="align: device=abacus: unknown"):
        main([str(checkpoint), str(talks), "--device", "abacus"])


def test_help_teaches(capsys):
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    told = capsys.readouterr().out
    for word in ("TextGrid", "trans.txt", "--out", "word for word"):
        assert word in told
