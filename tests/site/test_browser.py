"""What only a browser sees: requests, formulas, width on a phone, accessibility."""

import re
from pathlib import Path

import pytest

PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 900}
MATHJAX = Path(__file__).parents[2] / "book" / "_static" / "mathjax" / "tex-chtml.js"

# Findings of axe that come from the theme or from docutils, each with the elements concerned.
THEME = {
    # The search button shows its shortcut "Ctrl+K" but is named "Search".
    "label-content-name-mismatch": r"search-button",
    # The theme puts the logo and these two links outside every landmark.
    "region": r"logo__|skip-link|back-to-top",
    # docutils marks the entries of a bibliography so, with a link back inside the list.
    "aria-allowed-role": r"doc-biblioentry",
    "aria-deprecated-role": r"doc-biblioentry",
    "aria-required-children": r"citation-list",
}
AXE_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]
AXE_COLORS = {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}

TYPESET = """async () => {
  for (let i = 0; window.MathJax && !MathJax.startup && i < 100; i++)
    await new Promise(later => setTimeout(later, 50));
  if (window.MathJax && MathJax.startup) await MathJax.startup.promise;
}"""

UNRENDERED = """() => {
  const found = [];
  const TeX = /\\\\(frac|hat|sum|begin|partial|mathrm|sqrt|gamma|beta|mu|sigma)\\b|\\$\\$/;
  if (window.MathJax && MathJax.startup)
    for (const item of MathJax.startup.document.math) {
      if (!item.root) continue;
      item.root.walkTree(node => {
        const red = node.attributes && node.attributes.getExplicit('mathcolor') === 'red';
        if (node.isKind('merror') || red) found.push('error in: ' + item.math);
      });
    }
  for (const box of document.querySelectorAll('.math'))
    if (!box.querySelector('mjx-container')) found.push('not rendered: ' + box.textContent);
  const words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (words.nextNode()) {
    const place = words.currentNode.parentElement;
    if (!place.closest('pre, code, script, style, mjx-container, .math')
        && TeX.test(words.currentNode.data)) found.push('raw: ' + words.currentNode.data);
  }
  return found;
}"""

OVERHANG = """() => {
  const width = document.documentElement.clientWidth;
  if (document.scrollingElement.scrollWidth <= width) return [];
  const free = e => {
    const style = getComputedStyle(e);
    return style.overflowX === 'visible' && style.position !== 'fixed'
      && (e === document.body || free(e.parentElement));
  };
  return [`the page is ${document.scrollingElement.scrollWidth} px wide`].concat(
    [...document.body.querySelectorAll('*')]
      .filter(e => e.getBoundingClientRect().right > width + 1 && free(e))
      .map(e => `${e.tagName} ${e.className}: ${(e.textContent || '').trim().slice(0, 60)}`)
      .slice(-4));
}"""

# Answers and solutions are closed at first; what is in them is checked too.
UNFOLD = """() => {
  document.querySelectorAll('details').forEach(d => { d.open = true; });
  document.querySelectorAll('.toggle-hidden').forEach(e => e.classList.remove('toggle-hidden'));
}"""

# Findings only: describing all that passed takes longer than the checks themselves.
RUN_AXE = """only => axe.run(
  document, {runOnly: only, resultTypes: ['violations'], selectors: false})"""

# A page of the theme says which scheme it shows; a planted page has only one.
SHOWN_IN = """scheme => {
  const shown = document.documentElement.dataset.theme;
  return !shown || shown === scheme;
}"""


