"""python -m scripts.benchmark_inference on a corpus and a model of nothing."""

import json

import pytest

from scripts import benchmark_inference
from scripts.benchmarks.corpus import PART
from tests.scripts.benchmarked import SECONDS, tiny_recipe


@pytest.fixture
def root(tmp_path):
    return tiny_recipe(tmp_path / "tones").root


def test_a_run_reads_all_and_compares(root, tmp_path, capsys):
    file = tmp_path / "speed.json"
    sizes = ["--max_batch_s=4", "--n_workers=0", "--n_threads=1", "--repeats=2"]
    who = ["--model=convnet_small", f"--root={root}", f"--json={file}"]
    benchmark_inference.main([*who, *sizes])
    printed = capsys.readouterr().out
    results = json.loads(file.read_text())["results"]
    assert list(results) == ["ours", "limit", "plain"]
    for found in results.values():
        assert len(found["rounds"]) == 2
        assert found["rounds"][0]["audio_s"] == pytest.approx(sum(SECONDS), abs=1e-3)
    assert results["ours"]["padding"] < results["plain"]["padding"]
    assert results["plain"]["rounds"][0]["n_steps"] == 1
    assert "ours is × faster" in printed and "0 decoding processes" in printed


def test_what_is_missing_is_told_in_a_line(tmp_path):
    with pytest.raises(SystemExit) as ended:
        benchmark_inference.main(["--root", str(tmp_path), "--checkpoint", str(tmp_path / "no.pt")])
    assert str(ended.value.code).startswith("benchmark_inference: ")
    assert "no.pt" in str(ended.value.code)


def test_the_config_is_that_of_inference(root, tmp_path):
    options = benchmark_inference.parse(["--n_decoders", "3", "--decoder", "beam"])
    config = benchmark_inference.config_of(options, root, "model.pt", 5)
    assert config["n_decoders"] == 3 and config["dataset"]["test"]["limit"] == 5
    assert config["dataset"]["test"]["parts"] == [PART]
    assert config["decoder"]["_target_"] == "src.decoders.PrefixBeam"
