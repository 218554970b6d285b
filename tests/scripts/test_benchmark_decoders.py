"""python -m scripts.benchmark_decoders: a fair race, true tables, mistakes told in one line."""

import json
import math

import numpy as np
import pytest
import torch

from scripts import benchmark_decoders
from scripts.benchmarks import decoders_report as report
from scripts.benchmarks.decoders import CONTESTANTS, Contestant, Ours, padded
from scripts.benchmarks.decoders_race import Outcome, Running, Team, _prepared
from scripts.benchmarks.decoders_server import server
from scripts.benchmarks.decoders_settings import GROWTH, WITH_MODEL, WITHOUT, grid, parse
from scripts.benchmarks.decoders_synthetic import Synthetic
from scripts.benchmarks.decoders_task import Heard, Task, read_lexicon, spellable, write_lexicon
from src.batch import Emissions
from src.decoders import Greedy
from src.language_models import NGram, estimate, write_arpa
from src.metrics import corpus_rate, word_errors
from src.utils.errors import UserError
from tests.cli.in_process import untrained
from tests.recordings import TONE, write

SENTENCES = ("a ab", "ab b", "b b a", "ba ab", "a ba b", "aa b")
SYMBOLS = ("<blank>", " ", "a", "b")
# Nothing is left out: what comes is the best text of all.
WIDE = {
    "ours": {
        "beam_width": 2000,
        "token_threshold": None,
        "blank_threshold": None,
        "n_tokens": None,
    },
    "flashlight": {"beam_size": 5000, "beam_threshold": 1e6},
    # It confuses a text that ends on a space with one that doesn't; so the surely impossible,
    # which it clips at 1e-15, must stay out.
    "pyctcdecode": {"beam_width": 5000, "beam_prune_logp": -1e9, "token_min_logp": -30.0},
    "fast-ctc-decode": {"beam_size": 5000},
}


def said(n: int, seed: int) -> list[np.ndarray]:
    """Random log-probabilities whose texts have no space at an end and none after another."""
    rng, heard = np.random.default_rng(seed), []
    for _ in range(n):
        logits = rng.normal(0, 2, (int(rng.integers(3, 9)), len(SYMBOLS)))
        middle = len(logits) // 2
        space = logits[middle, 1]
        logits[:, 1] = -60
        logits[middle, 1] = space
        logits[[0, -1], 0] = -60
        logits -= np.log(np.exp(logits).sum(1, keepdims=True))
        heard.append(logits.astype(np.float32))
    return heard


@pytest.fixture
def task(tmp_path):
    """Forty random utterances and a 3-gram model of small words."""
    log_probs = said(40, seed=0)
    texts = [SENTENCES[i % len(SENTENCES)] for i in range(len(log_probs))]
    Heard(SYMBOLS, log_probs, texts).save(tmp_path / "heard")
    write_arpa(estimate([s.split() for s in SENTENCES * 2], order=3), tmp_path / "words.arpa")
    model = NGram.load(tmp_path / "words.arpa")
    model.save(tmp_path / "mapped.lm")
    write_lexicon(tmp_path / "lexicon.txt", model, Heard.load(tmp_path / "heard").vocabulary)
    return Task(
        emissions=str(tmp_path / "heard"),
        language_model=str(tmp_path / "words.arpa"),
        mapped_model=str(tmp_path / "mapped.lm"),
        lexicon=str(tmp_path / "lexicon.txt"),
        lm_weight=0.7,
        bonus=0.4,
    )


def without_model(task: Task) -> Task:
    return Task(emissions=task.emissions)


def best_by_hand(task: Task, log_probs: np.ndarray) -> str:
    """The best text of all that the lexicon allows: every path written out, every score summed."""
    model, words = NGram.load(task.language_model), set(read_lexicon(task.lexicon))
    mass: dict[str, float] = {}
    for path in np.ndindex(*[len(SYMBOLS)] * len(log_probs)):
        kept = [t for i, t in enumerate(path) if t and (i == 0 or path[i - 1] != t)]
        text = "".join(SYMBOLS[t] for t in kept)
        log_prob = float(log_probs[np.arange(len(path)), list(path)].sum())
        mass[text] = np.logaddexp(mass.get(text, -np.inf), log_prob)
    scores = {}
    for text, acoustic in mass.items():
        parts = text.split(" ")
        if set(parts) <= words:
            added = task.lm_weight * sum(model.sentence(parts)) + task.bonus * len(parts)
            scores[text] = acoustic + added
    return max(scores, key=scores.get)