class Visit:
    """A page opened in a window of its own, cut off from every other host."""

    def __init__(self, browser, file):
        self.tab = browser.new_page(viewport=PHONE)
        self.requests, self.errors = [], []
        self.tab.route(re.compile("^(https?|wss?):"), self._refuse)
        self.tab.on("pageerror", lambda error: self.errors.append(error.message))
        self.tab.goto(file.as_uri(), wait_until="load")
        self.tab.wait_for_load_state("networkidle")
        self.tab.evaluate(TYPESET)
        self.tab.evaluate(UNFOLD)
        self.tab.add_style_tag(content="* { transition: none !important; }")  # colors at rest

    def _refuse(self, route):
        self.requests.append(route.request.url)
        route.abort()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.tab.close()

    def unrendered(self):
        return self.tab.evaluate(UNRENDERED)

    def overhang(self):
        return self.tab.evaluate(OVERHANG)

    def violations(self, scheme="light"):
        axe = pytest.importorskip("axe_playwright_python", reason="axe is not installed")
        self.tab.set_viewport_size(DESK)
        self.tab.emulate_media(color_scheme=scheme)
        self.tab.wait_for_function(SHOWN_IN, arg=scheme)
        self.tab.evaluate((Path(axe.__file__).parent / "axe.min.js").read_text("utf-8"))
        rules = AXE_TAGS if scheme == "light" else AXE_COLORS  # the rest is the same in the dark
        found = self.tab.evaluate(RUN_AXE, rules)
        for rule in found["violations"]:
            for node in rule["nodes"]:
                if not re.search(THEME.get(rule["id"], r"(?!)"), node["html"]):
                    yield f"{rule['id']}: {node['html'][:120]}: {node['failureSummary'][:250]}"


@pytest.fixture(scope="module")
def visit(site, browser, page_file):
    with Visit(browser, page_file) as visit:
        yield visit


def test_opens_without_the_network(visit):
    assert visit.requests == []


# sphinx-thebe loads its script twice on every page, used or not.
def test_runs_without_script_errors(visit):
    assert [e for e in visit.errors if "THEBE_JS_URL" not in e] == []


def test_formulas_are_rendered(visit):
    assert visit.unrendered() == []


def test_fits_a_phone(visit):
    visit.tab.set_viewport_size(PHONE)
    assert visit.overhang() == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_is_accessible(visit, scheme):
    assert list(visit.violations(scheme)) == []


def page_with(tmp_path, body):
    file = tmp_path / "page.html"
    script = f'<script src="{MATHJAX.as_uri()}"></script>' if "math" in body else ""
    file.write_text(
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>A page</title>'
        f"{script}</head><body><main><h1>A page</h1>{body}</main></body></html>",
        "utf-8",
    )
    return file


FORMULA = r'<p>So <span class="math">\(\hat x = \frac{1}{2}\)</span>.</p>'

FAULTS = {
    "request": (lambda v: v.requests, '<img src="https://example.org/a.png" alt="A picture">'),
    "undefined macro": (Visit.unrendered, r'<p class="math">\(\nosuchmacro x\)</p>'),
    "unbalanced brace": (Visit.unrendered, r'<p class="math">\(\frac{1}{\)</p>'),
    "no delimiters": (Visit.unrendered, r'<p class="math">\frac{1}{2}</p>'),
    "raw TeX in prose": (Visit.unrendered, r"<p>is $\frac{1}{2}$ there</p>"),
    "script error": (lambda v: v.errors, "<script>nowhere()</script>"),
    "too wide": (Visit.overhang, '<div style="width: 500px">wide</div>'),
    "in a closed answer": (
        Visit.overhang,
        '<details><summary>Answer</summary><div style="width: 500px">wide</div></details>',
    ),
    "faint text": (Visit.violations, '<p style="color: #bbb; background: #fff">faint</p>'),
    "nameless button": (Visit.violations, "<button></button>"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_fault_is_found(browser, tmp_path, fault):
    check, body = FAULTS[fault]
    with Visit(browser, page_with(tmp_path, body)) as visit:
        assert list(check(visit))


def test_good_page_passes(browser, tmp_path):
    with Visit(browser, page_with(tmp_path, FORMULA)) as visit:
        assert visit.requests == visit.errors == visit.unrendered() == visit.overhang() == []
        assert list(visit.violations()) == []
