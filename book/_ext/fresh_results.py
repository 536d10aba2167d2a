"""Warns of a recorded result that its experiment would not give today.

Figures are drawn from ``book/results``. Warnings are errors where the book is built, so no page
shows numbers of code that has changed since.
"""

from pathlib import Path

from sphinx.util import logging

from bncourse.experiments import record

logger = logging.getLogger(__name__)


def check(folder):
    for path, fault in record.faults(folder).items():
        logger.warning("book/results/%s: %s", path.name, fault)


def setup(app):
    app.connect(
        "builder-inited",
        lambda app: check(Path(app.srcdir) / "book" / "results"),
    )
    return {"parallel_read_safe": True}
