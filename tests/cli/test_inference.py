"""inference.py: what it writes, what it prints, and that both agree with calc_wer_cer.py."""

import json
import re
import shlex
import wave
from pathlib import Path

import av
import h5py
import numpy as np
import pytest
import torch

import calc_wer_cer
from src import audio
from src.batch import Emissions, Hypothesis, Utterance
from src.build.inference import load_recognizer, name_of_input
from src.datasets import collate
from src.predictions import Prediction
from src.trainer import draw_prediction
from src.utils.tables import percent
from tests.cli.conftest import run
from tests.cli.in_process import Outcome, call, untrained
from tests.datasets.tiny_corpus import write_chapter
from tests.recordings import RATE, TONE, write

KEYS = {
    "id", "pred_text", "text", "unit", "greedy_text", "beam_text", "score", "confidence",
    "duration_s", "tokens", "words", "n_best",
}  # fmt: skip


@pytest.fixture(scope="module")
def letters(tmp_path_factory) -> Path:
    """Checkpoint of an untrained model that writes letters."""
    return untrained(tmp_path_factory.mktemp("letters") / "model.pt", "text=characters")


@pytest.fixture
def talks(tmp_path) -> Path:
    """Three recordings, two of them with a transcript."""
    folder = tmp_path / "talks"
    (folder / "monday").mkdir(parents=True)
    write(folder / "a.wav", TONE[:16000])
    write(folder / "b.flac", TONE[:24000])
    write(folder / "monday" / "c.ogg", TONE)
    (folder / "a.txt").write_text("Hello, world!")
    (folder / "monday" / "c.txt").write_text("good\nevening")
    return folder


def read(checkpoint: Path, output: Path, *overrides: str | Path) -> Outcome:
    """inference.py on one thread, in this process."""
    quick = ("loader.n_workers=0", "device=cpu", "n_pictures=0")
    return call("inference", f"checkpoint={checkpoint}", f"output={output}", *quick, *overrides)


def records(folder: Path) -> dict[str, dict]:
    return {path.stem: json.loads(path.read_text("utf-8")) for path in folder.glob("*.json")}


def rows(printed: str) -> dict[str, str]:
    """Title → the rest of each row of the closing table, single-spaced."""
    found = (re.fullmatch(r"((?:PER|WER|CER|word).*?)  +(\S.*)", ln) for ln in printed.splitlines())
    return {match[1]: " ".join(match[2].split()) for match in found if match}


def scored(capsys, folder: Path, field: str = "pred_text") -> dict[str, str]:
    """Measure → the row that its closing table should have, from calc_wer_cer."""
    arguments = ["--dir_path", str(folder), "--field", field, "--json"]
    assert calc_wer_cer.main(arguments) == 0
    return {name: row(s) for name, s in json.loads(capsys.readouterr().out)["scores"].items()}


def row(score: dict) -> str:
    errors = [score[key] for key in ("substitutions", "deletions", "insertions")]
    rate = percent(score["rate"], (score["low"], score["high"]))
    return " ".join(map(str, [rate, *errors, score["reference_length"]]))


