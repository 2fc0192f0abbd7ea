"""Devices as a person adds, looks at, tries and removes them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest
from click.testing import CliRunner

from devices.links.catalog import LINKS, LinkKind
from devices.links.link import Link
from devices.links.local import started
from devices.registry import Registry, Spec
from hwprofile import places
from hwprofile.chosen_device import chosen_device
from hwprofile.cli import main
from hwprofile.known_devices import add
from hwprofile.profile_lines import Header


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return result.exit_code, result.stdout, result.stderr


def listed(name: str) -> dict[str, Any]:
    found = json.loads(run("devices", "--json")[1])["devices"]
    return next(one for one in found if one["name"] == name)


# --- add, show, remove


def test_a_preset_is_configured_under_its_own_name(home: Path) -> None:
    assert (listed("pi")["state"], listed("pi")["ready"]) == ("not added", False)
    code, _, errors = run("bench", "--device", "pi")
    assert code == 6
    assert "type `hwprofile devices add pi --host HOST`" in errors
    code, text, errors = run("devices", "add", "pi", "--host", "attic.local", "--user", "me")
    assert (code, errors) == (0, "")
    assert "hwprofile devices check pi" in text
    assert "attic" not in text
    found = listed("pi")
    assert (found["state"], found["ready"], found["needs"]) == ("added", True, "")
    assert (found["link"], found["runtime"], found["preset"]) == ("ssh", "onnxruntime", "pi")
    assert "attic" not in run("devices")[1]


def test_a_device_is_made_from_a_preset_under_another_name(home: Path) -> None:
    arguments = ("--preset", "pi", "--host", "10.0.0.7", "--port", 2222, "--runtime", "litert")
    assert run("devices", "add", "kitchen", *arguments, "--provider", "builtin")[0] == 0
    found = chosen_device("kitchen")
    assert (found.name, found.settings.runtime, found.settings.provider) == ("kitchen", "litert", "builtin")
    assert chosen_device("kitchen", provider="XNNPACK").settings.provider == "XNNPACK"
    other = chosen_device("kitchen", runtime="onnxruntime").settings
    assert (other.runtime, other.provider) == ("onnxruntime", "CPUExecutionProvider")
    assert (places.devices_path().stat().st_mode & 0o777) == 0o600


def test_show_tells_its_user_how_a_device_is_reached(home: Path, cpu_header: Any, tmp_path: Path) -> None:
    assert run("devices", "add", "box", "--host", "box.local", "--set", "user=me")[0] == 0
    code, text, _ = run("devices", "show", "box")
    assert code == 0
    assert "box.local" in text
    assert "No profiles yet: hwprofile bench --device box" in text
    mine, other = (home / "profiles" / f"{name}-cifar-tiny-00.profile.jsonl" for name in ("box", "box-two"))
    mine.parent.mkdir()
    header: Header = cpu_header("cifar-tiny")
    for path in (mine, other):
        fields = {**header.to_json(), "device": path.name.removesuffix("-cifar-tiny-00.profile.jsonl")}
        path.write_text(json.dumps(fields) + "\n")
    (home / "profiles" / "box-empty.profile.jsonl").touch()
    assert json.loads(run("devices", "show", "box", "--json")[1]) == {
        "name": "box", "link": "ssh", "host": "box.local", "user": "me",
        "file": str(places.devices_path()), "profiles": [str(mine)],
    }  # fmt: skip
    code, text, _ = run("devices", "remove", "box")
    assert code == 0
    assert str(mine) in text
    assert str(other) not in text
    assert mine.exists()
    assert run("devices", "show", "box")[0] == 1


def test_a_device_is_overwritten_only_when_asked(home: Path) -> None:
    assert run("devices", "add", "a", "--host", "one")[0] == 0
    code, _, errors = run("devices", "add", "a", "--host", "two")
    assert code == 1
    assert "overwrite it with --replace" in errors
    assert run("devices", "add", "a", "--host", "two", "--replace")[0] == 0
    assert json.loads(run("devices", "show", "a", "--json")[1])["host"] == "two"


def test_devices_that_are_added_at_once_are_all_there(home: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        specs = [Spec(f"board{number}", "local") for number in range(8)]
        list(pool.map(lambda spec: add(spec, replace=False), specs))
    assert Registry.load(places.devices_path()).names == [spec.alias for spec in specs]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("add", "jetson"), 2, "--host is missing: link ssh needs it; type `hwprofile devices add jetson"),
        (("add", "jetson", "--host", "me@orin"), 2, "--host orin --user me"),
        (("add", "pi", "--host", "-oProxyCommand=x"), 2, "host"),
        (
            ("add", "pi", "--host", "a", "--serial", "b"),
            2,
            "serial is nothing that link ssh has; it has host",
        ),
        (("add", "pi", "--host", "a", "--set", "port=b"), 2, "port is a number, got 'b'"),
        (("add", "pi", "--host", "a", "--set", "port"), 2, "--set takes KEY=VALUE, got 'port'"),
        (("add", "cpu"), 2, "cpu is always there, as it is; give another name"),
        (("add", "a"), 2, "Give --preset, --link, or --host"),
        (("add", "a", "--preset", "toaster"), 2, "no preset 'toaster'; known presets: cpu, gpu, jetson"),
        (("add", "a", "--link", "pigeon"), 2, "no link 'pigeon'; known links: local, ssh"),
        (("add", "a", "--host", "b", "--runtime", "caffe"), 2, "no runtime 'caffe'; known runtimes: onnx"),
        (
            ("add", "a", "--host", "b", "--runtime", "litert", "--provider", "c"),
            2,
            "litert has the providers",
        ),
        (("add", "a/b", "--host", "b"), 2, "'a/b' is no name of a device"),
        (("add", "replay:x", "--host", "b"), 2, "is no name of a device"),
        (("remove", "jetson"), 1, "it was never added"),
        (("remove", "cpu"), 1, "it is always there"),
        (("show", "toaster"), 1, "known devices: cpu, gpu, jetson, phone, pi"),
        (("show", "jetson"), 6, "type `hwprofile devices add jetson --host HOST`"),
        (("check", "jetson"), 6, "type `hwprofile devices add jetson --host HOST`"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_that_says_what_to_type(
    home: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    found = run("devices", *arguments)
    assert found[:2] == (code, "")
    assert message in found[2]
    assert len(found[2].strip().splitlines()) == 1
    assert not places.devices_path().exists()


def test_a_broken_file_stops_its_devices_and_not_those_that_are_always_there(home: Path) -> None:
    home.mkdir()
    places.devices_path().write_text("schema_version = 9")
    for arguments in (("devices",), ("devices", "add", "a", "--host", "b"), ("bench", "--device", "a")):
        code, _, errors = run(*arguments)
        assert code == 1
        assert "a newer hwprofile wrote it: upgrade" in errors
    assert chosen_device("cpu").name == "cpu"
    assert run("devices", "show", "cpu")[0] == 0


def test_a_wrong_entry_is_listed_as_that_and_can_be_removed(home: Path) -> None:
    home.mkdir()
    text = 'schema_version = 1\n[devices.a]\nlink = 3\n[devices.b]\nlink = "ssh"\nhost = "-x"\n'
    text += '[devices.c]\nlink = "local"\n'
    places.devices_path().write_text(text)
    assert [listed(name)["state"] for name in "abc"] == ["unusable", "unusable", "ready"]
    for name, key in (("a", "link"), ("b", "host")):
        code, _, errors = run("bench", "--device", name)
        assert code == 1
        assert f"device '{name}': {key} " in errors
        assert run("devices", "remove", name)[0] == 0
    assert run("devices", "show", "c")[0] == 0


def test_json_belongs_behind_the_command(home: Path) -> None:
    code, _, errors = run("devices", "--json", "show", "cpu")
    assert code == 2
    assert "write --json behind show" in errors
    assert run("devices", "list", "--json")[1] == run("devices", "--json")[1]


def test_settings_are_kept_in_the_users_folder_for_settings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("HWPROFILE_HOME", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    if sys.platform == "linux":
        assert places.devices_path() == tmp_path / "hwprofile" / "devices.toml"
    assert places.devices_path().parent != places.home()


# --- check


@dataclass(frozen=True, slots=True)
class Board(Link):
    """A shell of this computer in place of a board: `python` is what it runs, before Python's arguments."""

    alias: str
    script: str

    def start(self, arguments: Sequence[str], stderr: IO[bytes]) -> subprocess.Popen[bytes]:
        return started(["sh", "-c", self.script, "sh", *arguments], stderr)

    def was_lost(self, exit_status: int) -> bool:
        return exit_status == 255

    def advice(self, text: str) -> str:
        return "is it switched on?" if "timed out" in text else ""


