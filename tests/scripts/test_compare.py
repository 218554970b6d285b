"""The command line on folders of predictions, made here or by inference.py."""

import json

import numpy as np
import pytest

import calc_wer_cer
from scripts.compare import main
from tests.cli.in_process import TINY, infer, untrained

TEXT = "it was a dark and stormy night"  # seven words


def write(folder, readings: dict[str, str], text: str = TEXT, **more):
    """Prediction files of a folder: what was read, by utterance id."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, pred_text in readings.items():
        record = {"id": name, "pred_text": pred_text, "text": text} | more
        (folder / f"{name}.json").write_text(json.dumps(record))
    return str(folder)


def with_errors(n_wrong: int) -> str:
    """The text with its first words wrong."""
    return " ".join(["wrong"] * n_wrong + TEXT.split()[n_wrong:])


def system(folder, chance: float, seed: int = 0, n: int = 60):
    """Sixty utterances of six speakers, each with a wrong word by chance."""
    wrong = np.random.default_rng(seed).random(n) < chance
    ids = [f"{i % 6}-1-{i:04d}" for i in range(n)]
    return write(folder, {name: with_errors(int(w)) for name, w in zip(ids, wrong, strict=True)})


@pytest.fixture
def folders(tmp_path):
    """A bad system, a good one, and one as bad as the first."""
    chances = {"bad": 0.9, "good": 0.2, "as_bad": 0.9}
    return [system(tmp_path / name, c, seed=i) for i, (name, c) in enumerate(chances.items())]


def row(printed: str, *beginning: str) -> str:
    """The first row of a table that begins with these cells, single-spaced."""
    lines = (" ".join(line.split()) for line in printed.splitlines())
    return next(line for line in lines if line.startswith(" ".join(beginning) + " "))


def compared(capsys, tmp_path, *arguments):
    main([*map(str, arguments), "--n_resamples", "500", "--out", str(tmp_path / "out.json")])
    return capsys.readouterr().out, json.loads((tmp_path / "out.json").read_text())


def test_a_difference_by_hand(capsys, tmp_path):
    # Ten utterances of seven words: A has two errors in each, B one.
    a = write(tmp_path / "a", {f"{i}": with_errors(2) for i in range(10)})
    b = write(tmp_path / "b", {f"{i}": with_errors(1) for i in range(10)})
    printed, found = compared(capsys, tmp_path, a, b)
    assert row(printed, "WER", "A") == "WER A 28.57 %"
    assert row(printed, "WER", "B") == (
        "WER B 14.29 % −14.29 [−14.29, −14.29] −50.0 % [−50.0, −50.0] 0.0 % 0.0040 better"
    )
    wer = found["rates"]["wer"]
    assert wer["rates"]["A"]["rate"] == pytest.approx(2 / 7)
    assert wer["against_A"]["B"]["difference"] == pytest.approx(-1 / 7)
    assert wer["against_A"]["B"]["p"] == 2 / 501
    assert wer["reference_length"] == 70


def test_a_good_system_is_told_from_a_bad_one_and_two_bad_ones_are_not(capsys, tmp_path, folders):
    bad, good, as_bad = folders
    printed, found = compared(capsys, tmp_path, bad, good, as_bad)
    assert f"A  {bad}\nB  {good}\nC  {as_bad}\n60 utterances in each; 500 resamples" in printed
    assert row(printed, "WER", "B").endswith(" better")
    assert row(printed, "WER", "C").endswith(" not told apart")
    beside = found["rates"]["wer"]["against_A"]
    assert beside["B"]["holm_p"] == pytest.approx(2 * beside["B"]["p"])
    assert beside["C"]["holm_p"] == beside["C"]["p"] > 0.05
    assert "Holm's p allows for 2 comparisons of a rate." in printed
    pair, alone = compared(capsys, tmp_path, bad, good)
    assert "Holm" not in pair
    assert alone["rates"]["wer"]["against_A"]["B"]["low"] == beside["B"]["low"]


def test_the_other_way_round_better_becomes_worse(capsys, tmp_path, folders):
    bad, good, _ = folders
    there, _ = compared(capsys, tmp_path, bad, good)
    back, _ = compared(capsys, tmp_path, good, bad)
    assert row(there, "WER", "B").split()[4].startswith("−")
    assert row(back, "WER", "B").split()[4].startswith("+")
    assert row(back, "WER", "B").endswith(" worse")


def test_utterances_that_one_side_has_wrong_are_counted(capsys, tmp_path):
    a = write(tmp_path / "a", {"1": with_errors(1), "2": with_errors(3), "3": TEXT, "4": TEXT})
    b = write(tmp_path / "b", {"1": TEXT, "2": TEXT, "3": TEXT, "4": with_errors(1)})
    printed, found = compared(capsys, tmp_path, a, b)
    assert row(printed, "WER", "B", "2") == "WER B 2 1 1.0000"
    assert found["rates"]["wer"]["against_A"]["B"]["only_first_wrong"] == 2


def test_seeds_are_averaged_and_their_spread_is_told(capsys, tmp_path):
    ids = [f"{i}" for i in range(8)]
    a = [write(tmp_path / f"a{n}", dict.fromkeys(ids, with_errors(n))) for n in (1, 2, 3)]
    b = write(tmp_path / "b", dict.fromkeys(ids, with_errors(2)))
    printed, found = compared(capsys, tmp_path, "--system", *a, "--system", b)
    wer = found["rates"]["wer"]
    assert wer["rates"]["A"]["seeds"] == pytest.approx([1 / 7, 2 / 7, 3 / 7])
    assert row(printed, "WER", "A", "3") == "WER A 3 14.29 % 42.86 % 14.29 %"
    beside = wer["against_A"]["B"]
    assert beside["difference"] == pytest.approx(0)
    # Two of three seeds are drawn: A's mean is one in seven off where both are the first or last.
    assert (beside["low"], beside["high"]) == pytest.approx((-1 / 7, 1 / 7))
    assert "McNemar" not in printed
    assert "Only 3 seeds: intervals" in printed
    # Folders of their own come first.
    printed, _ = compared(capsys, tmp_path, b, "--system", *a)
    assert row(printed, "WER", "B", "3").startswith("WER B 3 14.29 %")


def test_speakers_are_drawn_where_ids_tell_them(capsys, tmp_path, folders):
    by_utterance, _ = compared(capsys, tmp_path, *folders[:2])
    by_speaker, found = compared(capsys, tmp_path, *folders[:2], "--by", "speaker")
    assert "500 resamples of utterances (seed 0)" in by_utterance
    assert "Utterances of one speaker are not independent: see --by speaker." in by_utterance
    assert "500 resamples of 6 speakers (seed 0)" in by_speaker
    assert "Only 6 speakers: intervals are narrower than they should be." in by_speaker
    assert "see --by speaker" not in by_speaker
    assert found["n_speakers"] == 6
    assert row(by_utterance, "WER", "A") == row(by_speaker, "WER", "A")
    assert row(by_utterance, "WER", "B") != row(by_speaker, "WER", "B")


def test_the_utterances_that_differ_most_are_shown_aligned(capsys, tmp_path):
    a = write(tmp_path / "a", {"1": TEXT, "2": with_errors(1), "3": "it was"})
    b = write(tmp_path / "b", {"1": TEXT, "2": with_errors(3), "3": "it was a dark night"})
    printed, found = compared(capsys, tmp_path, a, b, "--worst", "5")
    shown = printed.split("\n\n")[-2:]
    assert [block.splitlines() for block in shown] == [
        [
            "3: errors A 5, B 2",
            "  text it was a   dark and stormy night",
            "  A    it was *** ***  *** ***    ***",
            "  text it was a dark and stormy night",
            "  B    it was a dark *** ***    night",
        ],
        [
            "2: errors A 1, B 3",
            "  text it    was a dark and stormy night",
            "  A    wrong was a dark and stormy night",
            "  text it    was   a     dark and stormy night",
            "  B    wrong wrong wrong dark and stormy night",
        ],
    ]
    assert found["worst"] == [{"id": "3", "errors": [5, 2]}, {"id": "2", "errors": [1, 3]}]


def test_two_readings_of_one_folder_are_compared(capsys, tmp_path):
    readings = {f"{i}": TEXT for i in range(9)}
    folder = write(tmp_path / "a", readings, greedy_text=with_errors(1), beam_text=TEXT)
    fields = ("--field", "greedy_text", "--field", "beam_text")
    printed, found = compared(capsys, tmp_path, folder, folder, *fields)
    assert f"A  {folder}  (greedy_text)\nB  {folder}  (beam_text)\n" in printed
    assert found["rates"]["wer"]["against_A"]["B"]["verdict"] == "better"


def test_the_same_command_prints_the_same(capsys, tmp_path, folders):
    first, again = (compared(capsys, tmp_path, *folders) for _ in range(2))
    assert first == again
    other, _ = compared(capsys, tmp_path, *folders, "--seed", "1")
    assert other != first[0]


def test_only_common_utterances_are_compared_by_wish_alone(capsys, tmp_path, folders):
    bad, good, _ = folders
    (tmp_path / "good" / "3-1-0003.json").unlink()
    (tmp_path / "good" / "5-1-0005.json").write_text("{")
    with pytest.raises(SystemExit) as refused:
        main([bad, good])
    assert refused.value.code.startswith(
        f"compare: 2 of 60 utterances are not in every folder: {good} lacks 2 (3-1-0003, 5-1-0005)"
    )
    assert "5-1-0005.json: not JSON" in capsys.readouterr().err
    printed, found = compared(capsys, tmp_path, bad, good, "--common")
    assert "58 utterances in each, 2 left out that not all have;" in printed
    assert (found["n_utterances"], found["n_left_out"]) == (58, 2)


def refusal(*arguments) -> str:
    with pytest.raises(SystemExit) as refused:
        main(list(map(str, arguments)))
    return refused.value.code


def test_what_cannot_be_compared_is_refused_in_one_line(tmp_path, folders):
    a = folders[0]
    assert refusal(a).startswith("compare: 1 system given, expected 2 to 26: python -m ")
    assert "no such folder. Predict first" in refusal(a, tmp_path / "none")
    assert "stands twice in one --system" in refusal("--system", a, a, "--system", folders[1])
    three = ["--field", "pred_text"] * 3
    assert "--field stands 3 times for 2 systems" in refusal(*folders[:2], *three)
    other = write(tmp_path / "other", {"0-1-0000": "x"}, text="another text")
    assert "0-1-0000: is “it was a dark" in refusal(a, other, "--common")
    mine = write(tmp_path / "mine", {"rec1": TEXT, "rec2": TEXT})
    assert "rec1: this id does not tell its speaker" in refusal(mine, mine, "--by", "speaker")
    one = write(tmp_path / "one", {"7-1-0001": TEXT, "7-1-0002": TEXT})
    assert "all utterances are of one speaker" in refusal(one, one, "--by", "speaker")


def test_what_inference_read_in_real_speech_is_compared(capsys, tmp_path, shared_data):
    corpus = ("dataset=librispeech", f"dataset.root={shared_data}/LibriSpeech")
    few = (*corpus, "dataset.index_dir=null", "dataset.test.limit=4", "name=few")
    for width in ("8", "16"):
        model = [*TINY[:-1], f"model.rnn_width={width}"]
        checkpoint = untrained(tmp_path / f"{width}.pt", "text=characters", model=model)
        done = infer(checkpoint, tmp_path / width, *few)
        assert done.status == 0, done.stderr
    narrow, wide = tmp_path / "8/few", tmp_path / "16/few"
    printed, found = compared(capsys, tmp_path, narrow, wide, "--worst", "1")
    assert found["n_utterances"] == 4
    for folder, letter in ((narrow, "A"), (wide, "B")):
        assert calc_wer_cer.main(["--dir_path", str(folder), "--json"]) == 0
        alone = json.loads(capsys.readouterr().out)["scores"]
        for rate in ("wer", "cer"):
            assert found["rates"][rate]["rates"][letter]["rate"] == alone[rate]["rate"]
    assert row(printed, "CER", "B")
