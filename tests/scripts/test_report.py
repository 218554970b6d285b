"""A real run and its predictions, as a page that says what their files say."""

import json
import os
import re
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from scripts.report import main, parse
from src.logger import read_log
from tests.cli.in_process import call, infer
from tests.reliability.tiny_run import arguments, write_corpus
from tests.scripts.html_reader import bytes_of, cells, read_page, section, sound_of

HERE = "loader.n_workers=0"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def run(corpus, tmp_path_factory):
    """A run of letters, twelve steps long."""
    run_dir = tmp_path_factory.mktemp("saved") / "letters"
    short = ["trainer.n_epochs=2", "trainer.n_examples=3", "trainer.log_every=1"]
    assert call("train", *arguments(corpus, run_dir, HERE, *short)).status == 0
    return run_dir


@pytest.fixture(scope="module")
def predicted(run, corpus, tmp_path_factory):
    """What the run's model reads in the seven held-out tones, and one that is made up."""
    output = tmp_path_factory.mktemp("predict")
    whole = [f"dataset.root={corpus}", "dataset.index_dir=null", "name=tones", "part=validation"]
    whole += ["dataset.validation.parts=[dev-clean]", "dataset.validation.speakers=all"]
    assert infer(run, output, "dataset=librispeech", *whole).status == 0
    made_up = {"id": "d0-9-9", "text": "abba cab", "pred_text": "aba cabbage", "unit": "character"}
    (output / "tones" / "d0-9-9.json").write_text(json.dumps(made_up))
    return output / "tones"


def report(out: Path, *words):
    """The page of a command line, taken apart."""
    main([*map(str, words), "--out", str(out)])
    return read_page(out)


@pytest.fixture(scope="module")
def page(run, predicted, tmp_path_factory):
    out = tmp_path_factory.mktemp("page") / "report.html"
    return report(out, run, predicted, "--sound", "wav", "--pictures", "1")


def copied(run: Path, folder: Path) -> Path:
    return Path(shutil.copytree(run, folder / run.name))


def test_predictions_of_another_run_are_told(run, predicted, page, tmp_path):
    assert (predicted / "checkpoint.txt").read_text() == f"{run}/checkpoints/best.pt\n"
    assert "was read by" not in missing(page)
    other = copied(run, tmp_path)
    told = missing(report(tmp_path / "report.html", other, predicted, "--pictures", "0"))
    assert (
        f"{predicted} was read by {run}/checkpoints/best.pt, which is not a checkpoint of" in told
    )


def test_predictions_whose_run_was_moved_are_taken_as_they_are_named(run, predicted, tmp_path):
    moved = Path(shutil.copytree(predicted, tmp_path / "tones"))
    (moved / "checkpoint.txt").write_text("/moved/checkpoints/best.pt\n")
    page = report(tmp_path / "report.html", run, moved, "--pictures", "0")
    assert "was read by" not in missing(page)


def missing(page) -> str:
    """The sentences about what is missing."""
    return " ".join(aside.text for aside in page.all("aside"))


def texts_of(folder: Path) -> list[tuple[str, str]]:
    files = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    return [(f["text"], " ".join(f["pred_text"].split())) for f in files]


def test_curves_have_every_point_that_was_logged(page, run):
    events = list(read_log(run / "log.jsonl"))
    charts = {f.all("figcaption")[0].text: f for f in section(page, "Curves").all("figure")}
    assert {"Loss nats per token", "WER %", "CER %", "Learning rate "} <= charts.keys()
    trained = [(e["step"], e["train/loss"]) for e in events if "train/loss" in e]
    validated = [(e["step"], e["validation/wer"]) for e in events if "validation/wer" in e]
    assert len(trained) == 12 and len(validated) >= 2
    [line] = charts["Loss nats per token"].all("polyline", "dashed")
    places = np.array([p.split(",") for p in line.attributes["points"].split()], float)
    assert len(places) == len(trained)
    # x grows with the step and y falls with the loss, both in proportion.
    for place, value in zip(places.T, np.array(trained, float).T, strict=True):
        slope, offset = np.polyfit(value, place, 1)
        np.testing.assert_allclose(slope * value + offset, place, atol=0.11)
    told = [c.text for c in charts["WER %"].all("circle")]
    assert told == [f"validation/wer: {100 * v:.4g} at step {s:,}" for s, v in validated]


