"""trainer.teacher: which checkpoints may teach which model."""

from dataclasses import replace
from itertools import product
from types import SimpleNamespace

import pytest
import torch

from src.build import build_recognizer, build_text, build_trainer
from src.build.teacher import build_teacher
from src.build.training import describe
from src.logger import Several
from src.trainer import Settings, save_checkpoint
from src.utils.errors import UserError
from tests.build.configs import tiny
from tests.datasets.commands.tiny_commands import pack_corpus
from tests.trainer.conftest import DEFAULTS

SETTINGS = Settings(**DEFAULTS)
FRONT_ENDS = {"logmel40": 0.01, "logmel80_stacked": 0.03, "whisper": 0.01}  # seconds a frame


def recognizer_of(*overrides: str):
    config = tiny(*overrides)
    text = build_text(config)
    return build_recognizer(config, text), text, config


def saved(path, *overrides: str) -> str:
    """A checkpoint of a recogniser with random weights."""
    recognizer, text, config = recognizer_of(*overrides)
    weights = {"recognizer": recognizer.state_dict()}
    save_checkpoint(path, describe(config, text) | weights | {"step": 1})
    return str(path)


def teacher_of(path: str, *overrides: str, objective: str = "ctc", **changes):
    student, text, _ = recognizer_of(*overrides)
    settings = replace(SETTINGS, teacher=path, **changes)
    return build_teacher(settings, student, objective, text)


@pytest.mark.parametrize("name", [None, ""])
def test_without_a_name_there_is_no_teacher(name):
    assert teacher_of(name) is None


def test_a_teacher_is_the_checkpoint_and_learns_nothing(tmp_path, caplog):
    caplog.set_level("INFO")
    path = saved(tmp_path / "teacher.pt", "seed=3")
    teacher = teacher_of(path, teacher_share=0.7, precision="bf16")
    state = torch.load(path, weights_only=True)["recognizer"]
    for name, tensor in teacher.recognizer.state_dict().items():
        assert torch.equal(tensor, state[name]), name
    assert f"{path} of step 1, 1 frame to one of this model" in caplog.text
    assert (teacher.share, teacher.n_frames, teacher.precision) == (0.7, 1, "bf16")
    assert not teacher.recognizer.training
    assert not any(p.requires_grad for p in teacher.recognizer.parameters())


@pytest.mark.parametrize(("of_teacher", "of_student"), [*product(FRONT_ENDS, repeat=2)])
def test_frames_of_a_teacher_fit_into_the_student_s_a_whole_number_of_times(
    of_teacher, of_student, tmp_path
):
    path = saved(tmp_path / "teacher.pt", f"transform={of_teacher}")
    ratio = FRONT_ENDS[of_student] / FRONT_ENDS[of_teacher]
    if ratio >= 1:
        assert teacher_of(path, f"transform={of_student}").n_frames == pytest.approx(ratio)
    else:
        with pytest.raises(UserError, match="every 120 ms and this model every 40 ms; expected"):
            teacher_of(path, f"transform={of_student}")


def test_a_teacher_of_other_symbols_is_refused(tmp_path):
    path = saved(tmp_path / "teacher.pt", "text=characters")
    with pytest.raises(UserError, match=r"it writes 29 symbols, this text \d+, and they are not"):
        teacher_of(path)


def test_symbols_of_another_order_are_refused_by_the_first(tmp_path):
    path = saved(tmp_path / "teacher.pt")
    student, text, _ = recognizer_of()
    text = SimpleNamespace(vocabulary=SimpleNamespace(symbols=[*text.vocabulary.symbols[::-1]]))
    with pytest.raises(UserError, match=r"not the same: no\. 0 is "):
        build_teacher(replace(SETTINGS, teacher=path), student, "ctc", text)


def test_a_teacher_of_another_sample_rate_is_refused(tmp_path):
    path = saved(tmp_path / "teacher.pt", "transform.features.sample_rate=8000")
    with pytest.raises(UserError, match="listens at 8000 Hz, this transform at 16000 Hz"):
        teacher_of(path)


def test_frames_with_labels_have_no_teacher(tmp_path):
    with pytest.raises(UserError, match="expected objective=ctc, not frames"):
        teacher_of(saved(tmp_path / "teacher.pt"), objective="frames")


def test_a_teacher_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"^trainer\.teacher=.*nobody\.pt: .*no checkpoint there"):
        teacher_of(str(tmp_path / "nobody.pt"))


def test_every_key_arrives_in_the_step(tmp_path):
    path = saved(tmp_path / "teacher.pt")
    corpus = f"dataset.path={pack_corpus(tmp_path, n_each=4)[1]}"
    config = tiny(corpus, f"trainer.teacher={path}", "trainer.teacher_share=0.25")
    stepper = build_trainer(config, tmp_path / "run", Several([])).stepper
    assert stepper.teacher.share == 0.25
    assert build_trainer(tiny(corpus), tmp_path / "run", Several([])).stepper.teacher is None


@pytest.mark.parametrize("views", ["trainer.consistency=null", "trainer.consistency=0.2"])
def test_frames_that_move_have_no_teacher(tmp_path, views):
    path = saved(tmp_path / "teacher.pt")
    corpus = f"dataset.path={pack_corpus(tmp_path, n_each=4)[1]}"
    asked = (corpus, f"trainer.teacher={path}", "augment=everything", views)
    with pytest.raises(UserError, match=r"Leave it out with ~augment\.features\.time_warp"):
        build_trainer(tiny(*asked), tmp_path / "run", Several([]))
    unmoved = tiny(*asked, "~augment.features.time_warp")
    assert build_trainer(unmoved, tmp_path / "run", Several([])).stepper.teacher
