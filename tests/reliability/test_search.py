"""scripts.sweep: real searches, killed and continued; what Optuna is asked for."""

import os
import signal
import subprocess
import sys
import time

import pytest

from scripts.sweep import sampler, split
from src.sweeps import read_sweep
from src.utils.errors import UserError
from tests.pages import ROOT
from tests.reliability.tiny_run import arguments

optuna = pytest.importorskip("optuna", reason="pip install -r requirements-extra.txt")
SPACE = ["optimizer.lr=tag(log,interval(1e-4,1e-1))", "model.width=0,8,16"]


def start(folder, corpus) -> subprocess.Popen:
    config, *words = (w for w in arguments(corpus, folder) if not w.startswith("run_dir="))
    words = [word for word in words if not word.startswith(("optimizer.lr", "model.width"))]
    command = [sys.executable, "-m", "scripts.sweep", folder, "--n_trials", "4", "--seed", "3"]
    short = ["trainer.n_epochs=1", "trainer.patience=null", "loader.n_workers=0"]
    return subprocess.Popen(
        [*map(str, command), config, *words, *short, *SPACE], cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def test_a_killed_search_proposes_what_an_undisturbed_one_would(runs, tmp_path):
    folder = tmp_path / "search"
    with start(folder, runs.corpus) as search:
        while not list(folder.glob("*/checkpoints/last.pt")):
            assert search.poll() is None, search.stdout.read()
            time.sleep(0.02)
        search.send_signal(signal.SIGKILL)
    before = {trial.folder for trial in read_sweep(folder)}
    with start(folder, runs.corpus) as search:
        said = search.stdout.read()
    assert search.returncode == 0, said
    trials = read_sweep(folder)
    assert before <= {trial.folder for trial in trials}
    study = optuna.load_study(study_name="sweep", storage=f"sqlite:///{folder}/study.db")
    assert len(study.trials) == 4 and "minutes  status" in said
    # Nobody disturbs this one; it is told what the other found.
    _, space = split(SPACE, optuna.distributions)
    alone = optuna.create_study()
    for number, trial in enumerate(study.trials):
        alone.sampler = sampler(optuna, 3, number)
        asked = alone.ask(space)
        assert asked.params == trial.params
        alone.tell(asked, trial.value, state=trial.state)
    widths = {trial.overrides["model.width"]: trial.status for trial in trials}
    assert widths == {w: "failed" if w == "0" else "finished" for w in widths}
    assert trials[0].best == study.best_value


def test_overrides_become_distributions():
    words = ["seed=3", "a=1,2", "b=int(interval(1,5))", "c=interval(0,1)", "d=range(1,4)"]
    fixed, space = split([*words, "e=tag(log,interval(1e-4,1e-2))"], optuna.distributions)
    kinds = optuna.distributions
    assert fixed == ["seed=3"]
    assert space["a"] == kinds.CategoricalDistribution(["1", "2"])
    assert space["b"] == kinds.IntDistribution(1, 5)
    assert space["c"] == kinds.FloatDistribution(0.0, 1.0)
    assert space["d"] == kinds.CategoricalDistribution(["1", "2", "3"])
    assert space["e"] == kinds.FloatDistribution(1e-4, 1e-2, log=True)


@pytest.mark.parametrize(
    ("words", "message"),
    [(["seed=3"], "No key to search"), (["seed=3", "model=glob(*)"], "expected a,b,c")],
)
def test_what_cannot_be_searched_is_told(words, message):
    with pytest.raises(UserError, match=message):
        split(words, optuna.distributions)
