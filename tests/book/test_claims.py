"""What the book says about other people's claims is evaluated, every piece of evidence of it."""

import importlib
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from bncourse import functional as F

BOOK = Path(__file__).parents[2] / "book"
sys.path.insert(0, str(BOOK / "_ext"))

import claims as page  # noqa: E402 - the Sphinx extension that shows them

CLAIMS = yaml.safe_load((BOOK / "claims.yml").read_text("utf-8"))
FIELDS = {"id", "claim", "source", "verdict", "correct", "chapter", "evidence"}
EVIDENCE = [(c["id"], k, item) for c in CLAIMS for k, item in enumerate(c["evidence"])]


def holds(item):
    """Whether a piece of evidence is there."""
    if "check" in item:
        module, _, name = item["check"].rpartition(".")
        return getattr(importlib.import_module(module), name)() is True
    names = {"np": np, "F": F, "rng": np.random.default_rng(0)}
    if "result" in item:
        from bncourse.experiments import load

        names["r"] = load(item["result"])
    return bool(eval(item["holds"], names))  # our own file


@pytest.mark.parametrize(("claim", "k", "item"), EVIDENCE, ids=[f"{i}-{k}" for i, k, _ in EVIDENCE])
def test_evidence(claim, k, item):
    assert holds(item), f"{claim}: {item}"


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim["id"])
def test_a_claim_is_complete(claim):
    assert set(claim) == FIELDS
    assert claim["verdict"] in page.WORDS
    assert re.fullmatch(r"[a-z0-9-]+", claim["id"])
    assert claim["evidence"]
    for item in claim["evidence"]:
        assert set(item) in ({"holds"}, {"holds", "result"}, {"check"})
    assert claim["claim"].endswith((".", "?")) and claim["correct"].endswith(".")
    assert (BOOK / f"{claim['chapter']}.ipynb").exists(), "the chapter is not written"


def test_ids_are_unique():
    ids = [c["id"] for c in CLAIMS]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({"holds": "np.isclose(1, 1)"}, True),
        ({"holds": "F.relu_forward(np.ones(1))[0] < 0"}, False),
        ({"check": "bncourse.experiments.claims.the_second_term_is_zero"}, True),
        ({"check": "bncourse.gradcheck.relative_error.__bool__"}, None),
    ],
)
def test_the_evaluator_tells_what_holds(item, expected):
    if expected is None:
        with pytest.raises((AttributeError, ModuleNotFoundError)):
            holds(item)
    else:
        assert holds(item) is expected


def test_the_page_shows_every_claim_once_with_its_verdict():
    text = "\n".join(page.markdown(CLAIMS))
    for claim in CLAIMS:
        assert text.count(f"(claim-{claim['id']})=") == 1
        assert f"**{claim['claim']}** [{page.WORDS[claim['verdict']]}]" in text
    assert page.count(CLAIMS).startswith(f"{len(CLAIMS)} claims: ")
