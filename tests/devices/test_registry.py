"""The file of a user's devices: what is written is read again, and what is no such file is refused."""

from __future__ import annotations

import os
import string
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devices.registry import LARGEST_FILE_BYTES, LARGEST_NUMBER, Registry, RegistryError, Spec

SAME_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])

ALIASES = st.from_regex(r"[A-Za-z0-9._][A-Za-z0-9._-]{0,63}", fullmatch=True)
WORDS = st.from_regex(r"[A-Za-z0-9_.+:-]{1,20}", fullmatch=True)
KEYS = st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True).filter(
    lambda key: key not in ("preset", "link", "runtime", "provider")
)
TEXTS = st.text(max_size=30).filter(str.isprintable)
VALUES = TEXTS | st.integers(-LARGEST_NUMBER, LARGEST_NUMBER) | st.lists(TEXTS, max_size=3).map(tuple)
MAYBE = st.none() | WORDS
SPECS = st.builds(Spec, ALIASES, WORDS, MAYBE, MAYBE, MAYBE, st.dictionaries(KEYS, VALUES, max_size=5))
REGISTRIES = st.lists(SPECS, max_size=5)


def of(specs: list[Spec]) -> Registry:
    registry = Registry()
    for spec in specs:
        registry = registry.adding(spec)
    return registry


@SAME_FOLDER
@given(REGISTRIES)
def test_what_is_written_is_read_again(tmp_path: Path, specs: list[Spec]) -> None:
    path = tmp_path / "devices.toml"
    path.unlink(missing_ok=True)
    of(specs).save(path)
    read = Registry.load(path)
    assert {name: read.spec(name) for name in read.names} == {spec.alias: spec for spec in specs}


@SAME_FOLDER
@given(REGISTRIES, REGISTRIES)
def test_a_file_is_edited_into_any_other(tmp_path: Path, before: list[Spec], after: list[Spec]) -> None:
    path = tmp_path / "devices.toml"
    path.unlink(missing_ok=True)
    of(before).save(path)
    of(after).save(path)
    assert Registry.load(path).tables == of(after).tables


TOML_LIKE = st.text(alphabet=string.printable, max_size=200) | st.lists(
    st.sampled_from(
        [
            "schema_version = 1",
            "schema_version = 2",
            "[devices]",
            "[devices.a]",
            "[devices.'-a b']",
            "link = 3",
            'link = "ssh"',
            'host = "b"',
            "port = 22",
            "x = [1, 2]",
            "y = {a = 1}",
            "z = 1979-05-27",
            "[other]",
            "[[devices]]",
            "devices = 3",
            'preset = ""',
            "devices.a.b.c = nan",
            'runtime = "\\u0000"',
        ]
    ),
    max_size=8,
).map("\n".join)


