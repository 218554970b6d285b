"""Event files, read back by TensorBoard itself."""

import io
import sys

import numpy as np
import pytest
import soundfile
from PIL import Image

from src.logger import TensorBoard
from src.utils.errors import UserError

RGB = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)


def read_back(run_dir):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run_dir / "tensorboard"), size_guidance={"tensors": 0})
    return events.Reload()


def test_curves_come_back_with_their_steps(tmp_path):
    log = TensorBoard(tmp_path)
    for step in (10, 20):
        log.scalars(step, {"train/loss": 1 / step, "validation/wer": 0.5})
    log.close()
    log.close()
    events = read_back(tmp_path)
    assert sorted(events.Tags()["scalars"]) == ["train/loss", "validation/wer"]
    points = [(e.step, e.value) for e in events.Scalars("train/loss")]
    assert points == [(10, pytest.approx(0.1)), (20, pytest.approx(0.05))]


def test_pictures_and_sounds_come_back_as_they_were(tmp_path):
    log = TensorBoard(tmp_path)
    log.image(3, "picture", RGB)
    log.audio(3, "sound", np.array([0.0, 0.5, -0.5, 2.0, -2.0], np.float32), 16000)
    log.close()
    events = read_back(tmp_path)
    [picture] = events.Images("picture")
    np.testing.assert_array_equal(
        np.asarray(Image.open(io.BytesIO(picture.encoded_image_string))), RGB
    )
    [sound] = events.Audio("sound")
    samples, rate = soundfile.read(io.BytesIO(sound.encoded_audio_string))
    assert rate == 16000
    np.testing.assert_allclose(samples, [0, 0.5, -0.5, 1, -1], atol=1e-4)  # clipped, not wrapped


def test_a_table_becomes_markdown(tmp_path):
    log = TensorBoard(tmp_path)
    log.table(5, "examples", ["id", "wer"], [["a|b", 0.25], ["two\nlines", 1]])
    log.text(6, "note", "early stop")
    log.close()
    events = read_back(tmp_path)
    [table] = events.Tensors("examples/text_summary")
    assert table.step == 5
    assert table.tensor_proto.string_val[0].decode() == (
        "| id | wer |\n| --- | --- |\n| a\\|b | 0.250 |\n| two lines | 1 |"
    )
    assert events.Tensors("note/text_summary")[0].tensor_proto.string_val[0] == b"early stop"


def test_resuming_hides_the_steps_after_the_checkpoint(tmp_path):
    log = TensorBoard(tmp_path)
    for step in (1, 2, 3, 4):
        log.scalars(step, {"train/loss": float(step)})
    log.close()
    resumed = TensorBoard(tmp_path)
    resumed.rewind(2)
    resumed.scalars(3, {"train/loss": 30.0})
    resumed.close()
    points = [(e.step, e.value) for e in read_back(tmp_path).Scalars("train/loss")]
    assert points == [(1, 1.0), (2, 2.0), (3, 30.0)]


def test_a_missing_package_names_the_install_command(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UserError, match="pip install tensorboard"):
        TensorBoard(tmp_path)
