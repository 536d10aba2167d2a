"""The built site, its pages, and a browser to open them in."""

import os
import shutil
from pathlib import Path

import pytest

SITE = Path(__file__).parents[2] / "_build" / "html"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def built_pages():
    """Every page of the book; the redirect at the root and the theme's own files are not pages."""
    pages = sorted(p for p in SITE.rglob("*.html") if "_static" not in p.parts)
    return [p for p in pages if p != SITE / "index.html"]


def pytest_generate_tests(metafunc):
    if "page_file" in metafunc.fixturenames:
        pages = built_pages()
        if "browser" in metafunc.fixturenames:  # seconds a page: not for listings of source code
            pages = [p for p in pages if p.parent != SITE and SITE / "_modules" not in p.parents]
        names = [str(p.relative_to(SITE)) for p in pages]
        metafunc.parametrize("page_file", pages, ids=names, scope="module")


@pytest.fixture(scope="session")
def site():
    if not built_pages():
        pytest.fail("there is no built site: run `make book` first")
    return SITE


@pytest.fixture(scope="session")
def browser():
    """Headless Chromium of the system: $CHROMIUM, or the first one on the path."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUM)), None)
    if not found:
        pytest.skip("no Chromium on this machine: the page was not opened in a browser")
    with sync_api.sync_playwright() as playwright:
        # A container's root has no sandbox, and /dev/shm is small there.
        chromium = playwright.chromium.launch(
            executable_path=found, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        yield chromium
        chromium.close()
