"""Stored notebooks are what a fresh kernel makes of them, and can be read by everybody.

nbval compares outputs, but passes a cell without an execution count unchecked and never asks for
alt texts: these checks close the gaps.
"""

import math
import re
from pathlib import Path

import nbformat
import pytest
from nbformat import v4

BOOK = Path(__file__).parents[2] / "book"
NOTEBOOKS = sorted(p for p in BOOK.rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
EXEMPTION = re.compile(r"#\s*NBVAL_(IGNORE_OUTPUT|SKIP|RAISES_EXCEPTION)", re.IGNORECASE)
REASON = re.compile(r"^# Not compared: \w.{10,}", re.MULTILINE)


def code_cells(notebook):
    return [c for c in notebook.cells if c.cell_type == "code"]


def has_figure(cell):
    return any(
        kind.startswith("image/") for output in cell.outputs for kind in output.get("data", {})
    )


def executed_in_order(notebook):
    counts = [c.execution_count for c in code_cells(notebook)]
    if counts != list(range(1, len(counts) + 1)):
        yield f"execution counts are {counts}, not 1, 2, 3 ...: run `make refresh`"


def errors(notebook):
    for cell in code_cells(notebook):
        for output in cell.outputs:
            if output.output_type == "error":
                yield f"{output.ename}: {output.evalue}"


def figures_without_words(notebook):
    """A figure needs `mystnb.image.alt` and `mystnb.figure.caption` in its cell's metadata."""
    for cell in filter(has_figure, code_cells(notebook)):
        about = cell.metadata.get("mystnb", {})
        if len(about.get("image", {}).get("alt", "").strip()) < 20:
            yield f"no alt text that describes the figure of: {cell.source[-60:]!r}"
        if not about.get("figure", {}).get("caption", "").strip():
            yield f"no caption for the figure of: {cell.source[-60:]!r}"


def long_cells(notebook):
    lengths = sorted(len(c.source.splitlines()) for c in code_cells(notebook))
    if not lengths:
        return
    for share, most in ((0.5, 8), (0.9, 25)):
        length = lengths[math.ceil(share * len(lengths)) - 1]
        if length > most:
            yield f"{share:.0%} of the code cells have up to {length} lines; {most} is the limit"


def odd_metadata(notebook):
    kernel = dict(notebook.metadata.get("kernelspec", {}))
    if kernel.get("display_name") == "Python 3":  # what some editors call the same kernel
        kernel["display_name"] = KERNEL["display_name"]
    if set(notebook.metadata) != {"kernelspec"} or kernel != KERNEL:
        yield f"metadata are {dict(notebook.metadata)}: run `make refresh`"


def unexplained_exemptions(notebook):
    """A cell that nbval does not compare says why: a line `# Not compared: ...` in the cell."""
    for cell in code_cells(notebook):
        tagged = any(tag.startswith("nbval-") for tag in cell.metadata.get("tags", []))
        if (tagged or EXEMPTION.search(cell.source)) and not REASON.search(cell.source):
            yield f"not compared, and no reason given: {cell.source[:60]!r}"


CHECKS = [
    executed_in_order,
    errors,
    figures_without_words,
    long_cells,
    odd_metadata,
    unexplained_exemptions,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: str(file.relative_to(BOOK)))
def test_notebook(file, check):
    assert list(check(nbformat.read(file, as_version=4))) == []


def cell(source="1 + 1", count=1, outputs=(), **metadata):
    return v4.new_code_cell(source, execution_count=count, outputs=list(outputs), metadata=metadata)


def notebook_of(*cells, metadata=None):
    return v4.new_notebook(cells=list(cells), metadata=metadata or {"kernelspec": KERNEL})


FIGURE = v4.new_output("display_data", data={"image/png": ""})
ERROR = v4.new_output("error", ename="ValueError", evalue="no", traceback=[])
WORDS = {
    "image": {"alt": "A line that falls from left to right"},
    "figure": {"caption": "It falls."},
}

GOOD = notebook_of(
    v4.new_markdown_cell("# A chapter"),
    cell(),
    cell("plot()", 2, [FIGURE], mystnb=WORDS),
    cell("# Not compared: the time differs on each run\nclock()", 3, tags=["nbval-ignore-output"]),
)

PLANTED = {
    "never executed": (executed_in_order, notebook_of(cell(count=None))),
    "executed out of order": (executed_in_order, notebook_of(cell(count=2), cell(count=1))),
    "executed twice": (executed_in_order, notebook_of(cell(count=1), cell(count=3))),
    "error": (errors, notebook_of(cell(outputs=[ERROR]))),
    "no alt": (figures_without_words, notebook_of(cell(outputs=[FIGURE]))),
    "no caption": (
        figures_without_words,
        notebook_of(cell(outputs=[FIGURE], mystnb={"image": WORDS["image"]})),
    ),
    "empty alt": (
        figures_without_words,
        notebook_of(cell(outputs=[FIGURE], mystnb={**WORDS, "image": {"alt": " "}})),
    ),
    "median too long": (long_cells, notebook_of(cell("x = 1\n" * 9), cell("x = 1\n" * 9, 2))),
    "one far too long": (long_cells, notebook_of(cell(), cell("x = 1\n" * 26, 2))),
    "language version": (
        odd_metadata,
        notebook_of(
            metadata={
                "kernelspec": KERNEL,
                "language_info": {"name": "python", "version": "3.11.7"},
            }
        ),
    ),
    "kernel of one machine": (
        odd_metadata,
        notebook_of(metadata={"kernelspec": {**KERNEL, "name": "my-env"}}),
    ),
    "tag without reason": (unexplained_exemptions, notebook_of(cell(tags=["nbval-skip"]))),
    "comment without reason": (unexplained_exemptions, notebook_of(cell("# NBVAL_SKIP\nf()"))),
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_good_notebook_passes(check):
    assert list(check(GOOD)) == []


@pytest.mark.parametrize("fault", PLANTED)
def test_planted_fault_is_found(fault):
    check, notebook = PLANTED[fault]
    assert list(check(notebook))
