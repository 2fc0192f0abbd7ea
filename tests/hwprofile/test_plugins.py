"""What other packages bring: installed by pip, found by a real process, and never in the way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hwprofile import plugins
from hwprofile.errors import UserError
from ponas_core.space_file import shipped_space
from predictors.estimators.regressor import LatencyRegressor
from tests.hwprofile.other_packages import environment_with, installed_in, run

SOURCE = Path(__file__).with_name("plugin")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that pip installed the package into."""
    return installed_in(tmp_path_factory.mktemp("site"), SOURCE)


@pytest.fixture
def environment(installed: Path, home: Path) -> dict[str, str]:
    return environment_with(installed, home)


def test_what_a_package_brings_is_listed_and_what_is_broken_is_one_line(environment: dict[str, str]) -> None:
    code, text, errors = run(environment, "devices")
    assert (code, errors) == (0, "")
    assert "couch" in text
    assert "sleeps a nanosecond a byte" in text
    lines = [line for line in text.splitlines() if "hwprofile-nap" in line and "cannot be used" in line]
    assert len(lines) == 2
    assert lines[0].startswith("runtime broken of package hwprofile-nap cannot be used: ModuleNotFoundError")
    assert lines[1].endswith("cannot be used: the name belongs to hwprofile itself")
    found = json.loads(run(environment, "devices", "--json")[1])
    assert [one["name"] for one in found["broken_plugins"]] == ["broken", "onnxruntime"]
    assert {"name", "ready", "needs"} <= set(found["devices"][0])
    assert next(one["installed"] for one in found["runtimes"] if one["name"] == "nap") == "1.0"


def test_a_runtime_of_another_package_is_benched_over_its_own_link(
    environment: dict[str, str], tmp_path: Path, tiny_toml: Path
) -> None:
    code, text, errors = run(environment, "devices", "add", "couch", "--set", "nice=1")
    assert (code, errors) == (0, "")
    assert "couch is added: shell, nap" in text
    code, text, errors = run(environment, "devices", "check", "couch", "--json")
    steps = {step["name"]: step for step in json.loads(text)["steps"]}
    assert (code, errors) == (0, "")
    assert steps["runtime"]["found"].startswith("nap 1.0")
    out = tmp_path / "nap.profile.jsonl"
    bench = ("bench", "--device", "couch", "--space", tiny_toml, "--rounds", "2", "--calibrate", "2", "-q")
    code, text, errors = run(environment, *bench, "--out", out)
    assert code == 0, errors
    header: dict[str, Any] = json.loads(out.read_text().splitlines()[0])
    identity = header["identity"]
    assert (identity["runtime"], identity["runtime_version"], identity["provider"]) == ("nap", "1.0", "deep")


def test_a_broken_package_is_an_error_only_when_it_is_asked_for(environment: dict[str, str]) -> None:
    code, _, errors = run(environment, "doctor", "--runtime", "broken")
    assert code == 1
    assert "runtime broken of package hwprofile-nap cannot be used: ModuleNotFoundError" in errors
    assert len(errors.strip().splitlines()) == 1
    code, _, errors = run(environment, "devices", "add", "bed", "--preset", "sofa")
    assert code == 2
    assert "known presets: cpu, gpu, jetson, phone, pi" in errors


# --- in this process, with made-up entry points


class Entry:
    """An entry point of a package that is not there."""

    dist = None

    def __init__(self, name: str, found: object) -> None:
        self.name, self.value, self._found = name, "made.up:Thing", found

    def load(self) -> object:
        if isinstance(self._found, BaseException):
            raise self._found
        return self._found


@pytest.mark.parametrize(
    ("group", "found", "problem"),
    [
        ("hwprofile.runtimes", object(), "no subclass of devices.runtimes.runtime.Runtime"),
        ("hwprofile.links", int, "no subclass of devices.links.link.Link"),
        ("hwprofile.presets", "pi", "no devices.presets.Preset"),
        ("hwprofile.spaces", 3, "no ponas_core.space.SearchSpace and no path of a TOML file"),
        ("hwprofile.spaces", shipped_space("digits"), "it must be the entry point's name"),
        ("hwprofile.predictors", dict, "no subclass of predictors.estimators.regressor.LatencyRegressor"),
        (
            "hwprofile.predictors",
            LatencyRegressor,
            "with abstract methods _learn, _predicted_ms",
        ),
        ("hwprofile.searches", dict, "no dataclass with run(candidates, ledger, rng)"),
        ("hwprofile.links", SystemExit(3), "SystemExit: 3"),
        ("hwprofile.links", ZeroDivisionError("first\nsecond"), "ZeroDivisionError: first"),
    ],
)
def test_a_package_may_be_broken_in_any_way(
    monkeypatch: pytest.MonkeyPatch, group: str, found: object, problem: str
) -> None:
    monkeypatch.setattr(plugins, "_entries", lambda asked: [Entry("thing", found)] if asked == group else [])
    [plugin] = plugins.every_plugin()
    assert problem in plugin.problem
    assert "\n" not in str(plugin)
    assert "thing" not in plugins.GROUPS[group].table
    with pytest.raises(UserError, match="of package"):
        plugins.need(group, "thing")
    plugins.need(group, "something else")


def test_packages_are_not_looked_for_when_a_name_is_built_in(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(group: str) -> list[Any]:
        raise AssertionError(group)

    monkeypatch.setattr(plugins, "_entries", fail)
    plugins.need("hwprofile.runtimes", "onnxruntime")
    plugins.need("hwprofile.links", "ssh")
