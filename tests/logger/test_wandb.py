"""Weights & Biases as it is, without its server: nobody is asked to log in, nothing stops a run."""

import json
import sys

import numpy as np
import pytest
import soundfile
from PIL import Image

from src.logger import WandB
from src.utils.errors import UserError

RGB = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
WAVEFORM = np.linspace(-0.5, 0.5, 1600, dtype=np.float32)


@pytest.fixture(autouse=True)
def stranger(tmp_path, monkeypatch):
    """A person without any key or setting of Weights & Biases."""
    import wandb

    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL", "WANDB_DIR", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "WANDB_CONFIG_DIR", "WANDB_CACHE_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setenv("WANDB_SILENT", "true")
    wandb.teardown()
    yield
    wandb.teardown()


def log_everything(log: WandB) -> None:
    log.scalars(10, {"train/loss": 1.5, "train/grad_norm": float("nan")})
    log.image(20, "validation/spectrogram", RGB)
    log.audio(20, "validation/audio", WAVEFORM, 16000)
    log.table(20, "validation/examples", ["id", "wer"], [["a", 0.25], ["b", ""]])
    log.text(20, "note", "<b> is shown, not obeyed")
    log.close()
    log.close()
    if sys.modules.get("wandb"):
        sys.modules["wandb"].teardown()  # as the end of a process does: the helper writes and ends


def test_offline_everything_is_kept_on_disk_for_a_later_sync(tmp_path):
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    (run_dir / "config.yaml").write_text("seed: 17\nmodel: {width: 64}\n")
    log_everything(WandB(run_dir, mode="offline", tags=["test"]))
    [record] = run_dir.glob("wandb/offline-run-*/run-*.wandb")
    content = record.read_bytes()
    for word in (b"train/loss", b"train/grad_norm", b"width", b"ctc-speech-recognition"):
        assert word in content
    media = record.parent / "files/media"
    [picture] = media.glob("images/**/*.png")
    np.testing.assert_array_equal(np.asarray(Image.open(picture)), RGB)
    [sound] = media.glob("audio/**/*.wav")
    np.testing.assert_allclose(soundfile.read(sound)[0], WAVEFORM, atol=1e-4)
    [table] = [json.loads(path.read_text()) for path in media.glob("table/**/*.json")]
    assert (table["columns"], table["data"]) == (["id", "wer"], [["a", 0.25], ["b", ""]])
    [page] = media.glob("html/*.html")
    assert "&lt;b&gt; is shown" in page.read_text()


def test_a_resumed_run_keeps_its_id(tmp_path):
    for step in (1, 2):
        log = WandB(tmp_path / "run", mode="offline")
        log.scalars(step, {"train/loss": 1.0})
        log.close()
    ids = {path.stem for path in tmp_path.glob("run/wandb/offline-run-*/run-*.wandb")}
    assert ids == {"run-" + (tmp_path / "run/wandb_id.txt").read_text().strip()}


def test_disabled_does_nothing_and_needs_no_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    log_everything(WandB(tmp_path / "run", mode="disabled"))
    assert not (tmp_path / "run").exists()


def test_online_without_a_key_is_one_sentence_not_a_question(tmp_path):
    with pytest.raises(UserError, match=r"no key was found.*`wandb login`.*logger\.mode=offline"):
        WandB(tmp_path / "run", mode="online")


def test_a_key_that_can_be_none_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "abc")
    with pytest.raises(UserError, match=r"can't log in \(.*WANDB_API_KEY.*40"):
        WandB(tmp_path / "run", mode="online")


def test_an_unreachable_server_turns_the_run_offline(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    log_everything(WandB(tmp_path / "run", mode="online", init_timeout_s=1))
    assert "could not be reached" in caplog.text and "wandb sync" in caplog.text
    wandb_id = (tmp_path / "run/wandb_id.txt").read_text().strip()
    [record] = tmp_path.glob(f"run/wandb/offline-run-*/run-{wandb_id}.wandb")
    assert b"train/loss" in record.read_bytes()


def test_a_missing_package_names_the_install_command(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UserError, match="pip install wandb"):
        WandB(tmp_path / "run", mode="offline")


def test_an_unknown_mode_names_the_known_ones(tmp_path):
    with pytest.raises(UserError, match=r"logger\.mode=of: unknown; use .*offline"):
        WandB(tmp_path / "run", mode="of")
