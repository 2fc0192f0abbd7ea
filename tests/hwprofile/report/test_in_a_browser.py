"""The page in a real browser, opened from disk: nothing is loaded, nothing fails, everybody can use it."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hwprofile.report.page import report
from tests.hwprofile.report.browser import Browser

pytestmark = pytest.mark.browser
SCREENS = [(width, scheme) for width in (1280, 390) for scheme in ("light", "dark")]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, every_kind: list[Path]) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(report(every_kind), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("browser")) as found:
        yield found


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Source of axe-core, which finds what keeps people from using a page."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no npm here to fetch axe-core with")
    folder = tmp_path_factory.mktemp("axe")
    packed = subprocess.run(
        [npm, "pack", "axe-core@4"], cwd=folder, capture_output=True, text=True, check=False
    )
    if packed.returncode:
        pytest.skip(f"npm cannot fetch axe-core: {packed.stderr[-200:]}")
    with tarfile.open(next(folder.glob("axe-core-*.tgz"))) as archive:
        source = archive.extractfile("package/axe.min.js")
        assert source is not None
        return source.read().decode()


def test_it_opens_from_disk_without_an_error_or_a_request(browser: Browser, page: Path) -> None:
    browser.open(page)
    requested = {event["request"]["url"] for event in browser.named("Network.requestWillBeSent")}
    assert requested == {page.as_uri()}
    assert browser.named("Runtime.exceptionThrown") == []
    assert browser.named("Runtime.consoleAPICalled") == []
    assert browser.named("Log.entryAdded") == []
    titles = browser.evaluate("Array.from(document.querySelectorAll('h2'), (title) => title.textContent)")
    kinds = {title.split(":")[0] for title in titles}
    assert kinds == {
        "Chosen network", "Pareto front", "Device and conditions", "Latency table",
        "Predicted against measured", "Model", "Two profiles", "Search",
    }  # fmt: skip


def test_the_policy_lets_nothing_in(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.evaluate(
        "document.body.insertAdjacentHTML('beforeend', '<img src=\"https://example.org/x.png\">"
        '<img src=x onerror="document.title=1">\'); new Promise((done) => setTimeout(done, 300))'
    )
    assert browser.evaluate("document.title") == "hwprofile report"
    reasons = {event.get("blockedReason") for event in browser.named("Network.loadingFailed")}
    assert reasons == {"csp"}


def test_the_slider_moves_the_line_and_tells_the_best_network(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert browser.evaluate("document.querySelector('.slider').hidden") is False
    seen = []
    for value in (0, 400, 1000):
        browser.evaluate(
            f"document.querySelector('input[type=range]').value = {value};"
            "document.querySelector('input[type=range]').dispatchEvent(new Event('input'))"
        )
        seen.append(
            browser.evaluate(
                "[Number(document.querySelector('svg .budget').getAttribute('x1')),"
                " document.querySelectorAll('.front')[0].querySelector('tr.best').dataset.words,"
                " document.querySelector('output').textContent]"
            )
        )
    assert seen[0][0] < seen[1][0] < seen[2][0]
    rows = browser.evaluate(
        "Array.from(document.querySelectorAll('.front')[0].querySelectorAll('tr[data-ms]'),"
        " (row) => row.dataset.words)"
    )
    assert seen[0][1] == rows[0]
    assert seen[2][1] == rows[-1]
    assert rows[0] != seen[1][1] != rows[-1]
    assert all(words in output for _, words, output in seen)


def test_the_slider_is_moved_by_keys(browser: Browser, page: Path) -> None:
    browser.open(page)
    before = browser.evaluate(
        "document.querySelector('input').focus(); document.querySelector('output').textContent"
    )
    for kind in ("keyDown", "keyUp"):
        browser.call("Input.dispatchKeyEvent", type=kind, key="Home", code="Home", windowsVirtualKeyCode=36)
    assert browser.evaluate("document.querySelector('output').textContent") != before
    assert browser.evaluate("document.querySelector('input').getAttribute('aria-valuetext')").endswith(" ms")


@pytest.mark.parametrize(("width", "scheme"), SCREENS)
def test_no_serious_barrier(browser: Browser, page: Path, axe: str, width: int, scheme: str) -> None:
    browser.look(width, scheme)
    browser.open(page)
    browser.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    browser.evaluate(axe)
    found = browser.evaluate("axe.run().then((result) => result.violations)")
    bad = [
        (one["id"], one["impact"], [node["html"][:200] for node in one["nodes"][:3]])
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
    assert bad == []
    checked = browser.evaluate("axe.run().then((result) => result.passes.map((one) => one.id))")
    assert {"color-contrast", "label", "html-has-lang"} <= set(checked)


@pytest.mark.parametrize("width", [1280, 390])
def test_only_tables_scroll_sideways_never_the_page(browser: Browser, page: Path, width: int) -> None:
    browser.look(width, "light")
    browser.open(page)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width


def test_paper_shows_what_is_folded_on_a_screen(browser: Browser, page: Path) -> None:
    folded = "document.querySelector('details table').getBoundingClientRect().height"
    shown = "document.querySelector('details table').checkVisibility({contentVisibilityAuto: true})"
    browser.look(800, "light")
    browser.open(page)
    assert browser.evaluate(shown) is False
    browser.look(800, "light", media="print")
    browser.settle()
    assert browser.evaluate(shown) is True
    assert browser.evaluate(folded) > 0
    assert browser.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
    browser.look(800, "light")
