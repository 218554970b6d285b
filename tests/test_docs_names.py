"""Links, pictures, files, choices and keys that README and docs name are there."""

import re

import pytest
from hydra import compose, initialize_config_dir

from tests.pages import CONFIGS, GUIDES, PAGES, ROOT, blocks


def links() -> list:
    """(page, target) of every link and image that leads to a file of ours."""
    found = []
    for page in PAGES:
        prose = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
        for target in re.findall(r"\]\(([^)\s]+)\)", prose):
            if not re.match(r"\w+:", target):
                found.append(pytest.param(page, target, id=f"{page.name}: {target}"))
    return found


@pytest.mark.parametrize(("page", "target"), links())
def test_links_lead_somewhere(page, target):
    path, _, anchor = target.partition("#")
    file = page.parent / path if path else page
    assert file.is_file()
    if anchor:
        headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.M)
        slugs = [re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings]
        assert anchor in slugs


def test_pictures_are_small():
    pictures = [*(ROOT / "docs").rglob("*.png")]
    assert pictures
    for picture in pictures:
        assert picture.stat().st_size < 200_000, picture


def file_map() -> list[str]:
    """Paths of README's file map; two spaces more lead one folder down."""
    [text] = [t for t in blocks(ROOT / "README.md", {"text"}) if t.startswith("train.py ")]
    paths, folder = [], ""
    for line in text.splitlines():
        name = line.split()[0]
        if not line.startswith(" "):
            folder = name if name.endswith("/") else ""
        paths.append(name if not line.startswith(" ") else folder + name)
    return paths


def test_the_file_map_names_what_is_there_and_all_of_it():
    paths = file_map()
    for path in paths:
        assert (ROOT / path).is_dir() if path.endswith("/") else (ROOT / path).is_file(), path
    there = {f"src/{path.name}" for path in (ROOT / "src").glob("[!_]*.py")}
    there |= {f"src/{path.parent.name}/" for path in (ROOT / "src").glob("*/__init__.py")}
    there |= {path.name for path in ROOT.glob("*.py")}
    assert there <= set(paths), there - set(paths)


def choices() -> list[str]:
    return sorted(f"{path.parent.name}/{path.stem}" for path in CONFIGS.glob("*/*.yaml"))


@pytest.mark.parametrize("choice", choices())
def test_every_choice_is_named_in_configs_md(choice):
    group, name = choice.split("/")
    page = (ROOT / "docs" / "configs.md").read_text(encoding="utf-8")
    assert f"`{name}`" in page or f"`{group}={name}`" in page


def test_every_file_that_configs_md_shows_in_a_table_of_choices_exists():
    page = (ROOT / "docs" / "configs.md").read_text(encoding="utf-8")
    named = re.findall(r"^\| `(\w+)=(\w+)` \|", page, re.M)
    assert len(named) >= 10
    for group, name in named:
        assert (CONFIGS / group / f"{name}.yaml").is_file()


def keys_in_tables() -> list[str]:
    """Dotted config keys that stand between backticks anywhere in the guides."""
    groups = "trainer|loader|decoder|optimizer|logger|dataset|transform|schedule|model"
    found = set()
    for page in GUIDES:
        found |= set(re.findall(rf"`((?:{groups})\.[a-z_.]+)(?:=[^`]*)?`", page.read_text()))
    return sorted(found)


def test_config_keys_named_in_the_guides_exist():
    keys = keys_in_tables()
    assert len(keys) >= 20
    groups = {choice.split("/")[0] for choice in choices()} - {"experiment", "trainer"}
    chosen = [choice for choice in choices() if choice.split("/")[0] in groups]
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        configs = [compose("deepspeech2", [choice.replace("/", "=")]) for choice in chosen]
    for key in keys:
        assert any(has(config, key) for config in configs), key


def has(config, key: str) -> bool:
    for part in key.split("."):
        if config is None or part not in config:
            return False
        config = config._get_node(part)
    return True