def edit_distance(said: str, heard: str) -> int:
    """Wagner and Fischer's table, row by row."""
    row = list(range(len(heard) + 1))
    for i, a in enumerate(said, 1):
        previous, row = row, [i]
        for j, b in enumerate(heard, 1):
            row.append(min(previous[j] + 1, row[-1] + 1, previous[j - 1] + (a != b)))
    return row[-1]


def test_confusions_add_up_to_what_a_brute_force_alignment_counts(page, predicted):
    pairs = texts_of(predicted)
    scores = section(page, "letters: ")
    rates, confusions = scores.all("table")
    [wer, cer] = cells(rates)
    n_errors = sum(edit_distance(said, heard) for said, heard in pairs)
    assert sum(map(int, cer[2:5])) == n_errors > 20
    assert wer[0] == "WER" and cer[0] == "CER"
    heat = [r.all("title")[0].text for r in scores.all("rect", "heat")]
    kinds = Counter()
    for told in heat:
        said, heard, n = re.fullmatch(r"(.) → (.): (\d+) times?, .*", told).groups()
        kinds[said, heard] += int(n)
    assert kinds.total() == n_errors
    for said, heard, kind, n, _ in cells(confusions):
        assert kinds[said, heard] == int(n)
        assert kind == {"∅" + heard: "inserted", said + "∅": "deleted"}.get(
            said + heard, "substituted"
        )
    letters = Counter("".join(said for said, _ in pairs))
    deleted = {row[0]: row for row in cells(confusions) if row[1] == "∅"}
    assert deleted
    for letter, row in deleted.items():
        n_said = letters[" " if letter == "␣" else letter]
        assert row[4] == f"{100 * int(row[3]) / n_said:.1f} %"


def test_rates_are_those_of_calc_wer_cer(page, predicted):
    from tests.cli.conftest import run as command

    told = command("calc_wer_cer.py", "--dir_path", predicted, "--json", "--worst", "20")
    scores = json.loads(told.stdout)
    for row in cells(section(page, "letters: ").all("table")[0]):
        expected = scores["scores"][row[0].lower()]
        assert row[1].startswith(f"{100 * expected['rate']:.1f} % [{100 * expected['low']:.1f}, ")
        assert int(row[5]) == expected["reference_length"]
    worst = [item.all("h4")[0].text for item in section(page, "letters: ").all("li")]
    ours = [(w["file"], w["errors"]) for w in scores["worst"] if w["errors"]]
    assert [told.split()[0] + ".json" for told in worst] == [file for file, _ in ours]
    assert [int(told.split()[1]) for told in worst] == [errors for _, errors in ours]


def test_the_worst_utterances_are_aligned_word_under_word(page):
    [item] = [li for li in page.all("li") if li.all("h4") and "d0-9-9" in li.text]
    units = item.all("span", "unit")
    assert [[(c.name, c.text) for c in unit.children] for unit in units] == [
        [("del", "abba"), ("ins", "aba")],
        [("del", "cab"), ("ins", "cabbage")],
    ]
    assert "its recording was not found" in item.text


def test_sounds_are_the_recordings(page, corpus):
    recordings = {path.stem: path for path in corpus.rglob("dev-clean/**/*.flac")}
    heard = [li for li in page.all("li") if li.all("audio")]
    assert len(heard) == 7
    for item in heard:
        name = item.all("h4")[0].text.split()[0]
        samples, rate = sound_of(item.all("audio")[0])
        expected, _ = soundfile.read(recordings[name], dtype="float32")
        assert rate == 16_000
        np.testing.assert_array_equal(samples, expected)


def test_opus_has_the_same_length_in_a_fraction_of_the_bytes(run, predicted, page, tmp_path):
    small = report(tmp_path / "a.html", run, predicted, "--pictures", "0")
    for opus, wav in zip(small.all("audio"), page.all("audio"), strict=True):
        assert len(sound_of(opus)[0]) == len(sound_of(wav)[0])
        assert 3 * len(opus.attributes["src"]) < len(wav.attributes["src"])
    assert not small.all("img")


