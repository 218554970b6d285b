"""The registry of published checkpoints: what it promises and what it refuses."""

import copy
import re

import pytest
import yaml

from src.utils.errors import UserError
from src.utils.registry import read_registry
from tests.conftest import REPOSITORY

GOOD = {
    "default": "small",
    "models": {
        "small": {
            "description": "a small ConvNet",
            "licence": "MIT",
            "size": 12,
            "sha256": "ab" * 32,
            "urls": ["https://example.org/small.pt", "file:///srv/small.pt"],
        }
    },
}


@pytest.fixture
def write(tmp_path):
    """Put a registry into a file."""

    def write(content):
        path = tmp_path / "registry.yaml"
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return path

    return write


def test_the_projects_own_registry_is_readable():
    registry = read_registry(REPOSITORY / "pretrained" / "registry.yaml")
    assert registry.default in (None, *registry.models)


def test_entries_are_read_as_written(write):
    registry = read_registry(write(GOOD))
    assert registry.default == "small"
    left_out = {"file": None, "task": "", "figure": "", "card": None, "companions": {}}
    assert vars(registry.models["small"]) == GOOD["models"]["small"] | left_out


def test_a_model_may_lie_beside_the_registry_and_tell_more(write):
    content = copy.deepcopy(GOOD)
    entry = content["models"]["small"]
    del entry["urls"]
    more = {"file": "small.safetensors", "task": "x → text", "figure": "WER 1 %", "card": "a.md"}
    entry |= more
    model = read_registry(write(content)).models["small"]
    assert vars(model) == entry | {"urls": [], "companions": {}}


@pytest.mark.parametrize(
    ("url", "suffix"),
    [
        ("https://example.org/a.safetensors", ".safetensors"),
        ("https://example.org/a.safetensors?download=true", ".safetensors"),
        ("https://example.org/a.pt", ".pt"),
        ("https://example.org/get?id=7", ".pt"),
    ],
)
def test_a_downloaded_file_is_named_after_the_kind_its_url_tells(write, url, suffix):
    content = copy.deepcopy(GOOD)
    content["models"]["small"]["urls"] = [url]
    assert read_registry(write(content)).models["small"].suffix == suffix


def test_a_name_of_digits_can_be_asked_for_by_its_text(write):
    content = {"default": None, "models": {2024: GOOD["models"]["small"]}}
    assert list(read_registry(write(content)).models) == ["2024"]


@pytest.mark.parametrize("key", ["description", "licence", "size", "sha256"])
def test_a_missing_key_is_named(write, key):
    content = copy.deepcopy(GOOD)
    del content["models"]["small"][key]
    with pytest.raises(UserError, match=f"registry.yaml: model small: {key} missing"):
        read_registry(write(content))


@pytest.mark.parametrize("places", [{}, {"urls": ["https://x.org/a"], "file": "a.safetensors"}])
def test_a_model_lies_in_one_kind_of_place(write, places):
    content = copy.deepcopy(GOOD)
    del content["models"]["small"]["urls"]
    content["models"]["small"] |= places
    with pytest.raises(UserError, match="model small: expected either urls or file"):
        read_registry(write(content))


@pytest.mark.parametrize("key", ["file", "card"])
@pytest.mark.parametrize("value", ["../a", "/etc/passwd", "a/b", "", ".a", None, 3])
def test_files_of_a_model_lie_beside_the_registry(write, key, value):
    content = copy.deepcopy(GOOD)
    content["models"]["small"][key] = value
    with pytest.raises(UserError, match=f"{key} is .*, expected a name of a file beside"):
        read_registry(write(content))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("task", 7, "task is 7, expected a line of text"),
        ("figure", "", "figure is '', expected a line of text"),
        ("licence", " ", "licence is ' ', expected a line of text"),
        ("description", None, "description is None, expected a line"),
        ("size", 0, "size is 0, expected a number of bytes"),
        ("size", "12 MB", "size is '12 MB', expected a number of bytes"),
        ("size", True, "size is True"),
        ("sha256", "ab" * 31, "sha256 is 'abab.*', expected 64 hexadecimal digits"),
        ("sha256", int("12" * 32), "sha256 is 1212.* in quotes if all are decimal"),
        ("urls", [], r"urls is \[\], expected a list"),
        ("urls", "https://example.org/small.pt", "urls is 'https.*', expected a list"),
        ("urls", ["ftp://example.org/small.pt"], "'ftp://.*' can't be fetched: expected https"),
        ("md5", "ab" * 16, "unknown key md5; known are card, companions, descr"),
    ],
)
def test_a_wrong_value_is_named_with_its_model(write, key, value, message):
    content = copy.deepcopy(GOOD)
    content["models"]["small"][key] = value
    with pytest.raises(UserError, match=f"registry.yaml: model small: {message}"):
        read_registry(write(content))


