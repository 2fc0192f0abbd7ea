from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from hwprofile.cli import main
from hwprofile.errors import UserError
from hwprofile.project import project_defaults


def test_no_file_sets_nothing(tmp_path: Path) -> None:
    assert project_defaults(tmp_path) == {}


def test_keys_become_the_defaults_of_the_commands(tmp_path: Path) -> None:
    (tmp_path / "hwprofile.toml").write_text('device = "pi"\nthreads = 2\nprecision = 1.5\n')
    found = project_defaults(tmp_path)
    assert found == {"device_name": "pi", "threads": 2, "precision_percent": 1.5}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('host = "10.0.0.1"', "a project may set device, threads.*; not host"),
        ('python = "/bin/sh"', "not python"),
        ("device = 3", "device is a name, got 3"),
        ('device = "replay:/etc/passwd"', "device is a name"),
        ('device = "-x"', "device is a name"),
        ('threads = "many"', "threads is a number"),
        ("threads = true", "threads is a number"),
        ("threads =", "not a usable TOML file"),
        ("[device]\nname = 1", "device is a name"),
        ("#" * 100_001, "larger than"),
    ],
)
def test_what_a_project_may_not_set_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "hwprofile.toml").write_text(text)
    with pytest.raises(UserError, match=message):
        project_defaults(tmp_path)


def test_the_command_line_overrides_the_project(home: Path, macro_profile: Path, tmp_path: Path) -> None:
    (tmp_path / "hwprofile.toml").write_text('device = "jetson"\n')
    arguments = [
        "specialize",
        "--space",
        "nasbench-macro",
        "--profile",
        str(macro_profile),
        "--no-measure",
        "--budget",
        "60%",
        "--json",
    ]
    chosen = CliRunner().invoke(main, arguments)
    assert chosen.exit_code == 6
    assert "device jetson is not configured" in chosen.stderr
    overridden = CliRunner().invoke(main, [*arguments, "--device", "cpu"])
    assert json.loads(overridden.stdout)["device"] == "cpu"


def test_a_number_out_of_range_is_refused_by_its_option(home: Path, tmp_path: Path) -> None:
    (tmp_path / "hwprofile.toml").write_text("threads = 0\n")
    found = CliRunner().invoke(main, ["bench"])
    assert found.exit_code == 2
    assert "--threads" in found.stderr