def contestant(kind: str, task: Task) -> Contestant:
    for module in benchmark_decoders.MODULES.get(kind, ()):
        pytest.importorskip(module)
    return CONTESTANTS[kind](task, task.heard())


@pytest.mark.parametrize("kind", ["ours", "flashlight", "pyctcdecode"])
def test_every_decoder_finds_the_text_that_is_best_of_all(task, kind):
    """So all have the same function to maximise, down to the weight's logarithm."""
    texts = contestant(kind, task).decoder(WIDE[kind])()
    heard = task.heard()
    assert len(set(texts)) > 5
    short = [(row, text) for row, text in zip(heard.log_probs, texts, strict=True) if len(row) < 7]
    assert len(short) > 20
    for log_probs, text in short:
        assert text == best_by_hand(task, log_probs)


@pytest.mark.parametrize("kind", sorted(WITHOUT))
def test_without_a_model_every_decoder_finds_the_most_probable_text(task, kind):
    task = without_model(task)
    texts = contestant(kind, task).decoder(WIDE[kind])()
    ours = Ours(task, task.heard()).decoder(WIDE["ours"])()
    assert texts == ours and len(set(texts)) > 5


def test_flashlight_and_ours_give_the_same_scores(task):
    """Not only the same order: the conversion of weights is right to rounding."""
    flashlight = contestant("flashlight", task)
    search = flashlight.build(
        lexicon=task.lexicon,
        tokens=flashlight.tokens,
        lm=flashlight.model,
        lm_weight=task.lm_weight * math.log(10),
        word_score=task.bonus,
        log_add=True,
        blank_token="<blank>",
        **WIDE["flashlight"],
    )
    ours = Ours(task, task.heard())._search({"n_best": 1, **WIDE["ours"]})
    (batch,) = ours_batches = Ours(task, task.heard())._cut(64)
    assert len(ours_batches) == 1
    for row, n_best in zip(flashlight.rows, ours(batch), strict=True):
        assert search(row)[0][0].score == pytest.approx(n_best[0].score, abs=1e-4)


def test_the_lexicon_is_what_ours_can_write(task):
    words = read_lexicon(task.lexicon)
    assert sorted(words) == ["a", "aa", "ab", "b", "ba"]
    assert spellable(["<s>", "</s>", "<unk>", "ab", "abc", "a b"], SYMBOLS) == ["ab"]
    with pytest.raises(UserError, match="no word that the emissions' vocabulary can spell"):
        model = NGram.build(estimate([["xyz"]], order=1))
        write_lexicon(task.lexicon, model, task.heard().vocabulary)


def test_emissions_come_back_as_they_were_kept(tmp_path):
    log_probs = said(5, seed=1)
    texts = ["a", "", "b a", "aa", "ba"]
    heard = Heard(SYMBOLS, log_probs, texts)
    heard.save(tmp_path / "heard")
    again = Heard.load(tmp_path / "heard")
    assert again.symbols == SYMBOLS and again.texts == texts
    assert again.n_frames == sum(map(len, log_probs))
    for one, same in zip(log_probs, again.log_probs, strict=True):
        np.testing.assert_array_equal(one, same)
    assert again.some(3).texts == ["a", "b a", "ba"] and again.some(None).texts == texts
    twice = Task(str(tmp_path / "heard"), n_utterances=2, copies=2)
    assert twice.everything().texts == ["a", "ba", "a", "ba"]
    (tmp_path / "heard").write_bytes(b"something else")
    with pytest.raises(UserError, match="heard: no emissions can be read"):
        Heard.load(tmp_path / "heard")


def test_processes_share_the_utterances_and_answer_in_their_order(task):
    heard = Heard.load(task.emissions)
    setting = {"beam_width": 8}
    with Running("ours", Team("ours", [setting], n_processes=2), task) as both:
        assert {place for one in both.tasks for place in one.places(heard)} == set(range(40))
        texts = both.texts(setting, heard)
        one = both.timed(setting)
    alone = Ours(task, heard).decoder(setting)()
    assert texts == alone
    assert one["n_frames"] == heard.n_frames and one["seconds"] > 0 and one["cpu_s"] > 0


def test_batches_are_padded_behind_their_utterances():
    rows = [torch.from_numpy(one) for one in said(3, seed=2)]
    log_probs, lengths = padded(rows)
    assert lengths.tolist() == [len(row) for row in rows]
    for one, row in zip(log_probs, rows, strict=True):
        assert (one[: len(row)] == row).all()


