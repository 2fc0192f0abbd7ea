"""Circumstances that a target tells: only small, plain ones of the expected types get through."""

from __future__ import annotations

from typing import Any

import pytest

from devices import circumstances
from devices.agent import conditions, identity


def test_what_this_computer_tells_gets_through() -> None:
    for found in (identity.hardware(), identity.software(), conditions.conditions()):
        assert circumstances.checked(found, "it") == found
    programs = conditions.busy_processes(0.05)
    assert circumstances.programs(programs) == programs


def test_fields_that_nobody_reads_may_be_any_plain_value() -> None:
    found = {"rails": [{"name": "VDD_IN", "watts": [1.5]}], "new": None, "cpu_mhz": None}
    assert circumstances.checked(found, "conditions") == found


@pytest.mark.parametrize(
    "found",
    [
        None,
        [],
        "x",
        {"cpu_mhz": "fast"},
        {"cpu_mhz": True},
        {"clock_s": 10**20 + 1},
        {"load_1min": [1.0]},
        {"governor": 3},
        {"power_mode": {"name": "MAXN"}},
        {"affinity": 3},
        {"affinity": ["0"]},
        {"gpus": {}},
        {"gpus": ["one"]},
        {"gpus": [{"power_w": "much"}]},
        {"gpus": [{"throttled_by": "heat"}]},
        {"gpus": [{"throttled_by": [1]}]},
        {"deep": [[[[1]]]]},
        {"large": "x" * circumstances.LARGEST_BYTES},
        {str(number): number for number in range(10_000)},
    ],
    ids=lambda found: repr(found)[:40],
)
def test_what_is_not_of_the_expected_type_is_refused(found: Any) -> None:
    with pytest.raises(ValueError, match="conditions"):
        circumstances.checked(found, "conditions")


@pytest.mark.parametrize(
    "program",
    [
        "vim",
        {"pid": "1; rm -rf ~", "name": "vim", "processors": 1.0},
        {"pid": True, "name": "vim", "processors": 1.0},
        {"pid": 1, "name": ["vim"], "processors": 1.0},
        {"pid": 1, "name": "vim", "processors": "all"},
        {"pid": 1, "name": "vim"},
    ],
    ids=repr,
)
def test_what_is_no_program_is_refused(program: object) -> None:
    with pytest.raises(ValueError, match="not a program"):
        circumstances.programs([program])


@pytest.mark.parametrize("found", [None, {}, "x", [{}] * (circumstances.MOST_PROGRAMS + 1)], ids=repr)
def test_what_is_no_list_of_programs_is_refused(found: object) -> None:
    with pytest.raises(ValueError, match="no list of programs"):
        circumstances.programs(found)
