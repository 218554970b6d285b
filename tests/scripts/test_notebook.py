"""The notebook for newcomers: run anew, and what lies in docs/ beside what it was made from."""

import base64
import json
import re

import pytest

from scripts.build_notebook import SOURCE, cells_of, hold_private, lasting, main, shown
from src.utils.errors import UserError

KEPT = SOURCE.with_suffix(".ipynb")
PAGE = SOURCE.with_suffix(".html")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """What each code cell of a fresh build prints, by its first line; and the folder."""
    pytest.importorskip("nbclient", reason="nbclient runs it: pip install -r requirements-dev.txt")
    pytest.importorskip("ipykernel", reason="its kernel: pip install -r requirements-dev.txt")
    folder = tmp_path_factory.mktemp("notebook")
    main(["--out", str(folder)])
    return read(folder / KEPT.name), folder


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def sources(notebook) -> list[tuple[str, str]]:
    return [(cell["cell_type"], "".join(cell["source"])) for cell in notebook["cells"]]


def outputs(notebook) -> list[dict]:
    return [output for cell in notebook["cells"] for output in cell.get("outputs", [])]


def printed(notebook) -> str:
    return "".join("".join(output.get("text", "")) for output in outputs(notebook))


def percents(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"([\d.]+) %", text)]


@pytest.mark.parametrize("which", ["fresh", "kept"])
def test_it_learns_and_its_sums_agree(which, request):
    notebook = read(KEPT) if which == "kept" else request.getfixturevalue("built")[0]
    text = printed(notebook)
    # A and B in three frames by hand: ABB, AAB, AB_, A_B and _AB.
    by_hand = 0.4 * 0.2 * 0.1 + 0.4 * 0.3 * 0.1 + 0.4 * 0.2 * 0.6 + 0.4 * 0.5 * 0.1
    by_hand += 0.5 * 0.3 * 0.1
    assert f"sum over the paths of AB {by_hand:.6f}" in text
    assert f"exp(−ctc loss)           {by_hand:.6f}" in text
    assert "27 paths, 1.000 together" in text
    epochs = [percents(line)[0] for line in re.findall(r"^ +\d+  +\d\.\d\d.*", text, re.M)]
    assert len(epochs) >= 5
    assert epochs[0] > 40 and epochs[-1] < 20
    [score] = re.findall(r"^PER beam .*", text, re.M)
    assert percents(score)[0] < 20
    assert re.search(r"^said   [A-Z*].*= \w+\nheard  .* % sure$", text, re.M)


def test_what_is_kept_is_what_the_source_says(built):
    made = [(cell["cell_type"], cell["source"]) for cell in cells_of(SOURCE.read_text())]
    assert sources(read(KEPT)) == made
    assert sources(built[0]) == made
    assert len(made) > 40
    assert {**read(KEPT), "cells": []} == {**built[0], "cells": []}


def test_nothing_of_the_run_itself_is_kept():
    notebook = read(KEPT)
    assert set(notebook["metadata"]) == {"kernelspec"}
    ids = [cell["id"] for cell in notebook["cells"]]
    assert ids == [f"cell-{number:02}" for number in range(1, len(ids) + 1)]
    for cell in notebook["cells"]:
        assert cell["metadata"] == {} and cell.get("execution_count") is None
    for output in outputs(notebook):
        assert output.get("execution_count") is None
        assert output.get("name", "stdout") == "stdout"
    for path in (KEPT, PAGE):
        assert not re.search(r"0x[0-9a-f]{6}|/tmp/|/home/|/root/|/work/", path.read_text())


def test_it_is_a_notebook_by_the_format_s_own_rules(built):
    import nbformat

    nbformat.validate(nbformat.read(KEPT, as_version=4))


def test_the_page_holds_all_and_asks_nobody(built):
    for path, notebook in ((PAGE, read(KEPT)), (built[1] / PAGE.name, built[0])):
        page = path.read_text(encoding="utf-8")
        assert len(page) < 3_000_000
        assert not re.search(r"<script|<link|<iframe|url\(|@import", page)
        assert all(uri.startswith("data:") for uri in re.findall(r'src="([^"]*)"', page))
        pictures = [o["data"]["image/png"].strip() for o in outputs(notebook) if is_picture(o)]
        assert len(pictures) >= 6
        for picture in pictures:
            assert picture in page
            assert base64.b64decode(picture).startswith(b"\x89PNG")
        assert page.count("<audio controls") == 2
        assert all(re.findall(r'<img [^>]*alt="([^"]*)"', page))
        for kind, source in sources(notebook):
            words = re.findall(r"\w+", source if kind == "markdown" else "")
            assert all(word in page for word in words)


def is_picture(output) -> bool:
    return "image/png" in output.get("data", {})


def test_links_lead_somewhere():
    links = re.findall(r"\]\(([^)]+)\)", SOURCE.read_text(encoding="utf-8"))
    assert len(links) >= 6
    for link in links:
        assert (SOURCE.parent / link).is_file(), link


def test_cells_are_cut_at_their_marks():
    source = "# left out\n\n# %% [markdown]\n# # Title\n#\n# text\n\n# %%\nx = 1\n\n\n# %%\nx\n"
    title, first, second = cells_of(source)
    assert title["source"] == "# Title\n\ntext"
    assert (first["source"], second["source"]) == ("x = 1", "x")


def test_a_warning_or_a_folder_of_this_machine_is_refused():
    [cell] = cells_of("# %%\nx")
    warned = {"output_type": "stream", "name": "stderr", "text": "deprecated"}
    with pytest.raises(UserError, match=r"cell-01: warns, mend it first: deprecated"):
        lasting(cell, [warned])
    told = [[{"output_type": "stream", "name": "stdout", "text": "wrote /here/saved/run"}]]
    with pytest.raises(UserError, match=r"a cell prints /here, which no reader has"):
        hold_private(told, ["/here"])
    hold_private(told, ["/there"])


def test_what_a_cell_prints_can_t_become_markup():
    [cell] = cells_of('# %%\nprint("<b>")')
    bold = {"output_type": "stream", "name": "stdout", "text": "<b>"}
    assert "&lt;b&gt;" in shown(lasting(cell, [bold]))
    assert "<b>" not in shown(lasting(cell, [bold]))
