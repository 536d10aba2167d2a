"""The directive ``claims``: the list of ``book/claims.yml``, a section a chapter, with links.

Nothing is evaluated here: the tests have done that.
"""

from collections import Counter, defaultdict
from pathlib import Path

import yaml
from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList

FILE = Path(__file__).parents[1] / "claims.yml"
WORDS = {
    "true": "True.",
    "qualified": "Yes and no.",
    "false": "False.",
    "misprinted": "Misprinted.",
}


def count(claims):
    """How many claims have which verdict, in words."""
    found = Counter(claim["verdict"] for claim in claims)
    parts = [f"{found[verdict]} {verdict}" for verdict in WORDS if found[verdict]]
    return f"{len(claims)} claims: {', '.join(parts)}."


def evidence(claim):
    """What a reader can look at: recorded results by name, or that it is checked live."""
    names = [item["result"] for item in claim["evidence"] if "result" in item]
    if names:
        return "recorded result " + ", ".join(
            f"`{name}`" for name in dict.fromkeys(names)
        )
    return "live"


def markdown(claims):
    """All claims as text, in the order of the file, a section a chapter."""
    chapters = defaultdict(list)
    for claim in claims:
        chapters[claim["chapter"]].append(claim)
    for chapter, of_chapter in chapters.items():
        yield f"\n## {{doc}}`/book/{chapter}`\n"
        for claim in of_chapter:
            yield f"(claim-{claim['id']})="
            yield (
                f"**{claim['claim']}** "
                f"[{WORDS[claim['verdict']]}]{{.verdict-{claim['verdict']}}} {claim['correct']}"
            )
            yield ""
            yield f"[Said in: {claim['source']}. Evidence: {evidence(claim)}.]{{.claim-source}}"
            yield ""


class Claims(Directive):
    """``:::{claims}``, without content; ``:::{claims} count`` for their number alone."""

    optional_arguments = 1

    def run(self):
        self.state.document.settings.env.note_dependency(str(FILE))
        claims = yaml.safe_load(FILE.read_text("utf-8"))
        if self.arguments:
            return [nodes.paragraph(text=count(claims))]
        lines = "\n".join(markdown(claims)).splitlines()
        root = nodes.section()
        root.document = self.state.document
        self.state.nested_parse(
            StringList(lines, source=str(FILE)), 0, root, match_titles=1
        )
        return root.children


def setup(app):
    app.add_directive("claims", Claims)
    return {"parallel_read_safe": True}
