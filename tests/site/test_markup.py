"""What can be seen in the HTML alone: links, anchors, images, ids, where the parts come from."""

import re
from collections import Counter
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

# sphinx-proof and sphinx-exercise give every box of a page the same id: theirs, and harmless.
UPSTREAM_IDS = {"proof", "proof-content", "exercise-content", "solution-content"}
LOADED_WITH_THE_PAGE = {"stylesheet", "icon", "preload", "modulepreload", "manifest"}


class Page(HTMLParser):
    """What the checks ask of one page."""

    def __init__(self, html):
        super().__init__()
        self.ids, self.links, self.assets, self.images, self.drawings = [], [], [], [], []
        self.described = False
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        a = {name: value or "" for name, value in attributes}
        if a.get("id"):
            self.ids.append(a["id"])
        if tag == "a" and "href" in a:
            self.links.append(a["href"])
        elif tag == "link" and LOADED_WITH_THE_PAGE & set(a.get("rel", "").split()):
            self.assets.append(a.get("href", ""))
        elif "src" in a:
            self.assets.append(a["src"])
        if tag == "img":
            self.images.append((a.get("src", ""), a.get("alt", "")))
        if tag == "svg":
            self.drawings.append(a)
        if tag == "meta" and a.get("name") == "description":
            self.described = bool(a.get("content"))


@cache
def read(file):
    return Page(file.read_text("utf-8"))


def broken_links(file):
    """Links and assets inside the site that lead nowhere, and anchors that do not exist."""
    page = read(file)
    for reference in page.links + page.assets:
        url = urlsplit(reference)
        if url.scheme or url.netloc:
            continue
        target = (file.parent / unquote(url.path)).resolve() if url.path else file
        if target.is_dir():
            target /= "index.html"
        if not target.exists():
            yield f"missing: {reference}"
        elif url.fragment and target.suffix == ".html":
            if unquote(url.fragment) not in read(target).ids:
                yield f"no such anchor: {reference}"


def external_assets(file):
    for asset in read(file).assets:
        if urlsplit(asset).netloc:
            yield f"loaded from elsewhere: {asset}"


def undescribed_images(file):
    """Images without an alt text worth the name, inline drawings without a label."""
    for source, alt in read(file).images:
        if source.endswith("_static/minus.png"):  # Sphinx's fold mark in the module index
            continue
        if len(alt.strip()) < 10 or re.search(r"\.(png|svg|jpe?g|gif)$", alt.strip()):
            yield f"alt text {alt!r} of {source}"
    for drawing in read(file).drawings:
        if drawing.get("aria-hidden") == "true":
            continue
        if not (drawing.get("aria-label") or drawing.get("aria-labelledby")):
            yield f"inline drawing without a label: {drawing}"


def duplicate_ids(file):
    for name, count in Counter(read(file).ids).items():
        if count > 1 and name not in UPSTREAM_IDS:
            yield f"id {name!r} is there {count} times"


CHECKS = [broken_links, external_assets, undescribed_images, duplicate_ids]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_page(site, page_file, check):
    assert list(check(page_file)) == []


def test_front_page_is_described_and_reached(site):
    assert list(broken_links(site / "index.html")) == []
    assert 'url=book/index.html"' in (site / "index.html").read_text("utf-8")
    assert read(site / "book" / "index.html").described


GOOD = """<html><body id="top"><a href="#top">up</a><a href="other.html#there">on</a>
<a href="https://example.org/x">out</a><link rel="canonical" href="https://example.org/">
<img src="dot.png" alt="A dot in the middle"><svg aria-hidden="true"></svg>
<svg role="img" aria-label="Two curves that cross"></svg></body></html>"""

PLANTED = {
    "missing page": (broken_links, '<a href="nowhere.html">x</a>'),
    "missing image": (broken_links, '<img src="gone.png" alt="A picture that is gone">'),
    "missing anchor here": (broken_links, '<a href="#gone">x</a>'),
    "missing anchor there": (broken_links, '<a href="other.html#gone">x</a>'),
    "script from elsewhere": (external_assets, '<script src="https://example.org/a.js"></script>'),
    "style from elsewhere": (external_assets, '<link rel="stylesheet" href="//example.org/a.css">'),
    "no alt": (undescribed_images, '<img src="dot.png">'),
    "file name as alt": (undescribed_images, '<img src="dot.png" alt="../images/dot.png">'),
    "drawing without label": (undescribed_images, '<svg role="img"><path/></svg>'),
    "same id twice": (duplicate_ids, '<p id="twice">x</p><p id="twice">y</p>'),
}


def written(folder: Path, body: str) -> Path:
    (folder / "other.html").write_text('<p id="there">x</p>')
    (folder / "dot.png").touch()
    file = folder / "page.html"
    file.write_text(body)
    return file


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_good_page_passes(tmp_path, check):
    assert list(check(written(tmp_path, GOOD))) == []


@pytest.mark.parametrize("fault", PLANTED)
def test_planted_fault_is_found(tmp_path, fault):
    check, body = PLANTED[fault]
    assert list(check(written(tmp_path, body)))