def test_the_test_part_is_read_written_and_scored(trained, commands_h5, tmp_path, capsys):
    result = run(
        "inference.py", "dataset=speech_commands", f"dataset.path={commands_h5}", "device=cpu",
        f"checkpoint={trained}", f"output={tmp_path}", "loader.n_workers=1", "n_pictures=2",
        "decoder=beam",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    folder = tmp_path / "speech_commands_test"
    found = records(folder)
    with h5py.File(commands_h5) as file:
        chosen = file["ds/split"][:] == 2
        ids = {name.decode().replace("/", "_") for name in file["ds/id"][chosen]}
    assert set(found) == ids
    for record in found.values():
        assert set(record) >= KEYS - {"words"} | {"word", "pred_word", "word_posterior"}
        assert record["pred_text"] == record["beam_text"] == record["n_best"][0]["text"]
    assert f"{len(ids)} utterances" in result.stdout and "left out" not in result.stdout
    beam, greedy = scored(capsys, folder), scored(capsys, folder, "greedy_text")
    assert rows(result.stdout) == {
        "PER": greedy["per"],
        "PER beam": beam["per"],
        "word error": beam["word_error"],
    }
    assert len(list((folder / "pictures").glob("*.png"))) == 2
    assert not list(folder.rglob(".*"))


def test_letters_are_scored_as_words_and_characters(letters, talks, tmp_path, capsys):
    result = read(letters, tmp_path / "out", f"input={talks}", "decoder=beam")
    assert result.status == 0
    told = f"talks: 3 utterances, read by {letters}\n2 utterances scored, 1 left out: no text to"
    assert told in result.stdout
    folder = tmp_path / "out" / "talks"
    assert set(records(folder)) == {"a", "b", "monday_c"}
    (folder / "b.json").unlink()  # nobody knows what was said in it
    beam, greedy = scored(capsys, folder), scored(capsys, folder, "greedy_text")
    assert rows(result.stdout) == {
        "WER": greedy["wer"],
        "CER": greedy["cer"],
        "WER beam": beam["wer"],
        "CER beam": beam["cer"],
    }


def test_a_prediction_tells_what_when_and_how_surely(letters, talks, tmp_path):
    read(letters, tmp_path, f"input={talks}", "decoder=beam")
    found = records(tmp_path / "talks")
    assert set(found["a"]) == KEYS
    assert found["a"]["text"] == "hello world"
    assert found["monday_c"]["text"] == "good evening"
    assert "text" not in found["b"]
    for record in found.values():
        assert "".join(token["token"] for token in record["tokens"]) == record["pred_text"]
        assert [word["word"] for word in record["words"]] == record["pred_text"].split()
        times = [token["start_s"] for token in record["tokens"]]
        assert len(times) > 5 and times == sorted(times)
        assert times[0] >= 0 and times[-1] <= record["duration_s"]
        assert all(0 < token["confidence"] <= 1 for token in record["tokens"])
        assert 0 < record["confidence"] <= 1
        scores = [reading["score"] for reading in record["n_best"]]
        assert len(scores) == 5 and scores == sorted(scores, reverse=True)
        assert record["score"] == scores[0] < 0
    assert [found[name]["duration_s"] for name in ("a", "b", "monday_c")] == [1.0, 1.5, 2.0]


def test_greedy_alone_gives_one_reading(letters, talks, tmp_path):
    result = read(letters, tmp_path, f"input={talks}", "decoder=greedy")
    record = records(tmp_path / "talks")["a"]
    assert set(record) == KEYS - {"beam_text"}
    assert record["pred_text"] == record["greedy_text"]
    assert [reading["text"] for reading in record["n_best"]] == [record["pred_text"]]
    assert list(rows(result.stdout)) == ["WER", "CER"]
    assert not (tmp_path / "talks" / "pictures").exists()


def test_a_file_and_a_glob_can_be_read_under_any_name(letters, talks, tmp_path):
    single = read(letters, tmp_path, f"input={talks / 'b.flac'}", "n_pictures=3")
    assert single.status == 0 and "No reference texts, so no error rates." in single.stdout
    assert set(records(tmp_path / "b")) == {"b"}
    assert f"b: {records(tmp_path / 'b')['b']['pred_text']}" in single.stdout.splitlines()
    assert [path.name for path in (tmp_path / "b" / "pictures").iterdir()] == ["b.png"]
    some = read(letters, tmp_path, f"input='{talks}/**/*.[wo]*'", "name=some talks")
    assert some.status == 0
    assert set(records(tmp_path / "some talks")) == {"a", "monday_c"}


def test_the_folder_of_predictions_is_named_after_what_is_read(tmp_path, monkeypatch):
    (tmp_path / "my.talks").mkdir()
    write(tmp_path / "take [1].wav")
    monkeypatch.chdir(tmp_path)
    assert name_of_input("my.talks/") == "my.talks"
    assert name_of_input(".") == tmp_path.name
    assert name_of_input("take [1].wav") == "take [1]"
    assert name_of_input("talks/**/*.wav") == "talks"
    assert name_of_input("*.wav") == "input"
    assert name_of_input("/") == "input"


@pytest.mark.parametrize("part", ["train", "validation"])
def test_held_out_speakers_have_a_folder_of_their_own(letters, tmp_path, part):
    for speaker in ("103", "12"):  # 0.2707 and 0.4192 on the scale of shares
        write_chapter(tmp_path / "corpus" / "train-clean-100", speaker, {"GO": 0.6})
    result = read(
        letters, tmp_path, "dataset=librispeech", f"dataset.root={tmp_path / 'corpus'}",
        "dataset.index_dir=null", "dataset.validation_share=0.3", f"part={part}",
    )  # fmt: skip
    assert result.status == 0, result.stderr
    assert len(records(tmp_path / f"train-clean-100_{part}")) == 1


def test_the_command_that_is_shown_can_be_pasted(letters, talks, tmp_path):
    result = read(letters, tmp_path, f"input={talks}", "name=my talks")
    [shown] = re.findall("python (calc_wer_cer.py .*) --worst 10", result.stdout)
    assert shlex.split(shown) == ["calc_wer_cer.py", "--dir_path", str(tmp_path / "my talks")]


def test_an_earlier_run_leaves_no_prediction_behind_and_nothing_else_is_touched(
    letters, talks, tmp_path
):
    first = read(letters, tmp_path, f"input={talks}", "name=x")
    assert "earlier run" not in first.stdout
    foreign = {
        "scores.json": '{"wer": 0.1}',
        "older.json": '{"pred_text": "a", "text": "a"}',
        "list.json": "[1, 2]",
        "broken.json": '{"pred_text": "a", "n_best"',
        "notes.txt": "mine",
        "subset/a.json": '{"pred_text": "a", "n_best": []}',
    }
    for name, content in foreign.items():
        path = tmp_path / "x" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    again = read(letters, tmp_path, f"input={talks / 'b.flac'}", "name=x")
    assert again.status == 0
    told = f"WARNING {tmp_path / 'x'}: 3 predictions of an earlier run will be replaced; name=OTHER"
    assert told in again.stdout and again.stdout.index(told) < again.stdout.index("x: 1 ")
    left = {path.name for path in (tmp_path / "x").iterdir()} - {"pictures", "subset"}
    assert left == {"b.json", "checkpoint.txt"} | set(foreign) - {"subset/a.json"}
    for name, content in foreign.items():
        assert (tmp_path / "x" / name).read_text() == content


def test_a_run_that_reads_nothing_costs_no_earlier_prediction(letters, talks, tmp_path):
    read(letters, tmp_path, f"input={talks}", "name=x")
    nan = write(tmp_path / "nan.wav", np.full(800, np.nan, np.float32), subtype="FLOAT")
    assert "NaN" in read(letters, tmp_path, f"input={nan}", "name=x").refusal
    assert set(records(tmp_path / "x")) == {"a", "b", "monday_c"}


def resampled(samples: np.ndarray, rate: int, source_rate: int = RATE) -> np.ndarray:
    """(N,) float32 at `source_rate` to `rate` Hz by FFmpeg, an independent peer."""
    converter = av.AudioResampler(format="fltp", layout="mono", rate=rate)
    frame = av.AudioFrame.from_ndarray(samples[None].copy(), format="fltp", layout="mono")
    frame.sample_rate = source_rate
    frames = [*converter.resample(frame), *converter.resample(None)]
    return np.concatenate([piece.to_ndarray()[0] for piece in frames])


def test_real_speech_sounds_alike_in_every_rate_depth_and_channel_count(
    letters, shared_data, tmp_path
):
    clip = next((shared_data / "speech_commands_wav" / "seven").glob("*.wav"))
    speech = audio.read(clip)
    telephone = resampled(speech, 8000)
    studio = resampled(speech, 44100)
    write(tmp_path / "16k.wav", speech)
    write(tmp_path / "24bit.wav", speech, subtype="PCM_24")
    coarse = np.rint(speech * 128).clip(-128, 127).astype(np.int16)
    with wave.open(str(tmp_path / "8bit.wav"), "wb") as file:
        file.setparams((1, 1, RATE, 0, "NONE", ""))
        file.writeframes((coarse + 128).astype(np.uint8).tobytes())
    write(tmp_path / "8bit_as_16.wav", coarse * 256)
    write(tmp_path / "44k.wav", np.stack([0.5 * studio, 1.5 * studio], 1), 44100, subtype="PCM_24")
    write(tmp_path / "8k.wav", telephone, 8000)
    write(tmp_path / "8k_up.wav", resampled(telephone, 16000, 8000))
    recognizer = load_recognizer(letters)[1]

    def frames(name: str) -> torch.Tensor:
        """What the model is given: features (T, F), mean 0 and variance 1."""
        waveform = torch.from_numpy(audio.read(tmp_path / f"{name}.wav"))[None]
        return recognizer.features(waveform, torch.tensor([waveform.shape[1]]))[0][0]

    def distance(a: str, b: str) -> float:
        n = min(len(frames(a)), len(frames(b)))
        return float((frames(a)[:n] - frames(b)[:n]).abs().mean())

    assert distance("16k", "24bit") == 0
    assert distance("8bit", "8bit_as_16") == 0
    assert distance("16k", "44k") < 0.05 and distance("8k", "8k_up") < 0.1
    assert distance("16k", "8k") > 0.2  # a telephone carries nothing above 4 kHz


def test_a_picture_shows_the_first_40_seconds_whatever_comes_after(letters):
    text, recognizer, _ = load_recognizer(letters)

    def picture(seconds: int) -> np.ndarray:
        noise = np.random.default_rng(1).uniform(-0.5, 0.5, seconds * RATE).astype(np.float32)
        batch = collate([Utterance("talk", noise, "a b", "a b", (2, 1, 3))])
        log_probs = torch.full((1, seconds * 25, 29), 1 / 29).log()
        frames = tuple(range(10, seconds * 25, 50))  # a token every two seconds
        hypothesis = Hypothesis("ab " * 500, (3,) * len(frames), frames, 0.0)
        prediction = Prediction(
            "talk", "character", {"greedy": [hypothesis]}, text.vocabulary.symbols, 0.04, seconds
        )
        emissions = Emissions(log_probs, torch.tensor([seconds * 25]))
        return draw_prediction(prediction, batch, emissions, recognizer)

    np.testing.assert_array_equal(picture(60), picture(50))


def test_a_model_of_another_rate_than_the_corpus_is_refused(commands_h5, tmp_path):
    narrow = untrained(tmp_path / "8k.pt", "transform.features.sample_rate=8000")
    refusal = read(
        narrow, tmp_path, "dataset=speech_commands", f"dataset.path={commands_h5}"
    ).refusal
    assert "dataset.sample_rate=16000: this model listens at 8000 Hz" in refusal


def test_recordings_shorter_than_a_frame_are_read(letters, tmp_path):
    (tmp_path / "in").mkdir()
    for n_samples in (1, 100, 500):
        write(tmp_path / "in" / f"{n_samples}.wav", TONE[:n_samples])
    assert read(letters, tmp_path, f"input={tmp_path / 'in'}", "name=out").status == 0
    assert len(records(tmp_path / "out")) == 3