def test_the_picture_shows_what_the_model_says(page):
    from PIL import Image

    [picture] = page.all("img")
    content = bytes_of(picture.attributes["src"])
    assert content.startswith(b"\x89PNG")
    from io import BytesIO

    rgb = np.asarray(Image.open(BytesIO(content)).convert("RGB"))
    assert rgb.shape[1] > 500 and len(np.unique(rgb.reshape(-1, 3), axis=0)) > 50
    assert "posteriors" in picture.attributes["alt"]


def test_runs_beside_each_other(run, predicted, corpus, tmp_path):
    from src.build import load_recognizer

    other = copied(run, tmp_path / "other")
    config = (other / "config.yaml").read_text().replace("lr: 0.1", "lr: 0.25")
    (other / "config.yaml").write_text(config)
    (other / "summary.json").write_text('{"wall_s": 7200.0, "audio_s": 36000, "step": 12}')
    two = report(tmp_path / "a.html", run, predicted, other, "--pictures", "0")
    table = cells(section(two, "Runs compared").all("table")[0])
    n = sum(p.numel() for p in load_recognizer(run)[1].parameters())
    assert [row[1] for row in table] == [f"{n:,}"] * 2
    assert table[1][2:5] == ["2.0 h", "10.0 h", "12"]
    bars = [b.attributes["style"] for b in section(two, "Runs compared").all("span", "bar")]
    assert "width: 100.0%" in bars
    differing = {row[0]: row[1:] for row in cells(section(two, "Where").all("table")[0])}
    assert differing["optimizer.lr"] == ["0.1", "0.25"]
    lines = section(two, "Curves").all("figure")[0].all("polyline")
    assert len(lines) == 4  # training and validation of each


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>'&"])
def test_hostile_texts_are_only_text(run, tmp_path, text):
    mine = copied(run, tmp_path)
    with (mine / "config.yaml").open("a") as file:
        file.write(f"evil: {json.dumps('</code></style>' + text)}\n")
    (mine / "environment.json").write_text(json.dumps({text: "</table>" + text}))
    (mine / "summary.json").write_text(json.dumps({"step": text, "wall_s": text, "audio_s": []}))
    (mine / "git_commit.txt").write_text(text)
    event = {"step": 3, f"validation/{text}/loss": 0.5, "validation/wer": text}
    with (mine / "log.jsonl").open("a") as file:
        file.write(json.dumps(event) + "\n")
    folder = tmp_path / "predict<b>"
    folder.mkdir()
    record = {"id": text, "text": f"a {text}", "pred_text": f"{text}</li>\x00\x1b[31m\ud800"}
    (folder / f"{text.replace('/', '_')}.json").write_text(json.dumps(record))
    (folder / os.fsdecode(b"\xff<i>.json")).write_text(json.dumps(record | {"unit": "phoneme"}))
    hostile = report(tmp_path / "a.html", mine, folder)  # and the reader holds its promises
    words = section(hostile, "letters: ").all("ol")[0].text
    assert text.replace("/", "_") in words and "�" in words
    assert "evil: " in hostile.text and text in hostile.text
    assert not hostile.all("i") and not hostile.all("b")