def test_a_profile_holds_all_functions_of_the_search(task):
    serve = server("ours", task)
    assert serve({"command": "facts"})["n_utterances"] == 40
    asked = {"command": "profiled", "setting": {"beam_width": 8}}
    found = serve(asked)
    assert {"beam_search.advance", "ngram.score"} <= set(found["functions"])
    assert 0 < sum(found["functions"].values()) <= found["all"] * 1.001


def outcome(team: str, wer: float, *seconds: float, cpu_s: float = 1.0) -> Outcome:
    rounds = [{"seconds": s, "cpu_s": cpu_s, "n_frames": 1000} for s in seconds]
    return Outcome(team, {"beam": 4}, wer, wer / 2, rounds)


def test_the_cheapest_setting_with_few_enough_errors_wins():
    outcomes = [
        outcome("ours", 0.10, 1, 2, 4),
        outcome("ours", 0.12, 0.1, 0.1, 0.1, cpu_s=0.1),  # too many errors
        outcome("flashlight", 0.10, 2, 2, 2, cpu_s=3.0),
        outcome("flashlight", 0.101, 4, 2, 2, cpu_s=2.0),
        outcome("pyctcdecode", 0.2, 9, 9, 9),
    ]
    most = report.reachable(outcomes, 0.001)
    assert most == pytest.approx(0.101)
    best = report.best_of(outcomes, most)
    assert best == {"ours": outcomes[0], "flashlight": outcomes[3]}
    ours, flashlight, other = report.fastest(outcomes, most).splitlines()[2:]
    # 1000 frames in 1, 2 and 4 s beside 4, 2 and 2 s; 1 s of the processor beside 2.
    wanted = "ours beam=4 10.00 500 (250 … 1,000) 1000.0 1.00 (0.50 … 4.00) 2.00"
    assert squeezed(ours) == wanted
    assert squeezed(flashlight).endswith(" 1.00 (1.00 … 1.00) 1.00")
    assert squeezed(other) == "pyctcdecode none of its settings"


def test_tables_of_everything_and_of_growth():
    outcomes = [outcome("ours", 0.1, 1, 2, 4), outcome("flashlight", 0.2, 2, 2, 2, cpu_s=3)]
    first = report.everything(outcomes).splitlines()[2]
    assert squeezed(first) == "ours beam=4 10.00 5.00 500 (250 … 1,000) 1000.0"
    line = report.growth("beam", {"4": outcomes}).splitlines()[2]
    assert squeezed(line).endswith(" 1000.0 3000.0 3.00 10.00 20.00")


def squeezed(line: str) -> str:
    return " ".join(line.split())


@pytest.mark.parametrize("n_symbols", [30, 300])
def test_synthetic_speech_is_hard_but_can_be_read(tmp_path, n_symbols):
    sizes = Synthetic(n_symbols, n_words=200, n_sentences=500, n_utterances=6)
    emissions, model = sizes.write(tmp_path / "one")
    again, _ = sizes.write(tmp_path / "two")
    assert emissions.read_bytes() == again.read_bytes()
    heard = Heard.load(emissions)
    for one in heard.log_probs:
        np.testing.assert_allclose(np.exp(one).sum(1), 1, rtol=1e-4)
    task = Task(str(emissions), str(model), str(model), lm_weight=0.8, bonus=1.0)
    ours = Ours(task, task.heard())
    texts = ours.decoder({"beam_width": 16})()
    pairs = zip(task.heard().texts, texts, strict=True)
    assert corpus_rate(word_errors(*pair) for pair in pairs) < 0.15
    (batch,) = ours._cut(8)
    greedy = [n_best[0].text for n_best in Greedy(heard.vocabulary)(batch)]
    assert sum(a == b for a, b in zip(greedy, task.heard().texts, strict=True)) < 3


def test_settings_are_read_from_the_command_line():
    assert parse("ours:beam_width=16,token_threshold=-5.5,n_tokens=null") == (
        "ours",
        {"beam_width": 16, "token_threshold": -5.5, "n_tokens": None},
    )
    settings = grid(True, ["ours:beam_width=4", "ours:beam_width=8"])
    assert settings["ours"] == [{"beam_width": 4}, {"beam_width": 8}]
    assert settings["flashlight"] == WITH_MODEL["flashlight"]
    for text in ("ours", "theirs:beam_width=4", "ours:beam_width", "ours:beam_width=x"):
        with pytest.raises(UserError, match=f"--setting {text}"):
            parse(text)


