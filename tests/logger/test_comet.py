"""Comet as it is, without its server, in processes of its own, since its import patches them."""

import csv
import io
import json
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import soundfile
from PIL import Image

from src.logger import Comet
from src.utils.errors import UserError
from tests.conftest import REPOSITORY

RGB = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
WAVEFORM = np.linspace(-0.5, 0.5, 1600, dtype=np.float32)
EVERYTHING = """
import logging, sys
import numpy as np
from src.logger import Comet
logging.basicConfig(format="%(message)s")
log = Comet(sys.argv[1], mode=sys.argv[2], tags=["test"])
log.scalars(10, {"train/loss": 1.5})
log.image(20, "validation/spectrogram", np.arange(60, dtype=np.uint8).reshape(4, 5, 3))
log.audio(20, "validation/audio", np.linspace(-0.5, 0.5, 1600, dtype=np.float32), 16000)
log.table(20, "validation/examples", ["id", "wer"], [["a", 0.25], ["b", ""]])
log.text(20, "note", "early stop")
log.close()
log.close()
"""


def log_everything(run_dir, mode: str, **environment: str) -> str:
    """What a process tells that logs one of each kind; it knows no key of Comet's."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("COMET_")}
    done = subprocess.run(
        [sys.executable, "-c", EVERYTHING, run_dir, mode],
        cwd=REPOSITORY, env=kept | {"HOME": str(run_dir)} | environment, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    return done.stderr


def archive_of(run_dir) -> tuple[list[dict], zipfile.ZipFile]:
    [path] = run_dir.glob("comet/*.zip")
    archive = zipfile.ZipFile(path)
    lines = archive.read("messages.json").decode().splitlines()
    return [json.loads(line) for line in lines], archive


def file_of(messages: list[dict], archive: zipfile.ZipFile, kind: str) -> bytes:
    [name] = [
        m["payload"]["file_path"]
        for m in messages
        if m["type"] == "file_upload" and kind in json.dumps(m["payload"])
    ]
    return archive.read(name)


def test_offline_everything_is_kept_on_disk_for_a_later_upload(tmp_path):
    (tmp_path / "config.yaml").write_text("seed: 17\nmodel: {width: 64}\n")
    log_everything(tmp_path, "offline")
    messages, archive = archive_of(tmp_path)
    [loss] = [m["payload"]["metric"] for m in messages if m["type"] == "metric_msg"
              and m["payload"]["metric"]["metricName"] == "train/loss"]  # fmt: skip
    assert (loss["metricValue"], loss["step"]) == (1.5, 10)
    parameters = {m["payload"]["param"]["paramName"]: m["payload"]["param"]["paramValue"]
                  for m in messages if m["type"] == "parameter_msg"}  # fmt: skip
    assert parameters["seed"] == 17 and parameters["model|width"] == 64
    picture = Image.open(io.BytesIO(file_of(messages, archive, "visualization")))
    np.testing.assert_array_equal(np.asarray(picture), RGB)
    samples, rate = soundfile.read(io.BytesIO(file_of(messages, archive, '"audio"')))
    assert rate == 16000
    np.testing.assert_allclose(samples, WAVEFORM, atol=1e-4)
    rows = csv.reader(file_of(messages, archive, ".csv").decode().splitlines())
    assert list(rows) == [["id", "wer"], ["a", "0.25"], ["b", ""]]
    assert file_of(messages, archive, "text-sample") == b"early stop"
    key = (tmp_path / "comet_id.txt").read_text().strip()
    assert json.loads(archive.read("experiment.json"))["offline_id"] == key


def test_a_resumed_run_keeps_its_key(tmp_path):
    log_everything(tmp_path, "offline")
    log_everything(tmp_path, "offline")
    key = (tmp_path / "comet_id.txt").read_text().strip()
    assert [path.name.split("-")[0] for path in tmp_path.glob("comet/*.zip")] == [key, key]


def test_an_unreachable_server_turns_the_run_offline(tmp_path):
    told = log_everything(
        tmp_path, "online", COMET_API_KEY="a" * 25, COMET_URL_OVERRIDE="http://127.0.0.1:9/",
        COMET_GET_OR_ADD_EXPERIMENT_RETRY_CONNECT="0",
    )  # fmt: skip
    assert "Comet could not be reached" in told and "comet upload" in told
    messages, _ = archive_of(tmp_path)
    assert any("train/loss" in json.dumps(message) for message in messages)


def test_online_without_a_key_is_one_sentence_not_a_question(tmp_path):
    with pytest.raises(subprocess.CalledProcessError) as error:
        log_everything(tmp_path, "online")
    assert "no key was found" in error.value.stderr and "comet login" in error.value.stderr


def test_disabled_does_nothing_and_needs_no_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "comet_ml", None)
    log = Comet(tmp_path / "run", mode="disabled")
    log.scalars(10, {"train/loss": 1.5})
    log.image(10, "picture", RGB)
    log.close()
    assert not (tmp_path / "run").exists()


def test_a_missing_package_names_the_install_command(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "comet_ml", None)
    with pytest.raises(UserError, match="pip install comet_ml"):
        Comet(tmp_path / "run", mode="offline")


def test_an_unknown_mode_names_the_known_ones(tmp_path):
    with pytest.raises(UserError, match=r"logger\.mode=of: unknown; use .*offline"):
        Comet(tmp_path / "run", mode="of")
