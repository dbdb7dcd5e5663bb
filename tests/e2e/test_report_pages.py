"""The report and comparison pages in a real browser: no sideways scrolling, no errors, no request, at any width."""

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
    from shared.report.page import render_report

    folder = tmp_path_factory.mktemp("pages")
    (folder / "report.html").write_text(render_report(sample.sample_report()), encoding="utf-8")
    (folder / "comparison.html").write_text(render_comparison(sample.sample_comparison()), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield started
        started.close()


@pytest.mark.parametrize("name", ["report.html", "comparison.html"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 360, 768, 1280])
def test_page_fits_and_is_silent(browser, pages, name, scheme, width):
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    messages, requests = [], []
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    address = (pages / name).as_uri()
    page.goto(address)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    sticking_out = page.evaluate(
        """width => [...document.querySelectorAll('body *')]
            .filter(e => !e.closest('pre, .table, thead') && e.getBoundingClientRect().right > width + 0.5)
            .map(e => e.tagName + '.' + e.className)""",
        width,
    )
    assert sticking_out == []
    assert messages == []
    assert [url for url in requests if url != address and not url.startswith("data:")] == []
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


def test_texts_are_at_least_nine_pixels_on_a_phone(browser, pages):
    page = browser.new_page(viewport={"width": 360, "height": 800})
    page.goto((pages / "report.html").as_uri())
    smallest = page.evaluate(
        """Math.min(...[...document.querySelectorAll('svg text')].map(t => {
            const svg = t.ownerSVGElement;
            const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
            return parseFloat(getComputedStyle(t).fontSize) * scale;
        }))"""
    )
    assert smallest >= 9
    page.close()
