"""python -m scripts.benchmark_training: what it prints, writes and refuses."""

import json
import os
import time

import pytest
import torch
from torch import nn

from scripts import benchmark_training
from scripts.benchmarks import report
from scripts.benchmarks.race import Entry, Result, Runner, Spread, ratio
from scripts.benchmarks.recipe import Recipe
from scripts.benchmarks.recurrences import TheirRecurrence, run_theirs
from scripts.benchmarks.stopwatch import PHASES, Stopwatch
from src.models.parts.frames import Frames
from src.models.parts.layers import BiRecurrence
from src.utils.errors import UserError
from tests.scripts.benchmarked import TINY, tiny_recipe

PASS = {"cpu_s": 0.5, "audio_s": 100.0, "padded_s": 125.0, "n_steps": 4}


def result(*seconds: float) -> Result:
    rounds = [{"seconds": s, **PASS} for s in seconds]
    facts = {"n_weights": 2_000_000, "device": "cpu"}
    phases = dict.fromkeys(PHASES, 0.5)
    return Result(facts, rounds, phases, 100.0, peak_bytes=3 * 2**29)


def squeezed(line: str) -> str:
    return " ".join(line.split())


def test_ratios_are_taken_round_by_round():
    ours, theirs = result(10, 5, 20), result(20, 20, 20)
    assert ours.speeds == [10, 20, 5] and ours.padding == pytest.approx(0.2)
    assert ratio(ours, theirs) == Spread(2, 1, 4)  # of 2, 4 and 1


def test_tables_show_median_and_range():
    text = report.comparison({"ours": result(10, 5, 20), "plain": result(20, 20, 20)})
    ours, plain = text.splitlines()[2:]
    assert squeezed(ours) == "ours 10.0 (5.0 … 20.0) – 5.0 20.0 % 4 1.50"
    assert squeezed(plain) == "plain 5.0 (5.0 … 5.0) 2.00 (1.00 … 4.00) 5.0 20.0 % 4 1.50"
    line = report.breakdown({"ours": result(1)}).splitlines()[2]
    assert line.split() == ["ours", *["5.00"] * 8, "40.00"]  # 0.5 s for 100 s of audio
    points = {"2": {"ours": result(10, 5, 20), "limit": result(5, 5, 5)}}
    line = report.growth("batch", points).splitlines()[2]
    assert squeezed(line) == "2 2.0 10.0 (5.0 … 20.0) 0.50 (0.25 … 1.00) 2500 1.50"


def test_a_run_measures_prints_and_writes(tmp_path, capsys):
    file = tmp_path / "speed.json"
    sizes = ["--n_utterances=2", "--max_batch_s=20", "--n_workers=0", "--n_threads=1"]
    who = ["--models=convnet_small", "--contestants=limit", "--repeats=1", f"--json={file}"]
    benchmark_training.main([*who, *sizes, *TINY])
    printed = capsys.readouterr().out
    assert "convnet_small, 0.0 M weights, cpu, float32, 20 s a batch" in printed
    measured = json.loads(file.read_text())
    assert measured["environment"]["commit"]
    (run,) = measured["runs"]
    assert run["recipe"]["overrides"] == list(TINY) and set(run["results"]) == {"ours", "limit"}
    for found in run["results"].values():
        (one,) = found["rounds"]
        assert found["speeds"] == [one["audio_s"] / one["seconds"]]
        assert f"{found['speeds'][0]:.1f} (" in printed
        assert one["cpu_s"] > 0 and found["peak_bytes"] > 0 and set(found["phases"]) == set(PHASES)


def test_without_speechbrain_it_says_so_and_how_to_get_it(capsys):
    options = benchmark_training.parse(["--speechbrain-python", "elsewhere/python"])
    assert benchmark_training.contestants(options)[-1] == "speechbrain"
    options = benchmark_training.parse([])
    names = benchmark_training.contestants(options)
    if "speechbrain" not in names:
        printed = capsys.readouterr().out
        assert "not installed here" in printed and "requirements-bench.txt" in printed
    assert names[:4] == ["ours", "limit", "one-batch", "plain"]


def test_ours_enters_again_for_each_key_it_is_held_against(tmp_path):
    options = benchmark_training.parse(["--against", "trainer.precision=bf16", "a=1"])
    recipe = tiny_recipe(tmp_path)
    entered = benchmark_training.entries(["ours"], recipe, options)
    assert list(entered) == ["ours", "trainer.precision=bf16", "a=1"]
    assert {entry.kind for entry in entered.values()} == {"ours"}
    changed = entered["trainer.precision=bf16"].recipe
    assert changed.config()["trainer"]["precision"] == "bf16"
    assert entered["ours"].recipe == recipe


