"""Networks that have a name: how a space's file gives it, and where it is read."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ponas_core.accuracies import accuracies_from_csv
from ponas_core.op_texts import ArchitectureError, parse_many
from ponas_core.space import MOST_NAMED, SearchSpace
from ponas_core.space_file import (
    SpaceError,
    elastic_from_toml,
    space_from_toml,
    toml_from_space,
)

CHAIN = """\
schema_version = 1
name = "tiny"
input = [3, 32, 32]
activation = "relu"
resolutions = [16, 32]

[[stages]]
channels = 8
stride = 2
blocks = ["mb_k3_e3", "mb_k5_e3"]

[[stages]]
layers = 2
channels = 8
blocks = ["skip", "mb_k3_e3", "mb_k5_e3"]
"""
NAMED = """\

[architectures]
first = "0,0,0"
Second_2 = "mb_k5_e3 skip mb_k3_e3"
"v1.0" = "112"
"""
SPACE = space_from_toml(CHAIN + NAMED)
ELASTIC = elastic_from_toml(CHAIN + NAMED)
PLAIN = space_from_toml(CHAIN)


def of_one_layer(named: dict[str, tuple[int, ...]]) -> SearchSpace:
    return replace(PLAIN, layers=PLAIN.layers[:1], named=named)


# --- files


def test_names_stand_for_op_indexes_or_block_strings() -> None:
    assert SPACE.named == {"first": (0, 0, 0), "Second_2": (1, 0, 1), "v1.0": (1, 1, 2)}
    assert list(SPACE.named) == ["first", "Second_2", "v1.0"]
    assert PLAIN.named == space_from_toml(CHAIN + "[architectures]\n").named == {}


def test_names_are_written_and_read_again() -> None:
    for given_space in (SPACE, ELASTIC):
        text = toml_from_space(given_space)
        assert text.endswith('[architectures]\nfirst = "0,0,0"\nSecond_2 = "1,0,1"\n"v1.0" = "1,1,2"\n')
    assert space_from_toml(toml_from_space(SPACE)) == SPACE
    assert elastic_from_toml(toml_from_space(ELASTIC)) == ELASTIC
    assert "architectures" not in toml_from_space(PLAIN)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("[[architectures]]\n", r"write architectures as one \[architectures\] table"),
        ("[architectures]\nmine = 3\n", "architectures: 'mine' needs op indexes .* got 3"),
        ("[architectures]\nmine = [0, 0, 0]\n", "architectures: 'mine' needs op indexes .* in quotes"),
        (
            '[architectures]\nv1.0 = "0,0,0"\n',
            "architectures: 'v1' needs .* a name with a dot stands in quotes",
        ),
        ('[architectures]\nmine = "0,0"\n', "architectures: 'mine': '0,0' names 2 blocks, but tiny has 3"),
        ('[architectures]\nmine = "0,3,0"\n', "architectures: 'mine': layer1 has ops 0 to 2, not 3"),
        (
            '[architectures]\nmine = "skip,0,0"\n',
            "architectures: 'mine': layer0 has no skip; it has mb_k3_e3",
        ),
        ('[architectures]\nmine = "0 0 resnet"\n', "architectures: 'mine': unknown block 'resnet'"),
        # no chains of names
        ('[architectures]\na = "0,0,0"\nb = "a"\n', "architectures: 'b': 'a' names 1 blocks"),
        ('[architectures]\na = "0,0,0"\na = "0,0,1"\n', "not a TOML file"),
        ('[architectures]\n"" = "0,0,0"\n', "the name of a network is a letter, then .*''"),
        ('[architectures]\n2nd = "0,0,0"\n', "the name of a network is a letter, then .*'2nd'"),
        ('[architectures]\n"a b" = "0,0,0"\n', "the name of a network is a letter, then .*'a b'"),
        ('[architectures]\n"a\\n" = "0,0,0"\n', "the name of a network is a letter"),
        ('[architectures]\n"ä" = "0,0,0"\n', "the name of a network is a letter"),
        ('[architectures]\n"r16:a" = "0,0,0"\n', "the name of a network is a letter"),
    ],
)
def test_a_bad_name_or_network_is_refused_by_name(table: str, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        space_from_toml(CHAIN + table)


def test_a_file_names_a_thousand_networks_at_most() -> None:
    lines = [f'n{number} = "0,0,0"\n' for number in range(MOST_NAMED + 1)]
    assert len(space_from_toml(CHAIN + "[architectures]\n" + "".join(lines[:-1])).named) == MOST_NAMED
    with pytest.raises(SpaceError, match="1001 networks are named, at most 1000 can be"):
        space_from_toml(CHAIN + "[architectures]\n" + "".join(lines))


@settings(deadline=None, max_examples=200)
@given(
    st.dictionaries(
        st.text(max_size=6) | st.from_regex(r"[A-Za-z][A-Za-z0-9._-]*", fullmatch=True),
        st.sampled_from(["0,0,0", "112", "skip,0,0", "0,9,0", "", "mb_k5_e3 skip skip"])
        | st.text(max_size=9),
        max_size=3,
    )
)
def test_any_table_of_names_is_a_space_or_one_space_error(rows: dict[str, str]) -> None:
    def quoted(text: str) -> str:
        return '"' + "".join(f"\\U{ord(character):08X}" for character in text) + '"'

    lines = [f"{quoted(name)} = {quoted(value)}\n" for name, value in rows.items()]
    try:
        read = space_from_toml(CHAIN + "[architectures]\n" + "".join(lines))
    except SpaceError:
        return
    assert read.named == {name: PLAIN.parse(text).ops for name, text in rows.items()}
    assert space_from_toml(toml_from_space(read)) == read


# --- values


def test_spaces_are_compared_by_their_names_too() -> None:
    assert SPACE != PLAIN
    assert replace(PLAIN, named=dict(SPACE.named)) == SPACE
    assert hash(replace(PLAIN, named=dict(SPACE.named))) == hash(SPACE)
    assert replace(PLAIN, named={"first": (0, 0, 1)}) != replace(PLAIN, named={"first": (0, 0, 0)})


def test_names_cannot_be_changed_behind_the_back_of_a_space() -> None:
    mine: dict[str, tuple[int, ...]] = {"first": (0, 0, 0)}
    space = replace(PLAIN, named=mine)
    mine["second"] = (9, 9)
    assert space.named == {"first": (0, 0, 0)}
    with pytest.raises(TypeError, match="does not support item assignment"):
        space.named["second"] = (0, 0, 1)  # type: ignore[index]


def test_a_space_refuses_a_named_network_that_it_lacks() -> None:
    with pytest.raises(ValueError, match="network first: 2 ops given, but tiny has 3 layers"):
        replace(PLAIN, named={"first": (0, 0)})


# --- reading


def test_a_name_is_read_as_its_network() -> None:
    assert SPACE.parse("Second_2") == SPACE.parse(" Second_2\n") == SPACE.architecture((1, 0, 1))


def test_a_name_comes_before_a_block_that_reads_the_same() -> None:
    space = of_one_layer({"mb_k3_e3": (1,)})
    assert space.parse("mb_k3_e3").ops == (1,)
    assert space.parse("mb_k5_e3").ops == (1,)


@pytest.mark.parametrize("text", ["third", "FIRST", "first-"])
def test_an_unknown_name_is_answered_with_the_known_ones(text: str) -> None:
    with pytest.raises(ValueError, match=r"but tiny has 3 layers; named networks: first, Second_2, v1\.0$"):
        SPACE.parse(text)
    with pytest.raises(ValueError, match=r"has 3 layers$"):
        PLAIN.parse(text)
    with pytest.raises(ValueError, match=r"unknown block .*; named networks: one$"):
        of_one_layer({"one": (0,)}).parse(text)


@pytest.mark.parametrize("text", ["", "0,0", "first,0,0", "first Second_2"])
def test_what_cannot_be_a_name_is_not_answered_with_names(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(?!.*named networks)"):
        SPACE.parse(text)


def test_a_message_shows_the_first_ten_names() -> None:
    space = replace(PLAIN, named={f"n{number}": (0, 0, 0) for number in range(12)})
    with pytest.raises(ValueError, match=r"named networks: n0, n1, .*, n9, \.\.\.$"):
        space.parse("other")


def test_a_column_of_architectures_may_hold_names() -> None:
    texts = ["0,0,1", "Second_2", "112"]
    assert parse_many(SPACE, texts).tolist() == [[0, 0, 1], [1, 0, 1], [1, 1, 2]]
    with pytest.raises(ArchitectureError, match="named networks: first"):
        parse_many(SPACE, [*texts, "third"])


def test_accuracies_may_be_given_by_name() -> None:
    known = accuracies_from_csv(SPACE, "arch,top1\nfirst,74.67\nv1.0,75.2\n", "top1", "mine.csv")
    assert known.values == {SPACE.named["first"]: 74.67, SPACE.named["v1.0"]: 75.2}


# --- resolutions


def test_names_stay_at_every_resolution() -> None:
    assert ELASTIC.at(16).named == ELASTIC.at(32).named == SPACE.named
    assert ELASTIC.at(16).parse("v1.0").ops == (1, 1, 2)


def test_an_elastic_space_reads_a_name_at_a_resolution_and_alone_at_its_own() -> None:
    assert str(ELASTIC.parse("r16:v1.0")) == "r16:1,1,2"
    assert ELASTIC.parse(" v1.0 ") == ELASTIC.parse("r32:v1.0") == ELASTIC.architecture(32, (1, 1, 2))
    # in its canonical form: the last layer of a run is the one left out
    assert str(ELASTIC.parse("Second_2")) == "r32:1,1,0"


def test_an_elastic_space_answers_an_unknown_name_with_the_known_ones() -> None:
    with pytest.raises(
        ValueError, match=r"blocks like r16:0,1,\.\.\.; named networks: first, Second_2, v1\.0$"
    ):
        ELASTIC.parse("third")
    with pytest.raises(ValueError, match="has 3 layers; named networks: first"):
        ELASTIC.parse("r16:third")
