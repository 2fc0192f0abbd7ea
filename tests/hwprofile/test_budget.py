from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwprofile.budget import exactly, in_words, parse_budget
from hwprofile.errors import BadInput


@pytest.mark.parametrize(
    ("text", "quantity", "at_most"),
    [
        ("15ms", "latency_ms", 15.0),
        ("800us", "latency_ms", 0.8),
        ("800 µs", "latency_ms", 0.8),
        ("0.5s", "latency_ms", 500.0),
        ("1e-1ms", "latency_ms", 0.1),
        ("60%", "latency_share", 0.6),
        ("300MMACs", "macs", 3e8),
        ("300 mmacs", "macs", 3e8),
        ("0.3GMACs", "macs", 3e8),
        ("300MFLOPs", "macs", 3e8),
        ("2mJ", "energy_mj", 2.0),
        ("2 mj", "energy_mj", 2.0),
        ("1.5J", "energy_mj", 1500.0),
        ("800uJ", "energy_mj", 0.8),
        ("800 µJ", "energy_mj", 0.8),
        ("5MB", "stored_bytes", 5e6),
        ("2.5Mparams", "params", 2.5e6),
    ],
)
def test_a_budget_is_read_with_its_unit(text: str, quantity: str, at_most: float) -> None:
    budget = parse_budget(text)
    assert str(budget.quantity) == quantity
    assert budget.at_most == pytest.approx(at_most)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("15", "needs a unit: 15ms"),
        ("", "is not a number with a unit"),
        ("ms", "is not a number with a unit"),
        ("-3ms", "not a positive number"),
        ("0ms", "not a positive number"),
        ("nanms", "not a positive number"),
        ("infms", "not a positive number"),
        ("1e999ms", "not a positive number"),
        ("2MJ", "is in megajoules; millijoules are mJ"),
        ("-2mJ", "not a positive number"),
        ("15 parsec", "unknown unit"),
        ("15ms; rm", "is not a number with a unit"),
    ],
)
def test_what_is_no_budget_is_refused_with_an_example(text: str, message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        parse_budget(text)
    assert "15ms" in str(caught.value)
    assert caught.value.exit_code == 2


@given(st.text(max_size=20))
def test_any_text_is_a_budget_or_a_clear_refusal(text: str) -> None:
    try:
        budget = parse_budget(text)
    except BadInput as error:
        refusal = str(error)
    else:
        assert budget.at_most > 0
        return
    assert repr(text) in refusal


@given(st.floats(1e-6, 1e9))
def test_a_printed_budget_is_read_back_exactly(value: float) -> None:
    assert parse_budget(f"{value!r}ms").at_most == value


@given(st.sampled_from(["latency_ms", "energy_mj", "macs", "params", "stored_bytes"]), st.floats(1e-12, 1e21))
def test_a_value_in_words_for_machines_is_read_back_exactly(quantity: str, value: float) -> None:
    assert parse_budget(exactly(quantity, value)).at_most == value


@given(st.integers(1, 10**15), st.sampled_from(["k", "M", "G"]))
def test_a_count_in_a_larger_unit_is_read_exactly(count: int, unit: str) -> None:
    power = {"k": 3, "M": 6, "G": 9}[unit]
    digits = f"{count:0{power + 1}}"
    assert parse_budget(f"{digits[:-power]}.{digits[-power:]}{unit}MACs").at_most == count


@pytest.mark.parametrize(
    ("quantity", "value", "words"),
    [
        ("macs", 7713280, "7.71328 MMACs"),
        ("stored_bytes", 5e6, "5 MB"),
        ("latency_ms", 1e-05, "0.00001 ms"),
        ("latency_ms", 0.1 + 0.2, "0.30000000000000004 ms"),
        ("latency_ms", 100.0, "100 ms"),
    ],
)
def test_all_digits_are_printed_and_no_more(quantity: str, value: float, words: str) -> None:
    assert exactly(quantity, value) == words


def test_flops_are_said_to_be_macs() -> None:
    assert "multiply-accumulates" in (parse_budget("300MFLOPs").notice or "")
    assert parse_budget("300MMACs").notice is None


@pytest.mark.parametrize(
    ("quantity", "value", "words"),
    [
        ("latency_ms", 0.9782, "0.9782 ms"),
        ("latency_ms", 0.01234, "12.34 us"),
        ("latency_ms", 12.345, "12.35 ms"),
        ("latency_ms", 15000.0, "15 s"),
        ("energy_mj", 1.234, "1.234 mJ"),
        ("energy_mj", 0.0123, "12.3 uJ"),
        ("energy_mj", 12345.0, "12.35 J"),
        ("macs", 3.2e8, "320 MMACs"),
        ("params", 4.1e6, "4.1 Mparams"),
        ("stored_bytes", 5e6, "5 MB"),
    ],
)
def test_values_are_printed_with_a_unit_that_a_person_would_choose(
    quantity: str, value: float, words: str
) -> None:
    assert in_words(quantity, value) == words
