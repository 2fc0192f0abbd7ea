"""Spaces, predictors and searches of another package: installed by pip, found and used by a real process."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from hwprofile import fitting
from hwprofile.cli import main
from hwprofile.errors import UserError
from predictors.model_file import SavedModel
from tests.hwprofile.other_packages import environment_with, installed_in, run
from tests.hwprofile.plugin_nas.twig import Nearest

SOURCE = Path(__file__).with_name("plugin_nas")
QUICK = ("--rounds", "2", "--precision", "50", "--calibrate", "2", "-q")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that pip installed the package into."""
    return installed_in(tmp_path_factory.mktemp("site"), SOURCE)


@pytest.fixture
def environment(installed: Path, home: Path) -> dict[str, str]:
    return environment_with(installed, home)


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    """Networks of the package's space with made-up latencies."""
    path = tmp_path / "measured.csv"
    rows = [f'"{a},{b},{c}",{1 + a + 2 * b + 4 * c}' for a, b, c in np.ndindex(2, 2, 2)]
    path.write_text("\n".join(["arch,latency_ms", *rows, ""]))
    return path


def test_a_space_of_another_package_is_listed_and_used(environment: dict[str, str]) -> None:
    code, text, errors = run(environment, "spaces")
    assert (code, errors) == (0, "")
    assert "three layers of somebody else" in text
    broken = [line for line in text.splitlines() if "cannot be used" in line]
    assert len(broken) == 2
    assert broken[0].endswith("the name belongs to hwprofile itself")
    assert broken[1].startswith("space stump of package hwprofile-twig cannot be used: SpaceError: ")
    code, text, errors = run(
        environment, "export", "--space", "twig", "--arch", "0,1,0", "--out", "twig.onnx"
    )
    assert (code, errors) == (0, "")
    assert Path("twig.onnx").stat().st_size > 1000


@pytest.mark.slow
def test_a_profile_of_a_space_of_another_package_says_so(environment: dict[str, str]) -> None:
    code, text, errors = run(environment, "bench", "--space", "twig", *QUICK, "--json")
    assert (code, errors) == (0, "")
    header = json.loads(Path(json.loads(text)["profile"]).read_text().splitlines()[0])
    assert (header["subject"], header["space"]) == ("twig", "twig")


def test_its_predictor_is_fitted_kept_in_a_file_and_asked(
    environment: dict[str, str], measured: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model.json"
    fit = ("fit", "--space", "twig", "--networks", measured, "--out", model, "--model")
    code, text, errors = run(environment, *fit, "nearest", "--json")
    assert (code, errors) == (0, "")
    assert json.loads(text)["kind"] == "nearest"
    code, text, errors = run(environment, "predict", model, "--networks", measured, "-q")
    assert (code, errors) == (0, "")
    assert [float(line.split(",")[3]) for line in text.splitlines()[1:]] == [1, 5, 3, 7, 2, 6, 4, 8]
    # here, where the package is not
    with pytest.raises(UserError, match="of the kind 'nearest', which is not known here: install the"):
        fitting.load(model)
    learned = Nearest(interval="none").fit([[0.0], [1.0], [2.0]], [1.0, 2.0, 3.0])
    with pytest.raises(UserError, match="--onnx-out: Nearest has no ONNX graph"):
        fitting.export(SavedModel("nearest", learned, "twig", "0", [], []), tmp_path / "model.onnx")


def test_its_search_finds_a_network(environment: dict[str, str]) -> None:
    search = ("search", "leap", "--space", "nasbench-macro", "--evaluator", "tabular", "--evaluations", 30)
    code, text, errors = run(environment, *search, "--set", "share=0.5", "--json")
    assert (code, errors) == (0, "")
    found = json.loads(text)
    assert found["settings"] == {"share": 0.5}
    assert len(found["history"]) <= 15


def test_known_names_are_told_though_nothing_is_imported(
    installed: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(installed))
    told = {
        ("search", "none"): "reinforce, table-guided, leap, rotten.",
        ("fit", "--model", "none"): "boosting, forest, nearest, rotten.",
        ("bench", "--space", "none"): "; of other packages: proxyless, stump, twig; or give",
    }
    for command, words in told.items():
        assert words in CliRunner().invoke(main, command).stderr
    assert "table-guided|leap|rotten" in "".join(
        CliRunner().invoke(main, ["search", "--help"]).stdout.split()
    )
    assert "twig" not in sys.modules


def test_what_is_broken_is_one_line_where_it_is_asked_for(environment: dict[str, str]) -> None:
    code, _, errors = run(environment, "search", "rotten", "--space", "twig")
    assert (code, len(errors.splitlines())) == (1, 1)
    assert "search rotten of package hwprofile-twig cannot be used: ValueError: twig:SPACE is no" in errors
    code, _, errors = run(environment, "bench", "--space", "stump")
    assert (code, len(errors.splitlines())) == (1, 1)
    assert "space stump of package hwprofile-twig cannot be used: SpaceError" in errors


def test_the_package_in_the_docs_is_this_one() -> None:
    page = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text("utf-8")
    shown = {line.removeprefix("    ") for line in page.splitlines()}
    code = (SOURCE / "twig" / "__init__.py").read_text("utf-8").partition("from dataclasses")[2]
    assert {line for line in code.splitlines()[1:] if "STUMP" not in line} <= shown
