"""Report, lint and comparison pages in a real browser: no sideways scrolling, no errors, no request, at any width."""

import importlib.util
import os
import shutil
from pathlib import Path

import pytest

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium: install it or name it in the variable CHROMIUM"),
]


@pytest.fixture(scope="module")
def sample():
    """The sample report of the unit tests."""
    path = Path(__file__).parents[1] / "shared" / "report" / "conftest.py"
    spec = importlib.util.spec_from_file_location("report_sample", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pages(sample, tmp_path_factory):
    from shared.report.comparison import render_comparison
    from shared.report.lint_section import lint_page
    from shared.report.page import render_report

    folder = tmp_path_factory.mktemp("pages")
    name = "a_rather_long_name_of_a_file_of_preference_pairs_2026-03-01.jsonl"
    command = f"valign lint preferences --data {name} --html lint.html --set lint.max_length=512"
    rendered = {
        "report.html": render_report(sample.sample_report()),
        "comparison.html": render_comparison(sample.sample_comparison(4), "Comparison of runs"),
        "comparison-of-two.html": render_comparison(sample.sample_comparison(2)),
        "comparison-of-six.html": render_comparison(sample.sample_comparison(6)),
        "lint.html": lint_page(sample.sample_lint(), name=name, started="2026-03-01", command=command),
        "lint-of-one.html": lint_page({"given": sample.sample_lint()["splits"]}, name=name, started="2026-03-01"),
    }
    for file, page in rendered.items():
        (folder / file).write_text(page, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield started
        started.close()


PAGES = [
    "report.html",
    "lint.html",
    "lint-of-one.html",
    "comparison.html",
    "comparison-of-two.html",
    "comparison-of-six.html",
]
STICKING_OUT = """width => [...document.querySelectorAll('body *')]
    .filter(e => !e.closest('thead') && e.getBoundingClientRect().right > width + 0.5)
    .map(e => e.tagName + '.' + e.className + ': ' + e.textContent.slice(0, 40))"""


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 360, 768, 1000, 1280])
def test_page_fits_and_is_silent(browser, pages, name, scheme, width):
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    messages, requests = [], []
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    address = (pages / name).as_uri()
    page.goto(address)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # On a phone the headings of a table stand in its rows; for a screen reader they are still there, out of sight.
    visible = STICKING_OUT if width <= 608 else STICKING_OUT.replace("!e.closest('thead') && ", "")
    sticking_out = page.evaluate(visible, width)
    assert sticking_out == []
    assert messages == []
    assert [url for url in requests if url != address and not url.startswith("data:")] == []
    page.close()


@pytest.mark.parametrize("name", PAGES)
def test_print_fits_the_paper(browser, pages, tmp_path, name):
    paper = 673  # pixels of A4 between margins of 16 mm
    page = browser.new_page(viewport={"width": paper, "height": 1000}, color_scheme="dark")
    page.goto((pages / name).as_uri())
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") <= paper
    assert page.evaluate(STICKING_OUT, paper) == []
    page.pdf(path=tmp_path / "page.pdf", prefer_css_page_size=True, print_background=True)
    printed = (tmp_path / "page.pdf").read_bytes()
    assert printed.startswith(b"%PDF-")
    assert 1 <= printed.count(b"/Type /Page\n") <= 20
    page.close()


@pytest.mark.parametrize("name", PAGES)
def test_no_two_texts_of_a_plot_overlap(browser, pages, name):
    page = browser.new_page(viewport={"width": 1000, "height": 800})
    page.goto((pages / name).as_uri())
    overlapping = page.evaluate(
        """[...document.querySelectorAll('figure svg')].flatMap(svg => {
            const boxes = [...svg.querySelectorAll('text')].map(t => [t.textContent, t.getBoundingClientRect()]);
            return boxes.flatMap(([a, p], i) => boxes.slice(i + 1)
                .filter(([b, q]) => Math.min(p.right, q.right) - Math.max(p.left, q.left) > 2
                                 && Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top) > 4)
                .map(([b]) => a + ' / ' + b));
        })"""
    )
    assert overlapping == []
    page.close()


def test_dark_page_is_dark_and_print_is_light(browser, pages):
    page = browser.new_page(color_scheme="dark")
    page.goto((pages / "report.html").as_uri())
    colour = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(colour) == "rgb(20, 23, 26)"
    line = (
        "getComputedStyle([...document.querySelectorAll('svg path')].find(p => /series-1/.test(p.style.stroke))).stroke"
    )
    assert page.evaluate(line) == "rgb(125, 180, 238)"
    page.emulate_media(media="print")
    assert page.evaluate(colour) == "rgb(255, 255, 255)"
    assert page.evaluate(line) == "rgb(29, 95, 166)"
    assert page.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
    page.close()


@pytest.mark.parametrize("name", ["report.html", "lint.html", "comparison.html"])
def test_texts_are_at_least_nine_pixels_on_a_phone(browser, pages, name):
    page = browser.new_page(viewport={"width": 360, "height": 800})
    page.goto((pages / name).as_uri())
    smallest = page.evaluate(
        """Math.min(...[...document.querySelectorAll('svg text')].map(t => {
            const svg = t.ownerSVGElement;
            const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
            return parseFloat(getComputedStyle(t).fontSize) * scale;
        }))"""
    )
    assert smallest >= 9
    page.close()