@pytest.fixture
def board(home: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setitem(LINKS, "board", LinkKind("a shell", f"{__name__}:Board"))
    monkeypatch.setitem(sys.modules, __name__, sys.modules[Board.__module__])

    def add(script: str, *more: str) -> None:
        arguments = ("--preset", "pi", "--link", "board", "--set", f"script={script}", *more)
        assert run("devices", "add", "board", *arguments)[0] == 0

    return add


STEPS = ["link", "python", "runtime", "providers", "graph", "conditions"]
PYTHON = f'exec {sys.executable} "$@"'


def test_check_goes_through_every_step(board: Any) -> None:
    board(PYTHON)
    code, text, errors = run("devices", "check", "board")
    assert (code, errors) == (0, "")
    lines = [line for line in text.splitlines() if line.startswith("✓")]
    assert [line.split()[1] for line in lines] == STEPS
    assert "✗" not in text
    assert "95 % interval" in text
    assert text.endswith("board is ready: hwprofile bench --device board\n")


def test_check_tells_machines_the_same(home: Path) -> None:
    code, text, _ = run("devices", "check", "cpu", "--json")
    assert code == 0
    found = json.loads(text)
    assert (found["device"], found["ok"]) == ("cpu", True)
    assert [step["name"] for step in found["steps"]] == STEPS
    assert all(step["ok"] and step["seconds"] >= 0 and step["found"] for step in found["steps"])


@pytest.mark.parametrize(
    ("script", "more", "broken", "words"),
    [
        ("echo ssh: connection timed out >&2; exit 255", (), "link", "is it switched on?"),
        ('no-such-python "$@"', (), "python", "install Python 3.8 or newer there"),
        (f'exec {sys.executable} -I -S "$@"', (), "python", "pip install numpy"),
        (PYTHON, ("--provider", "CUDAExecutionProvider"), "providers", "present: "),
    ],
)
def test_check_stops_at_the_first_step_that_does_not_hold(
    board: Any, script: str, more: tuple[str, ...], broken: str, words: str
) -> None:
    board(script, *more)
    code, text, errors = run("devices", "check", "board", "--json")
    assert code == 6
    steps = json.loads(text)["steps"]
    assert [step["name"] for step in steps] == STEPS[: STEPS.index(broken) + 1]
    assert [step["ok"] for step in steps] == [True] * (len(steps) - 1) + [False]
    assert words in steps[-1]["found"] + steps[-1]["cure"]
    assert steps[-1]["cure"]
    assert f"device board stopped at {broken}" in errors
    code, text, _ = run("devices", "check", "board")
    assert code == 6
    assert "do: " in text


def test_a_missing_runtime_is_told_with_how_to_install_it_on_that_kind_of_device(
    board: Any, tmp_path: Path
) -> None:
    # numpy alone, as on a board where nothing else was installed yet
    import numpy

    link = tmp_path / "numpy"
    link.symlink_to(Path(numpy.__file__).parent)
    libraries = Path(numpy.__file__).parent.parent / "numpy.libs"
    if libraries.exists():
        (tmp_path / "numpy.libs").symlink_to(libraries)
    board(f'PYTHONPATH={tmp_path} exec {sys.executable} -S "$@"')
    code, text, _ = run("devices", "check", "board", "--json")
    step = json.loads(text)["steps"][-1]
    assert (code, step["name"]) == (6, "runtime"), text
    assert step["found"] == "onnxruntime is not installed; run: pip install onnxruntime"
    assert "~/hwprofile/bin/pip install onnxruntime" in step["cure"]


def test_add_can_check_at_once(home: Path) -> None:
    arguments = ("devices", "add", "fast", "--preset", "cpu", "--check")
    code, text, _ = run(*arguments)
    assert code == 0
    assert "fast is added" in text
    assert "fast is ready" in text
