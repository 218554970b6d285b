"""Corpus statistics: the right numbers, and a life of their own inside the checkpoint."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from scripts.compute_stats import main, read_config
from src.build import build, build_recognizer, build_text, build_trainer, load_recognizer
from src.datasets import collate
from src.logger import standard_loggers
from src.transforms import read_statistics
from tests.datasets.commands.tiny_commands import pack_corpus

STORED = ["transform=logmel80_stored", "device=cpu", "loader.n_workers=0", "loader.batch_size=4"]
TINY = ["model=convnet_small", "model.channels=[4,4,4,4]", "model.rnn_width=8", "name=t"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> str:
    """Clips of three lengths, packed, as an override."""
    folder = tmp_path_factory.mktemp("corpus")
    return f"dataset.path={pack_corpus(folder, lengths=(16000, 9000, 4321))[1]}"


@pytest.fixture
def statistics(corpus, tmp_path) -> Path:
    """The file that the script writes for `corpus`."""
    main(["-cn=convnet", *STORED, corpus, "--out", str(tmp_path / "stats.json")])
    return tmp_path / "stats.json"


def test_statistics_are_those_of_all_frames_in_one_array(corpus, statistics, capsys):
    config = read_config("convnet", [*STORED, corpus])
    text = build_text(config)
    dataset = build(config["dataset"]["train"], "dataset.train", text=text)
    front_end = build(config["transform"], "transform")
    waveforms = [torch.from_numpy(dataset[i].waveform) for i in range(len(dataset))]
    assert len({len(waveform) for waveform in waveforms}) == 3
    frames = np.concatenate(  # each utterance alone: nothing can leak out of padding
        [front_end.unnormalised(w[None], torch.tensor([len(w)]))[0][0].numpy() for w in waveforms]
    ).astype(np.float64)
    mean, std = read_statistics(statistics)
    np.testing.assert_allclose(mean, frames.mean(0), rtol=1e-5)
    np.testing.assert_allclose(std, frames.std(0), rtol=1e-4)
    assert json.loads(statistics.read_text())["n_frames"] == len(frames)


def test_the_report_counts_and_says_how_to_use_the_file(corpus, tmp_path, capsys):
    out = tmp_path / "folder/stats.json"
    main(["--out", str(out), "-cn", "convnet", corpus, *STORED, "dataset.train.limit=3"])
    report = capsys.readouterr().out
    assert "frames of 3 utterances, 80 features" in report
    assert f"transform.normalise.statistics={out}" in report


def test_a_model_trained_with_statistics_is_read_back_without_their_file(
    corpus, statistics, tmp_path
):
    use = f"transform.normalise.statistics={statistics}"
    config = read_config("convnet", [*STORED, *TINY, corpus, use, "trainer.n_epochs=1"])
    trainer = build_trainer(config, tmp_path / "run", standard_loggers(tmp_path / "run", None))
    trainer.train()
    batch = collate([trainer.validation.batches.dataset[0]])
    with torch.inference_mode():
        expected = trainer.stepper.recognizer.eval()(batch.waveforms, batch.waveform_lengths)
    # Another front end's statistics under the same name must not matter, and no file either.
    statistics.write_text('{"n_frames": 1, "mean": [0.0], "std": [1.0]}')
    for _ in range(2):
        _, recognizer, state = load_recognizer(tmp_path / "run")
        assert str(tmp_path) not in str(state["config"])
        with torch.inference_mode():
            emissions = recognizer(batch.waveforms, batch.waveform_lengths)
        assert torch.equal(emissions.log_probs, expected.log_probs)
        statistics.unlink(missing_ok=True)


def test_older_statistics_do_not_stand_in_the_way_of_new_ones(corpus, statistics):
    changed = "transform.features.n_mels=40"
    use = f"transform.normalise.statistics={statistics}"
    main(["-cn=convnet", *STORED, corpus, use, changed, "--out", str(statistics)])
    assert len(read_statistics(statistics)[0]) == 40
    config = read_config("convnet", [*STORED, corpus, use, changed])
    build_recognizer(config, build_text(config))


MISTAKES = {
    "transform=mfcc": "UtteranceNormalisation, which needs no statistics; .*=logmel80_stored",
    "transform=logmel_stored": "=logmel_stored: no such choice; did you mean logmel80_stored",
    "dataset.path=nowhere.h5": "python -m scripts.prepare_speech_commands",
    "dataset.train.sample_rate=8000": "8000",
    "+dataset_path=x": "dataset_path: nothing reads this key",
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_ends_in_one_line_and_leaves_no_file(mistake, corpus, tmp_path):
    out = tmp_path / "stats.json"
    with pytest.raises(SystemExit, match=f"^compute_stats: .*{MISTAKES[mistake]}") as ended:
        main(["-cn=convnet", *STORED, corpus, mistake, "--out", str(out)])
    assert "\n" not in str(ended.value) and not out.exists()


def test_a_file_where_a_folder_is_wanted_is_told(corpus, tmp_path):
    (tmp_path / "taken").write_text("a file where a folder is wanted")
    with pytest.raises(SystemExit, match=r"stats\.json: could not be written"):
        main(["-cn=convnet", *STORED, corpus, "--out", str(tmp_path / "taken/stats.json")])


def test_help_teaches_both_commands(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    assert "scripts.compute_stats -cn=convnet transform=logmel80_stored" in told
    assert "transform.normalise.statistics=" in told
