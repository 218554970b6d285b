"""docs/notebook/first_model.py, cell by cell: run, and kept as a notebook and as one HTML page."""

import argparse
import json
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts.reporting.markup import Markup, join, page, tag
from src.utils.errors import UserError
from src.utils.files import atomic_write
from src.utils.interrupts import ctrl_c_ends

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "docs/notebook/first_model.py"
HELP = """\
  python -m scripts.build_notebook                    after a change of docs/notebook/first_model.py
  python -m scripts.build_notebook --out /tmp/notebook          to see whether it runs, elsewhere

Cells begin at lines `# %%`, those of prose at `# %% [markdown]`. All are run in a new kernel, one
after another. Times, counts and ids of the execution are left out, so that a new build differs
only where something is different. The page needs no server, no scripts and no other file."""
# Colours of the report, by day and by night; names of the tokens are those of Pygments.
CODE_STYLE = """
main { max-width: 52rem; margin: 0 auto; }
.code { overflow-wrap: normal; }
.code .k, .code .kn, .code .kc, .code .ow { color: var(--link); }
.code .s1, .code .s2, .code .sd, .code .sa, .code .si, .code .se { color: var(--c2); }
.code .c1 { color: var(--quiet); }
pre.output { background: none; border-left: 4px solid var(--line); margin-left: 0; }
img { background: #ffffff; }
"""


@ctrl_c_ends("build_notebook", "nothing is written; run it again to start over")
def main(words: Sequence[str] | None = None) -> None:
    """Read the cells, run them, write. A person's mistake ends in one line and status 1."""
    options = parse(words)
    try:
        notebook = executed(cells_of(SOURCE.read_text(encoding="utf-8")))
        for suffix, content in ((".ipynb", as_json(notebook)), (".html", as_page(notebook))):
            path = options.out / f"{SOURCE.stem}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path, "w") as file:
                file.write(content)
            print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")
    except UserError as error:
        sys.exit(f"build_notebook: {error}")


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.build_notebook",
        description=f"{__doc__}\n\n{HELP}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, default=SOURCE.parent, help="folder of the two files")
    return parser.parse_args(words)


def cells_of(source: str) -> list[dict[str, Any]]:
    """Cells, without outputs, of Python in percent format; what is before the first is left out."""
    cells, parts = [], re.split(r"^# %%", source, flags=re.M)[1:]
    for number, part in enumerate(parts, 1):
        head, _, body = part.partition("\n")
        cell = {"id": f"cell-{number:02}", "metadata": {}}
        if head.strip() == "[markdown]":
            prose = re.sub(r"^# ?", "", body, flags=re.M).strip()
            cells.append(cell | {"cell_type": "markdown", "source": prose})
        else:
            code = {"execution_count": None, "outputs": [], "source": body.strip()}
            cells.append(cell | {"cell_type": "code"} | code)
    return cells


def executed(cells: list[dict[str, Any]]) -> dict[str, Any]:
    """The notebook after its cells were run in the folder of the source, as Jupyter does.

    Raises:
        UserError: a cell fails or warns, or its output tells of this machine; no Jupyter.
    """
    try:
        from nbclient import NotebookClient
        from nbclient.exceptions import CellExecutionError
        from nbformat import from_dict
        from traitlets.config import Config
    except ImportError as error:
        raise UserError(
            f"Running a notebook needs {error.name}: pip install -r requirements-dev.txt"
        ) from error
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    notebook = {"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
    with tempfile.TemporaryDirectory() as folder:
        # Sockets and files of its own: no open port, nothing left in the home folder.
        kernel_files = {"connection_file": f"{folder}/kernel.json"}
        kernel_files |= {"transport": "ipc", "ip": f"{folder}/socket"}
        running = NotebookClient(
            from_dict(notebook),
            timeout=None,
            resources={"metadata": {"path": str(SOURCE.parent)}},
            config=Config({"KernelManager": kernel_files}),
        )
        ours = {"FIRST_MODEL": f"{folder}/work", "IPYTHONDIR": folder, "OMP_NUM_THREADS": "1"}
        try:
            ran = running.execute(env=os.environ | ours)
        except CellExecutionError as error:
            raise UserError(f"{SOURCE}: a cell fails, mend it first.\n{error}") from error
    outputs = [cell.get("outputs") for cell in ran.cells]
    hold_private([*outputs], [str(ROOT), folder, str(Path.home())])
    return notebook | {"cells": [lasting(*pair) for pair in zip(cells, outputs, strict=True)]}


def hold_private(outputs: list[Any], places: Sequence[str]) -> None:
    """Refuse outputs that name a folder of this machine."""
    told = json.dumps(outputs)
    if found := [place for place in places if f"{place}/" in told or f'{place}"' in told]:
        raise UserError(f"{SOURCE}: a cell prints {found[0]}, which no reader has; print less.")


def lasting(cell: dict[str, Any], outputs: list[dict[str, Any]] | None) -> dict[str, Any]:
    """A cell with what of its outputs is the same in each run.

    Raises:
        UserError: a warning among them.
    """
    if outputs is None:
        return cell
    kept = []
    for output in outputs:
        if output.get("name") == "stderr":
            raise UserError(f"{SOURCE}, {cell['id']}: warns, mend it first: {output['text']}")
        counted = {"execution_count": None} if "execution_count" in output else {}
        kept.append(output | counted)
    return cell | {"outputs": kept}


def as_json(notebook: dict[str, Any]) -> str:
    """The notebook file, with a line of it for each line of a cell."""
    import nbformat

    return nbformat.writes(nbformat.from_dict(notebook)) + "\n"


def as_page(notebook: dict[str, Any]) -> str:
    """The notebook as one HTML document."""
    cells = join(*map(shown, notebook["cells"]))
    title = notebook["cells"][0]["source"].partition("\n")[0].lstrip("# ")
    return page(title, tag("main", cells), style=CODE_STYLE) + "\n"


def shown(cell: dict[str, Any]) -> Markup:
    """Prose, or code with what it gives."""
    from markdown import markdown
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    if cell["cell_type"] == "markdown":
        return Markup(markdown(cell["source"], extensions=["toc"]))  # gives headings their ids
    code = highlight(cell["source"], PythonLexer(), HtmlFormatter(nowrap=True))
    outputs = [
        seen(output.get("data", output), output.get("metadata", {})) for output in cell["outputs"]
    ]
    return join(tag("pre", Markup(code), class_="code", tabindex="0"), *outputs)


def seen(data: dict[str, Any], metadata: dict[str, Any]) -> Markup:
    """An output: a picture, a sound or text."""
    if "image/png" in data:
        about = metadata["image/png"]  # alt and width
        uri = f"data:image/png;base64,{data['image/png'].strip()}"
        return tag("img", src=uri, **about)
    if "text/html" in data:
        [uri] = re.findall(r'src="(data:audio/wav;base64,[^"]+)"', data["text/html"])
        return tag("audio", controls=True, src=uri)
    return tag("pre", data.get("text/plain", data.get("text")), class_="output", tabindex="0")


if __name__ == "__main__":
    main()
