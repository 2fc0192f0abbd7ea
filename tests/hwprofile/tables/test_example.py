"""The example of a search of one's own: it runs, and ends within its budget."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from devices.catalog import device
from devices.settings import Settings
from hwprofile.cli import main
from hwprofile.matching import device_header
from ponas_core.space_file import shipped_space
from tests.hwprofile.made_up import write_made_up_profile
from tests.hwprofile.tables.published import ROOT


@pytest.mark.slow
def test_a_search_in_plain_torch_ends_within_the_budget(home: Path, tmp_path: Path) -> None:
    profile, table, budget_ms = tmp_path / "made.profile.jsonl", tmp_path / "table.npz", 0.12
    header = device_header(device("cpu", Settings()), "digits", "digits")
    write_made_up_profile(profile, shipped_space("digits"), header)
    of = ["export", "--space", "digits", "--profile", str(profile), "--format", "npz", "--out", str(table)]
    assert CliRunner().invoke(main, of).exit_code == 0
    program = [sys.executable, str(ROOT / "examples" / "proxyless_loop.py"), str(table), str(budget_ms)]
    found = subprocess.run(
        program, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(ROOT), "PATH": ""}
    )
    assert found.returncode == 0, found.stderr
    blocks, latency = found.stdout.splitlines()[-2:]
    shipped_space("digits").parse(blocks)
    assert 0.06 < float(latency.split()[0]) <= budget_ms


def test_the_example_knows_nothing_of_the_project_but_one_module() -> None:
    text = (ROOT / "examples" / "proxyless_loop.py").read_text("utf-8")
    lines = [line for line in text.splitlines() if line.startswith(("import ", "from "))]
    rooms = ("hwprofile", "devices", "predictors", "ponas_core")
    ours = [line for line in lines if line.split()[1].split(".")[0] in rooms]
    assert ours == ["from ponas_core.training.expected_cost import ExpectedCost, hinge_penalty"]
