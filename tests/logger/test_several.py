"""Several loggers at once: an optional one can fail, the run goes on."""

import inspect
import json

import numpy as np
import pytest
import yaml

from src import logger
from src.logger import JSONL, Console, Logger, Nothing, Several, standard_loggers
from src.utils.errors import UserError
from tests.conftest import REPOSITORY


class Diary(Logger):
    """Remembers its calls."""

    def __init__(self) -> None:
        self.calls = []

    def scalars(self, step, values):
        self.calls.append(("scalars", step, values))

    def close(self):
        self.calls.append(("close",))


class Broken(Logger):
    def scalars(self, step, values):
        raise RuntimeError("server on fire")


class BrokenEssential(Logger):
    essential = True

    def scalars(self, step, values):
        raise UserError("no space left")


def test_every_logger_hears_every_call():
    diaries = [Diary(), Diary()]
    log = Several(diaries)
    log.scalars(1, {"a": 2.0})
    log.close()
    for diary in diaries:
        assert diary.calls == [("scalars", 1, {"a": 2.0}), ("close",)]


def test_an_optional_logger_that_fails_is_switched_off_with_one_warning(caplog):
    diary = Diary()
    log = Several([Broken(), diary])
    log.scalars(1, {"a": 1.0})
    log.scalars(2, {"a": 1.0})
    assert [call[1] for call in diary.calls] == [1, 2]
    assert len(caplog.records) == 1
    assert "Broken failed (RuntimeError: server on fire) and is switched off" in caplog.text


def test_what_an_essential_logger_raises_reaches_the_run_even_through_two_layers():
    with pytest.raises(UserError, match="no space left"):
        Several([Several([BrokenEssential()]), Diary()]).scalars(1, {})


def test_a_run_always_has_its_log_and_the_console(tmp_path, capsys):
    diary = Diary()
    for extra in (None, Nothing(run_dir=tmp_path), diary):
        log = standard_loggers(tmp_path, extra)
        assert [type(part) for part in log.loggers[:2]] == [JSONL, Console]
        log.scalars(5, {"train/loss": 1.0})
        log.close()
    assert [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").open()] == [5, 5, 5]
    assert capsys.readouterr().out.count("step 5  train/loss 1\n") == 3
    assert diary.calls[0] == ("scalars", 5, {"train/loss": 1.0})


def test_every_logger_takes_every_call_of_the_protocol():
    protocol = {name for name, _ in inspect.getmembers(Logger, inspect.isfunction)}
    assert protocol == {"rewind", "scalars", "image", "audio", "table", "text", "close"}
    silent = Logger()
    silent.rewind(0)
    silent.scalars(0, {})
    silent.image(0, "", np.zeros((1, 1, 3), np.uint8))
    silent.audio(0, "", np.zeros(1, np.float32), 16000)
    silent.table(0, "", [], [])
    silent.text(0, "", "")
    silent.close()


@pytest.mark.parametrize("path", sorted((REPOSITORY / "configs/logger").glob("*.yaml")), ids=str)
def test_each_config_names_a_logger_and_arguments_that_it_has(path):
    config = yaml.safe_load(path.read_text())
    room, name = config.pop("_target_").rsplit(".", 1)
    assert room == "src.logger" and name in logger.__all__
    arguments = set(inspect.signature(getattr(logger, name)).parameters)
    assert config.keys() == arguments - {"run_dir"} and "run_dir" in arguments