DAMAGE = {
    "no log": (lambda run: (run / "log.jsonl").unlink(), "log.jsonl is not there"),
    "empty log": (lambda run: (run / "log.jsonl").write_bytes(b""), "log.jsonl holds nothing yet"),
    "log of noise": (
        lambda run: (run / "log.jsonl").write_bytes(bytes(range(256)) * 9 + b'\n{"step": 9e99}'),
        "log.jsonl holds nothing yet",
    ),
    "no config": (lambda run: (run / "config.yaml").unlink(), "config.yaml is not there"),
    "half a config": (
        lambda run: (run / "config.yaml").write_text("model: {width: [1"),
        "config.yaml is damaged",
    ),
    "hours beyond all numbers": (
        lambda run: (run / "summary.json").write_text(
            json.dumps(dict.fromkeys(("wall_s", "audio_s"), 10**400))
        ),
        "No folder of predictions was named",
    ),
    "log of times beyond all numbers": (
        lambda run: (run / "log.jsonl").write_text(
            f'{{"step": 1, "time": 0.5}}\n{{"step": 2, "time": 1{"0" * 400}}}\n'
        ),
        "log.jsonl holds nothing yet",
    ),
    "half a summary": (
        lambda run: (run / "summary.json").write_text('{"step": 3'),
        "summary.json is damaged",
    ),
    "killed": (lambda run: (run / "summary.json").unlink(), "can be continued with resume="),
    "no checkpoint": (
        lambda run: shutil.rmtree(run / "checkpoints"),
        "There is no checkpoint: neither parameters nor spectrograms.",
    ),
    "half checkpoints": (
        lambda run: [os.truncate(path, 999) for path in (run / "checkpoints").iterdir()],
        "not a readable checkpoint",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_run_says_what_is_missing(run, tmp_path, damage):
    mine = copied(run, tmp_path)
    spoil, told = DAMAGE[damage]
    spoil(mine)
    damaged = report(tmp_path / "a.html", mine, "--pictures", "1")
    assert told in damaged.all("aside")[0].text
    assert "No folder of predictions was named" in damaged.all("aside")[0].text
    if "config" not in damage and "log" not in damage:
        assert "examples of the last validation" in damaged.text
        assert damaged.all("audio")


def test_a_corpus_that_is_gone_is_told(run, predicted, tmp_path):
    mine = copied(run, tmp_path)
    config = mine / "config.yaml"
    config.write_text(re.sub(r"root: .*", f"root: {tmp_path}/gone", config.read_text()))
    silent = report(tmp_path / "a.html", mine, predicted)
    assert "No recordings from the test part of the run's corpus" in silent.all("aside")[0].text
    assert not silent.all("audio") and not (tmp_path / "gone").exists()


def test_an_empty_folder_and_predictions_alone(predicted, corpus, tmp_path):
    (tmp_path / "nothing").mkdir()
    page = report(tmp_path / "a.html", predicted, tmp_path / "nothing", "--audio", corpus)
    assert len(page.all("audio")) == 7  # by the stems of their files
    assert "No run has logged anything" in page.text
    for name in ("log.jsonl", "config.yaml", "summary.json", "environment.json", "checkpoint"):
        assert name in page.all("aside")[0].text


def test_thousands_of_predictions_make_no_larger_page(tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(2000):
        said, heard = ("".join(rng.choice(list("abcd "), 60)) for _ in range(2))
        record = {"text": said, "pred_text": heard, "unit": "character"}
        (folder / f"{i}.json").write_text(json.dumps(record))
    (folder / "half.json").write_text('{"text": "a')
    (folder / "unknown.json").write_text('{"pred_text": "a"}')
    page = report(tmp_path / "a.html", folder, "--worst", "5")
    assert "2,000 utterances scored" in page.text
    assert "1 × not JSON" in page.text and "1 × no text to compare with" in page.text
    assert len(page.all("h4")) == 5
    assert (tmp_path / "a.html").stat().st_size < 100_000


def test_the_page_stays_below_its_limit(run, predicted, tmp_path):
    page = report(tmp_path / "a.html", run, predicted, "--max_mb", "0")
    assert not page.all("audio") and not page.all("img")
    assert page.text.count("No sound: the page would become larger than --max_mb allows.") == 7


def test_mistakes_are_one_sentence(tmp_path):
    with pytest.raises(SystemExit, match=r"^report: .*gone: no such folder\. Name run folders"):
        main([str(tmp_path / "gone"), "--out", str(tmp_path / "a.html")])
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit, match=r"^report: .*file/a.html: could not be written"):
        main([str(tmp_path), "--out", str(tmp_path / "file" / "a.html")])


def test_help_teaches(capsys):
    with pytest.raises(SystemExit) as left:
        parse(["--help"])
    assert left.value.code == 0
    told = capsys.readouterr().out
    assert "--audio" in told and "belongs to the run named before it" in told
