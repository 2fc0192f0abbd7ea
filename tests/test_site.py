"""The documentation builds as a site: no warning, no network, every link and anchor leads somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_readme import ROOT

WITHOUT_NETWORK = """
import socket, sys
def refused(*_):
    raise OSError("the documentation needs no network")
socket.socket.connect = socket.getaddrinfo = refused
sys.argv[0] = "mkdocs"
from mkdocs.__main__ import cli
cli()
"""
FETCHED = re.compile(
    r"<(?:script|img|link|iframe)[^>]*(?:src|href)=[\"']?(?:https?:)?//[^\"'> ]*|url\([\"']?(?:https?:)?//"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built") / "site"
    command = [sys.executable, "-c", WITHOUT_NETWORK, "build", "--strict", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert built.returncode == 0, built.stderr
    return folder


def test_every_page_of_the_repository_is_a_page_of_the_site(site: Path) -> None:
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")} | {"index", "architecture", "changelog"}
    assert pages <= {path.stem for path in site.glob("*.html")}


def test_reading_it_fetches_nothing(site: Path) -> None:
    files = [path for path in site.rglob("*") if path.suffix in {".html", ".css"}]
    assert len(files) > 30
    assert not [(path.name, found[0]) for path in files if (found := FETCHED.search(path.read_text("utf-8")))]


def test_the_reference_has_every_command_and_option(site: Path) -> None:
    page = (site / "reference-commands.html").read_text("utf-8")
    for text in ("hwprofile-devices-add", "--min-effect", "hwprofile-specialize", "--false-alarms"):
        assert text in page


def test_the_reference_has_what_can_be_called(site: Path) -> None:
    page = (site / "reference-python.html").read_text("utf-8")
    for name in ("hwprofile.session.Session.specialize", "ponas_core.training.expected_cost.ExpectedCost"):
        assert f'id="{name}"' in page