@SAME_FOLDER
@given(st.binary(max_size=300) | TOML_LIKE.map(str.encode))
def test_any_bytes_are_devices_or_an_error_that_names_the_file(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "devices.toml"
    path.write_bytes(data)
    try:
        registry = Registry.load(path)
        for name in registry.names:
            assert registry.spec(name).alias == name
    except RegistryError as error:
        assert str(path) in str(error)  # noqa: PT017  # either is right


@SAME_FOLDER
@given(TOML_LIKE)
def test_a_file_of_a_persons_hand_is_edited_or_left_as_it_is(tmp_path: Path, text: str) -> None:
    path = tmp_path / "devices.toml"
    path.write_bytes(text.encode())
    new = Spec("new", "ssh", options={"host": "there"})
    try:
        registry = Registry.load(path)
        registry.adding(new).save(path)
    except RegistryError:
        assert path.read_bytes() == text.encode()
        return
    assert Registry.load(path).tables == {**registry.tables, "new": new.to_table()}


def test_what_a_person_wrote_beside_the_entries_stays(tmp_path: Path) -> None:
    path = tmp_path / "devices.toml"
    path.write_text(
        '# my boards\nschema_version = 1\n\n# on the shelf\n[devices.one]\nlink = "ssh"   # by cable\n'
        'host = "a" # the first\n\n# in the kitchen\n[devices.two]\nlink = "ssh"\nhost = "b"\n# end'
    )
    registry = Registry.load(path)
    registry.adding(Spec("one", "ssh", options={"host": "c", "port": 22})).save(path)
    text = path.read_text()
    for kept in ("# my boards", "# on the shelf", "# by cable", "# the first", "# end"):
        assert kept in text
    assert "# in the kitchen\n[devices.two]" in text
    assert tomllib.loads(text)["devices"]["one"] == {"link": "ssh", "host": "c", "port": 22}
    Registry.load(path).without("one").save(path)
    text = path.read_text()
    assert "# in the kitchen\n[devices.two]" in text
    assert "# the first" not in text
    assert list(tomllib.loads(text)["devices"]) == ["two"]


@pytest.mark.parametrize(
    "text",
    [
        'schema_version = 1\ndevices.a = {link = "ssh", host = "h"}\n',
        'schema_version = 1\n[devices]\na.link = "ssh"\na.host = "h"\n',
        'schema_version = 1\n[devices]\n[devices.a]\nhost = "h"\nlink = "ssh"',
        'schema_version = 1\n  [ devices . "a" ]\nlink = "ssh"\nhost = "h"\nx = [\n  "1",\n]\n',
    ],
)
def test_entries_may_be_written_in_any_of_tomls_ways(tmp_path: Path, text: str) -> None:
    path = tmp_path / "devices.toml"
    path.write_text(text)
    Registry.load(path).adding(Spec("b", "local")).save(path)
    Registry.load(path).adding(Spec("a", "ssh", options={"host": "other"})).save(path)
    read = Registry.load(path)
    assert (read.spec("a").options, read.spec("b").link) == ({"host": "other"}, "local")
    read.without("a").save(path)
    assert Registry.load(path).names == ["b"]


def test_the_file_is_for_its_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "devices.toml"
    Registry().adding(Spec("a", "local")).save(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["devices.toml"]
    path.chmod(0o666)
    with pytest.raises(RegistryError, match="can be written by everybody: chmod 600"):
        Registry.load(path)


def test_a_link_in_place_of_the_file_stays_one(tmp_path: Path) -> None:
    path, real = tmp_path / "devices.toml", tmp_path / "dotfiles.toml"
    real.write_text("schema_version = 1\n")
    path.symlink_to(real)
    Registry.load(path).adding(Spec("a", "local")).save(path)
    assert path.is_symlink()
    assert Registry.load(real).names == ["a"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "devices.toml"
    Registry().adding(Spec("a", "local")).save(path)

    def fail(*paths: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(RegistryError, match=r"cannot write .*: No space left on device"):
        Registry().adding(Spec("b", "local")).save(path)
    assert Registry.load(path).names == ["a"]
    assert [file.name for file in tmp_path.iterdir()] == ["devices.toml"]


def test_no_file_is_no_devices(tmp_path: Path) -> None:
    assert Registry.load(tmp_path / "none.toml").names == []
    with pytest.raises(RegistryError, match="cannot read"):
        Registry.load(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "schema_version is missing: its first line is"),
        ('schema_version = "1"', "schema_version is missing"),
        ("schema_version = 2", "schema_version is 2, not 1; a newer hwprofile wrote it: upgrade"),
        ("schema_version = 0", "no hwprofile wrote that"),
        ("schema_version = 1\nhost = 3", "what is 'host'\\? Every device is a table"),
        ("schema_version = 1\ndevices = 3", "what is 'devices'"),
        ("schema_version =", "not a usable TOML file"),
        ("schema_version = 1\n" + "x = [" * 5000, "not a usable TOML file"),
        ("#" * (LARGEST_FILE_BYTES + 1), "is larger than"),
    ],
)
def test_what_is_no_file_of_devices_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "devices.toml"
    path.write_text(text)
    with pytest.raises(RegistryError, match=message):
        Registry.load(path)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (3, "the entry is a table, got 3"),
        ({}, "link is missing"),
        ({"link": 3}, "link is one word, got 3"),
        ({"link": "s s h"}, "link is one word"),
        ({"link": "ssh", "runtime": ""}, "runtime is one word, got ''"),
        ({"link": "ssh", "Host": "a"}, "'Host' is no key"),
        ({"link": "ssh", "host": "a\nb"}, "host is a line of at most 1000 printable characters"),
        ({"link": "ssh", "host": "a" * 1001}, "host is a line"),
        ({"link": "ssh", "port": 2.5}, "port is a text, a number below 2\\^31 or a list of texts, got 2.5"),
        ({"link": "ssh", "port": True}, "port is a text, .*, got True"),
        ({"link": "ssh", "port": 2**31}, "port is a text, .*, got 2147483648"),
        ({"link": "ssh", "more": {"a": 1}}, "more is a text"),
        ({"link": "ssh", "more": [1]}, "more is a list of at most 100 texts"),
    ],
)
def test_a_wrong_entry_names_itself_its_key_and_the_cure_and_harms_no_other(table: Any, message: str) -> None:
    registry = Registry({"bad": table, "good": {"link": "local"}}, Path("devices.toml"))
    assert registry.spec("good") == Spec("good", "local")
    with pytest.raises(RegistryError, match=f"devices.toml: device 'bad': {message}.*; edit the file"):
        registry.spec("bad")


@pytest.mark.parametrize("alias", ["", "-x", "a b", "a/b", "replay:x", "é", "a" * 65, "a\n"])
def test_a_name_that_no_file_could_bear_is_refused(alias: str) -> None:
    with pytest.raises(ValueError, match="is no name of a device"):
        Spec(alias, "local")