BESIDE = {"size": 3, "sha256": "cd" * 32, "urls": ["https://example.org/small.arpa"]}


@pytest.mark.parametrize(
    ("companions", "message"),
    [
        ([".arpa"], r"small: companions is \['.arpa'\], expected files by their endings, some of"),
        ({"../a": BESIDE}, r"small: companions is .* some of .arpa.gz, .arpa, .lm, .lexicon.gz, "),
        ({".arpa": None}, r"small, .arpa: sha256, size missing"),
        ({".arpa": BESIDE | {"size": -1}}, r"small, .arpa: size is -1, expected a number of bytes"),
        ({".lm": BESIDE | {"sha256": "x"}}, r"small, .lm: sha256 is 'x', expected 64 hexa"),
        ({".lm": BESIDE | {"file": "a"}}, r"small, .lm: unknown key file; known are sha256, size"),
        ({".lm": BESIDE | {"urls": []}}, r"small, .lm: urls is \[\], expected a list"),
        ({".lm": BESIDE | {"urls": ["ftp://x.org"]}}, r"small, .lm: .* expected https"),
        ({".lm": {"size": 3, "sha256": "cd" * 32}}, r"small, .lm: expected urls where the model"),
    ],
)
def test_a_wrong_companion_is_named(write, companions, message):
    content = copy.deepcopy(GOOD)
    content["models"]["small"]["companions"] = {".lexicon": BESIDE}
    [beside] = read_registry(write(content)).models["small"].companions.values()
    assert vars(beside) == BESIDE
    content["models"]["small"]["companions"] = companions
    with pytest.raises(UserError, match=f"registry.yaml: model {message}"):
        read_registry(write(content))


@pytest.mark.parametrize("name", ["../small", "/etc/small", "a/b", "..", ".small", "", "a b", "ä"])
def test_a_name_that_could_leave_its_folder_is_refused(write, name):
    content = {"default": None, "models": {name: GOOD["models"]["small"]}}
    with pytest.raises(UserError, match=re.escape(f"{name!r} can't name a model")):
        read_registry(write(content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "default, models missing"),
        ("- small", "default, models missing"),
        ("default: null\nmodels: {}\nmodel: {}", "unknown key model; known are default, models"),
        ("default: null\nmodels: [small]", "'models' must map names to models"),
        ("default: big\nmodels: {}", "the default 'big' is not among the models"),
        ("default: null\nmodels: {small: }", "model small: description, licence, .* missing"),
        ("default: null\ndefault: null\nmodels: {}", "not a YAML file .*duplicate key"),
        (
            "default: &a small\nmodels: *a",
            r"not a YAML file \(the alias \*a: values are written out",
        ),
        ("models: {", "not a YAML file"),
        ("{a: 1}: 1", "not a YAML file .*unhashable"),
        ("!!python/object/apply:os.getcwd []", "not a YAML file"),
        ("default: 2026-99-99", "not a YAML file"),
        ("default: " + "[" * 3000, "not a YAML file"),
        ("just a word", "default, models missing"),
    ],
)
def test_a_file_of_another_shape_is_refused(write, content, message):
    with pytest.raises(UserError, match=f"registry.yaml: .*{message}"):
        read_registry(write(content))


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "registry.yaml").write_bytes(b"\xff\xfe\x00models")
    with pytest.raises(UserError, match=r"registry.yaml: not a YAML file"):
        read_registry(tmp_path / "registry.yaml")


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"absent.yaml: the registry can't be read \(No such"):
        read_registry(tmp_path / "absent.yaml")