def test_sizes_grow_as_asked(tmp_path):
    recipe = tiny_recipe(tmp_path / "tones", overrides=[])
    assert benchmark_training.grown(recipe, "batch", 2, tmp_path).max_batch_s == 8
    wide = benchmark_training.grown(recipe, "size", 2, tmp_path)
    assert wide.config()["model"]["rnn_width"] == 2 * recipe.config()["model"]["rnn_width"]
    long = benchmark_training.grown(recipe, "duration", 35, tmp_path)
    assert len(list((tmp_path / "35").rglob("*.flac"))) == long.n_utterances == 23


@pytest.mark.parametrize(
    "asked", ["trainer.consistency=0.2", "+model.intermediate=[1]"], ids=["views", "layers"]
)
def test_losses_that_the_others_lack_are_refused(tmp_path, asked):
    recipe = tiny_recipe(tmp_path / "tones", overrides=[asked])
    with pytest.raises(UserError, match="are not benchmarked"):
        recipe.config()


def test_a_contestant_that_falls_is_named_with_its_last_words(tmp_path, capsys):
    recipe = Recipe(model="convnet_small", root=str(tmp_path), part="nothing")
    with pytest.raises(UserError, match=r"nowhere/python: can't be started \(No such file"):
        Runner("ours", Entry("ours", recipe, "nowhere/python"))
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\necho first >&2\necho out of luck >&2\nexit 3\n")
    script.chmod(0o755)
    with pytest.raises(UserError, match=r"ours: ended with status 3\. Its last line: out of luck"):
        Runner("ours", Entry("ours", recipe, str(script)))
    with pytest.raises(SystemExit) as ended:
        benchmark_training.main(["--root", str(tmp_path), "--contestants", "ours"])
    assert str(ended.value.code).startswith("benchmark_training: ours: ")
    assert "tones" in str(ended.value.code)


def test_time_goes_to_the_phase_it_was_spent_in():
    class Slow(nn.Linear):
        def forward(self, x):
            time.sleep(0.02)
            return super().forward(x)

    front_end, model, loss = Slow(2, 2), nn.Linear(2, 2), nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    watch = Stopwatch(torch.device("cpu"))
    watch.mark("data wait")  # not watching: forgotten
    start = time.perf_counter()
    with watch.watching(front_end, model, loss, optimizer):
        watch.mark("data wait")
        loss(model(front_end(torch.ones(1, 2)))).sum().backward()
        optimizer.step()
        watch.mark("rest")
    elapsed = time.perf_counter() - start
    phases = watch.seconds()
    assert phases["features"] > 0.02
    assert sum(phases.values()) <= elapsed
    assert all(phases[phase] > 0 for phase in PHASES)
    assert set(watch.seconds().values()) == {0.0}


def test_speechbrain_reads_and_learns_the_same(tmp_path):
    pytest.importorskip("speechbrain")
    from scripts.benchmarks.speechbrain_loop import SpeechBrain

    contestant = SpeechBrain(tiny_recipe(tmp_path / "tones"))
    first = contestant.run()
    assert first.n_samples == round(8.2 * 16_000)
    assert contestant.run() == first


def test_processes_are_told_how_many_threads_to_take(tmp_path):
    recipe = Recipe(model="convnet_small", root=str(tmp_path), part="x", n_threads=3)
    script = tmp_path / "python"
    script.write_text('#!/bin/sh\necho "{\\"threads\\": \\"$OMP_NUM_THREADS\\"}"\nread line\n')
    script.chmod(0o755)
    with Runner("ours", Entry("ours", recipe, str(script))) as runner:
        assert runner.facts == {"threads": "3"}
    assert os.environ.get("OMP_NUM_THREADS") != "3"


@pytest.mark.parametrize("packed", [True, False])
def test_their_recurrences_read_a_full_batch_as_ours_do(packed):
    torch.manual_seed(0)
    layer = nn.Sequential(BiRecurrence(nn.GRU, n_inputs=3, width=4, merge="sum"))
    x, lengths = torch.randn(2, 6, 3), torch.tensor([6, 6])
    ours = layer[0](x, Frames(lengths, 6))
    theirs = run_theirs(layer, packed=packed)[0]
    assert isinstance(theirs, TheirRecurrence)
    torch.testing.assert_close(theirs(x, Frames(lengths, 6)), ours)
    # A shorter utterance only where they are packed.
    shorter = Frames(torch.tensor([6, 4]), 6)
    same = torch.allclose(theirs(x, shorter)[1, :4], theirs.ours(x, shorter)[1, :4], atol=1e-5)
    assert same == packed
