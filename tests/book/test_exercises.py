"""Exercises in the notebooks are those of the package: same names, same arguments, all solved."""

import ast
import re
from pathlib import Path

import nbformat
import pytest

from bncourse.exercises import EXERCISES, Exercise

BOOK = Path(__file__).parents[2] / "book"
MARK = re.compile(r"^:::\{(exercise-start|solution-start|solution-end)\} *(.*)$", re.MULTILINE)
LABEL = re.compile(r"^:label: (ex-[\w-]+)$", re.MULTILINE)
CHAPTERS = sorted({e.chapter for e in EXERCISES})


class Page:
    """A notebook's exercises: for each label the code cells of the question and of the solution."""

    def __init__(self, cells):
        self.asked, self.solved = {}, {}
        label, into = None, None
        for cell in cells:
            if cell.cell_type == "code":
                if into is not None:
                    into[label].append(cell)
                continue
            for mark in MARK.finditer(cell.source):
                kind, name = mark.groups()
                if kind == "exercise-start":
                    label = LABEL.search(cell.source, mark.end())[1]
                    into = self.asked
                    into[label] = []
                elif kind == "solution-start":
                    label, into = name, self.solved
                    into[label] = []
                else:
                    into = None


def shown(cell):
    return "".join(o.get("data", {}).get("text/plain", o.get("text", "")) for o in cell.outputs)


def told_right(output):
    return re.search(r"\b[Rr]ight\b", output) and "Not yet" not in output


def checks(cells, name):
    """The cells that call ``name.check``, with what they showed."""
    return [(c.source, shown(c)) for c in cells if re.search(rf"\b{name}\.check\(", c.source)]


def arguments_of_stub(source):
    """Of the function, or of the class's first method, that is left to write."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            return [a.arg for a in node.args.args]
    return None


def faults(page, exercises):
    labels = {f"ex-{e.name.replace('_', '-')}": e for e in exercises}
    for label in page.asked.keys() - labels.keys():  # some are for paper, or to be explored
        if any(".check(" in cell.source for cell in page.asked[label]):
            yield f"{label}: not an exercise of this chapter in bncourse.exercises"
    for label, exercise in labels.items():
        name = exercise.name
        if label not in page.asked:
            yield f"{name} is not asked: no exercise has the label {label}"
            continue
        stubs = checks(page.asked[label], name)
        if not any("Not attempted yet" in output for _, output in stubs):
            yield f"{name}: no stub that is told 'Not attempted yet'"
        elif isinstance(exercise, Exercise) and not exercise.use:
            found = arguments_of_stub(stubs[0][0])
            if found != exercise.arguments:
                yield f"{name}: the stub takes {found}, the reference {exercise.arguments}"
        solutions = checks(page.solved.get(label, []), name)
        if not any("mine=False" in s and told_right(output) for s, output in solutions):
            yield f"{name}: no solution that is checked with mine=False and told 'Right'"
        for source, _ in solutions:
            if "mine=False" not in source:
                yield f"{name}: a check in the solution counts in the reader's progress"


@pytest.mark.parametrize("slug", CHAPTERS)
def test_exercises_of_a_chapter(slug):
    page = Page(nbformat.read(BOOK / f"{slug}.ipynb", as_version=4).cells)
    assert list(faults(page, [e for e in EXERCISES if e.chapter == slug])) == []


def notebook(stub, solution, label="ex-twice", told="Right. Good."):
    def code(source, text):
        data = {"text/plain": text, "text/html": text}
        output = nbformat.v4.new_output("execute_result", data=data, execution_count=1)
        return nbformat.v4.new_code_cell(source, outputs=[output])

    text = nbformat.v4.new_markdown_cell
    return Page(
        [
            text(f":::{{exercise-start}} Twice\n:label: {label}\n:::\n\nDouble it."),
            code(stub, "Not attempted yet."),
            text(f":::{{solution-start}} {label}\n:class: dropdown\n:::"),
            code(solution, told),
            text(":::{solution-end}\n:::"),
            code("twice.check(after)", "Right."),
        ]
    )


TWICE = Exercise(
    name="twice",
    chapter="none",
    question="Double it.",
    reference=lambda x: 2 * x,
    inputs=lambda rng: [(rng.normal(),)],
    outputs=("y",),
)
STUB = "def mine(x):\n    raise NotImplementedError\n\n\ntwice.check(mine)"
SOLUTION = "twice.check(lambda x: 2 * x, mine=False)"


def test_a_good_notebook_has_no_faults():
    assert list(faults(notebook(STUB, SOLUTION), [TWICE])) == []


@pytest.mark.parametrize(
    ("page", "words"),
    [
        (notebook(STUB.replace("(x)", "(x, y)"), SOLUTION), "the stub takes ['x', 'y']"),
        (notebook(STUB, "twice.check(lambda x: 2 * x)"), "no solution that is checked"),
        (notebook(STUB, SOLUTION, told="Not yet."), "no solution that is checked"),
        (notebook("pass", SOLUTION), "no stub"),
        (notebook(STUB, SOLUTION, label="ex-thrice"), "is not asked"),
        (notebook(STUB, SOLUTION + "\ntwice.check(1)\n", label="ex-thrice"), "not an exercise"),
    ],
)
def test_a_planted_fault_is_found(page, words):
    assert any(words in fault for fault in faults(page, [TWICE]))
