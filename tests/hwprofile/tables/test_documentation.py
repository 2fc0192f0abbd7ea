"""The commands of docs/tables.md do what the page says."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from devices.catalog import device
from devices.settings import Settings
from hwprofile.cli import main
from hwprofile.matching import device_header
from ponas_core.space_file import shipped_space
from tests.hwprofile.made_up import write_made_up_profile
from tests.hwprofile.tables.published import NOTE10, PIXEL1, ROOT, needs_tables

PAGE = (ROOT / "docs" / "tables.md").read_text("utf-8")
COMMANDS = [line.strip() for line in PAGE.splitlines() if line.startswith("    hwprofile ")]


@pytest.fixture(scope="module")
def profiles(tmp_path_factory: pytest.TempPathFactory, proxyless_profile: Path) -> dict[str, Path]:
    digits = tmp_path_factory.mktemp("digits") / "digits.profile.jsonl"
    header = device_header(device("cpu", Settings()), "digits", "digits")
    write_made_up_profile(digits, shipped_space("digits"), header)
    return {"proxyless": proxyless_profile, "digits": digits}


@needs_tables
@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_the_page_runs(line: str, home: Path, profiles: dict[str, Path], tmp_path: Path) -> None:
    for table in (PIXEL1, NOTE10):
        shutil.copy(table, tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    rng = np.random.default_rng(0)
    networks = [f'"{shipped_space("proxyless").sample(rng)}"' for _ in range(3)]
    (tmp_path / "nets.csv").write_text("\n".join(["arch", *networks]) + "\n")
    measured = [f'"{shipped_space("nasbench-macro").sample(rng)}",{rng.uniform(1, 2)}' for _ in range(30)]
    (tmp_path / "measured.csv").write_text("\n".join(["arch,latency_ms", *measured]) + "\n")
    arguments = shlex.split(line)[1:]
    if "--model" in arguments:
        fit = ["fit", "--networks", "measured.csv", "--space", "nasbench-macro", "--out", "model.json"]
        assert CliRunner().invoke(main, fit).exit_code == 0
    elif arguments[0] != "fit" and "--device" not in arguments:  # benching is not what is tried here
        arguments += ["--profile", str(profiles[arguments[arguments.index("--space") + 1]])]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.stderr
    if "--out" in arguments:
        assert (tmp_path / arguments[arguments.index("--out") + 1]).stat().st_size > 1000


def test_there_are_commands_to_run() -> None:
    assert len(COMMANDS) >= 8