@pytest.mark.parametrize("kind", sorted(WITHOUT))
@pytest.mark.parametrize("with_model", [True, False])
def test_every_setting_of_the_grids_is_one_that_its_decoder_knows(task, kind, with_model):
    settings = grid(with_model, []).get(kind, [])
    assert settings or (with_model and kind == "fast-ctc-decode")
    task = task if with_model else without_model(task)
    if settings:
        found = contestant(kind, task)
        for setting in settings:
            assert len(found.decoder(setting)()) == 40


def test_a_run_hears_a_checkpoint_measures_prints_and_writes(tmp_path, capsys):
    checkpoint = untrained(tmp_path / "run" / "checkpoints" / "best.pt", "text=characters")
    talks = tmp_path / "talks"
    talks.mkdir()
    for word in ("on", "no"):
        write(talks / f"{word}.wav", TONE)
        (talks / f"{word}.txt").write_text(word)
    arpa = tmp_path / "words.arpa"
    write_arpa(estimate([["on"], ["no"]], order=2), arpa)
    kept, file = tmp_path / "heard", tmp_path / "speed.json"
    keys = [f"checkpoint={checkpoint}", f"input={talks}", "device=cpu", "loader.n_workers=0"]
    usual = [f"--emissions={kept}", f"--language-model={arpa}", "--contestants", "ours"]
    usual += ["--setting=ours:beam_width=4", "--repeats=2"]
    benchmark_decoders.main([*usual, f"--json={file}", "--n_processes=2", "--", *keys])
    printed = capsys.readouterr().out
    assert "2 utterances" in printed and "words.arpa, weight 0.8, bonus 1, 2 cores" in printed
    assert "ours, threads" in printed and "WER ≤" in printed
    assert sorted(Heard.load(kept).texts) == ["no", "on"]
    (run,) = json.loads(file.read_text())["runs"]
    assert [one["team"] for one in run["outcomes"]] == ["ours", "ours, threads"]
    for one in run["outcomes"]:
        assert len(one["rounds"]) == 2 and all(speed > 0 for speed in one["speeds"])
        assert one["wer"] == run["outcomes"][0]["wer"]
    # What was heard is read again, without the checkpoint.
    checkpoint.unlink()
    benchmark_decoders.main([*usual, "--n_processes=1"])
    assert "1 core\n" in capsys.readouterr().out


def test_growth_prints_a_line_for_each_point(task, capsys):
    words = [f"--emissions={task.emissions}", f"--language-model={task.language_model}"]
    benchmark_decoders.main([*words, "--grow=beam", "--contestants=ours", "--repeats=1"])
    lines = capsys.readouterr().out.strip().splitlines()
    assert [line.split()[0] for line in lines[2:]] == [str(width) for width in GROWTH["beam"]]


def test_peers_that_are_not_there_are_named(capsys):
    options = benchmark_decoders.parse([])
    found = benchmark_decoders.peers(options, with_model=False)
    absent = {"ours", *benchmark_decoders.MODULES} - set(found)
    printed = capsys.readouterr().out
    assert "ours" in found
    assert all(name in printed for name in absent)
    assert ("requirements-bench.txt" in printed) == bool(absent)
    assert "fast-ctc-decode" not in benchmark_decoders.peers(options, with_model=True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--peers-python", "nowhere/python"], "nowhere/python: can't be started"),
        (["--contestants=ours", "--", "part=test"], "part=test: weights tuned on test speech"),
        (["--contestants=ours", "--language-model=words.lm"], "the peers read ARPA only"),
        (["--contestants=ours", "--grow=lm"], "--grow lm: add --synthetic"),
        (["--contestants=ours", "--setting=ours:beam_width=0"], "decoder.beam_width is 0"),
    ],
)
def test_a_mistake_gives_one_line(task, words, message):
    here = [] if "part=test" in words else [f"--emissions={task.emissions}"]
    with pytest.raises(SystemExit, match=message) as ended:
        benchmark_decoders.main([*here, *words])
    assert str(ended.value).startswith("benchmark_decoders: ")
    assert "\n" not in str(ended.value)


def test_files_for_all_contestants_are_gone_afterwards(task):
    from contextlib import ExitStack
    from pathlib import Path

    bare = Task(task.emissions, task.language_model)
    with ExitStack() as stack:
        full = _prepared(bare, bare.heard(), stack)
        assert read_lexicon(full.lexicon) == read_lexicon(task.lexicon)
        assert NGram.load(full.mapped_model).words == NGram.load(task.language_model).words
    assert not Path(full.lexicon).exists() and not Path(full.mapped_model).exists()
    assert isinstance(Ours(task, task.heard())._cut(7)[0], Emissions)
