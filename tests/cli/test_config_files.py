"""A slip of the hand in a config file, or a value no group knows, is told in one sentence."""

import re
import shutil
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from src.cli import CONFIGS, explain


def told(configs: Path, *overrides: str) -> str | None:
    """What a person would read; None for a bug of ours."""
    with pytest.raises(Exception) as met, initialize_config_dir(str(configs), version_base="1.3"):
        compose("convnet", list(overrides))
    return explain(met.value)


@pytest.fixture
def configs(tmp_path):
    return Path(shutil.copytree(CONFIGS, tmp_path / "configs"))


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("name: a: b", r"line 1, column 8: not YAML \(mapping values are not allowed here\)"),
        ("name: [a", "line 3, column 1: not YAML"),
        ("seed: 1\nseed: 2", r"line 2, column 1: not YAML \(found duplicate key seed\)"),
        ("\tname: a", "column 1: not YAML"),
        ("name: \0", r"character 6: not YAML \(special characters are not allowed\)"),
    ],
)
def test_a_file_that_is_not_yaml_is_named_with_its_line(configs, line, sentence):
    (configs / "optimizer" / "adamw.yaml").write_text(f"{line}\n# the end\n")
    message = told(configs)
    assert message.startswith(str(configs / "optimizer" / "adamw.yaml"))
    assert re.search(sentence, message), message


def test_a_file_that_is_not_utf8_is_told(configs):
    (configs / "optimizer" / "adamw.yaml").write_bytes("# größer\nlr: 1".encode("latin-1"))
    assert "not UTF-8 text" in told(configs)


@pytest.mark.parametrize("value", ["[1,2]", "[a,null]", "[[[[]]]]"])
def test_a_group_that_is_given_no_name_is_told(value):
    assert "A group takes the name of one of its files" in told(CONFIGS, f"decoder={value}")


def test_a_bug_of_ours_keeps_its_traceback():
    with pytest.raises(TypeError) as met:
        explain()
    assert explain(met.value) is None
