"""The page: sections where their input is, nothing that a file says is believed, nothing is loaded."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from hwprofile.cli import main
from hwprofile.errors import UserError
from hwprofile.profile import Profile
from hwprofile.profile_lines import Header
from hwprofile.report.page import report
from ponas_core.score_table import ScoreTable
from ponas_core.space_file import shipped_space
from tests.hwprofile.made_up import SOURCE, write_made_up_profile
from tests.hwprofile.report.pages import result_json, search_json, validation_json

EVIL = "</script></style>\"'><img src=x onerror=alert(1)>"


class Read(HTMLParser):
    """Elements with their attributes, and their texts; every element that is opened must be closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        assert len(dict(attrs)) == len(attrs), "an attribute twice"
        if tag not in {"meta", "input"}:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self._open[-1] if self._open else "", data))

    def counts(self) -> Counter[str]:
        return Counter(tag for tag, _ in self.elements)

    def text_of(self, tag: str) -> list[str]:
        return [text.strip() for inside, text in self.texts if inside == tag]


@pytest.fixture(scope="module")
def whole(every_kind: list[Path]) -> str:
    """A page of everything."""
    return report(every_kind)


def titles(page: str) -> list[str]:
    return [title.split(":")[0] for title in Read(page).text_of("h2") if title]


def test_a_page_of_everything_has_every_section(whole: str) -> None:
    assert Counter(titles(whole)) == {
        "Chosen network": 1, "Pareto front": 2, "Device and conditions": 2, "Latency table": 2,
        "Predicted against measured": 3, "Model": 1, "Two profiles": 1, "Search": 1,
    }  # fmt: skip


def test_a_section_is_only_where_its_input_is(tmp_path: Path, tiny_profile: Path) -> None:
    (tmp_path / "validation.json").write_text(json.dumps(validation_json()))
    (tmp_path / "result.json").write_text(json.dumps(result_json(Profile.load(tiny_profile))))
    assert titles(report([tmp_path / "validation.json"])) == ["Predicted against measured"]
    assert titles(report([tmp_path])) == ["Chosen network"]
    assert "Two profiles" not in titles(report([tiny_profile]))


def test_one_page_one_heading_names_that_differ_and_a_language(whole: str) -> None:
    read = Read(whole)
    counts = read.counts()
    assert (counts["h1"], counts["main"], counts["script"]) == (1, 1, 1)
    assert read.elements[0] == ("html", {"lang": "en"})
    names = [attributes["id"] for _, attributes in read.elements if "id" in attributes]
    assert len(set(names)) == len(names)
    targets = [attributes["href"] for tag, attributes in read.elements if tag == "a"]
    assert {f"#{name}" for name in names} >= set(targets)
    assert counts["table"] == counts["caption"]
    assert all(attributes.get("aria-label") for tag, attributes in read.elements if tag == "svg")


def test_nothing_is_loaded_and_only_its_own_script_may_run(whole: str) -> None:
    read = Read(whole)
    loading = {"src", "srcset", "action", "data", "poster", "background", "xlink:href"}
    assert not any(loading & set(attributes) for _, attributes in read.elements)
    assert not {"link", "img", "iframe", "object", "embed", "form", "base", "use", "image"} & set(
        read.counts()
    )
    assert "url(" not in whole
    assert "@import" not in whole
    policy = next(found["content"] for _, found in read.elements if "http-equiv" in found)
    [script] = [text for tag, text in read.texts if tag == "script"]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy is not None
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}';" in policy


def test_a_page_without_a_front_has_no_script_and_allows_none(tmp_path: Path) -> None:
    path = tmp_path / "validation.json"
    path.write_text(json.dumps(validation_json()))
    page = report([path])
    assert "<script" not in page
    assert "script-src &#39;none&#39;" in page


def test_without_a_script_the_front_is_a_table(whole: str) -> None:
    rows = [attributes for tag, attributes in Read(whole).elements if tag == "tr" and "data-ms" in attributes]
    assert len(rows) > 10
    assert sum("chosen" in (row.get("class") or "") for row in rows) == 1
    hidden = [found for _, found in Read(whole).elements if found.get("class") == "slider"]
    assert hidden
    assert all("hidden" in found for found in hidden)


def test_what_has_no_latency_is_marked_and_never_zero(tmp_path: Path, tiny_profile: Path) -> None:
    space = shipped_space("cifar-tiny")
    layer = space.layers[0]
    broken = next(key for op in range(len(layer.blocks)) if (key := layer.key(op)) is not None)
    lines = []
    for line in tiny_profile.read_text().splitlines():
        row = json.loads(line)
        if row.get("name") == broken and row["row"] == "block":
            kept = {name: row[name] for name in ("row", "name", "round", "process")}
            row = kept | {"error": "refused", "failure": "refused"}
        lines.append(json.dumps(row))
    path = tmp_path / "broken.profile.jsonl"
    path.write_text("\n".join(lines) + "\n")
    page = report([path])
    assert titles(page) == ["Device and conditions", "Latency table"]
    assert "no latency model of this profile" in page
    heat = page[page.index('<table class="heat">') :]
    heat = heat[: heat.index("</table>")] + "</table>"
    cells = [text for tag, text in Read(heat).texts if tag == "td" and text.strip()]
    assert {"failed", "skip", "–"} <= set(cells)
    figures = [float(cell) for cell in cells if cell not in {"failed", "skip", "–"}]
    assert min(figures) > 0


def test_a_disturbed_profile_is_called_so_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "validation.json"
    path.write_text(json.dumps(validation_json("a neighbour was loud")))
    assert "DISTURBED profile: a neighbour was loud." in report([path])


def test_what_a_file_says_stays_text(tmp_path: Path, cpu_header: Callable[[str], Header]) -> None:
    header = cpu_header("cifar-tiny")
    evil = replace(
        header, device=EVIL, identity={**header.identity, EVIL: EVIL}, software={EVIL: [EVIL]}, created=EVIL
    )
    profile = write_made_up_profile(tmp_path / "<b>.profile.jsonl", shipped_space("cifar-tiny"), evil)
    other = replace(evil, subject=EVIL, space=EVIL)
    text = profile.path.read_text().splitlines()
    lost = tmp_path / "lost.profile.jsonl"
    rows = [line for line in text[1:] if '"network"' not in line and '"chosen"' not in line]
    lost.write_text("\n".join([json.dumps(other.to_json()), *rows]) + "\n")
    result = result_json(profile) | {"device": EVIL, "budget_text": [EVIL], "score_meaning": EVIL}
    result |= {"profile_disturbed": EVIL, "space": EVIL, "blocks": [EVIL], "score_kind": EVIL}
    search = search_json(EVIL) | {"method": EVIL, "settings": {EVIL: EVIL}, "space": EVIL}
    for name, document in {"r": result, "s": search, "v": validation_json(EVIL) | {"space": EVIL}}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(document))
    page = report([profile.path, lost, *(tmp_path / f"{name}.json" for name in "rsv")])
    read = Read(page)
    assert "img" not in read.counts()
    assert not any("onerror" in attributes for _, attributes in read.elements)
    assert (read.counts()["script"], read.counts()["style"]) == (1, 1)
    assert EVIL not in page
    assert sum(EVIL in text for _, text in read.texts) > 10


def test_energies_and_parts_of_a_latency_are_columns_where_they_were_read(
    tmp_path: Path, cpu_header: Callable[[str], Header], tiny_profile: Path
) -> None:
    plain = Read(report([tiny_profile])).text_of("th")
    assert not {"mJ", "h2d, ms"} & set(plain)
    path = tmp_path / "energy.profile.jsonl"
    with_energy = replace(cpu_header("cifar-tiny"), energy=SOURCE)
    write_made_up_profile(path, shipped_space("cifar-tiny"), with_energy, rounds=2)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        if row.get("row") == "block":
            row |= {"cpu_ns": None, "h2d_ns": [2_000_000] * len(row["wall_ns"])}
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    page = report([path])
    assert {"mJ", "h2d, ms"} <= set(Read(page).text_of("th"))
    assert "rapl package-0: processor package" in page


def test_profiles_that_share_nothing_are_told_apart(
    tmp_path: Path, tiny_profile: Path, macro_profile: Path
) -> None:
    page = report([tiny_profile, macro_profile])
    assert "They cannot be compared" in page
    assert titles(page).count("Latency table") == 2


def test_the_front_is_of_what_a_search_found_where_its_space_has_no_accuracies(
    tmp_path: Path, proxyless_profile: Path
) -> None:
    space = shipped_space("proxyless")
    assert "multiply-accumulates stand in" in report([proxyless_profile])
    rows = tuple(np.arange(count, dtype=np.float64) for count in space.op_counts)
    scores = tmp_path / "scores.json"
    ScoreTable("proxyless", "custom", "found by a search", rows).save(scores)
    page = report([scores, proxyless_profile])
    assert "multiply-accumulates stand in" not in page
    assert "found by a search" in page
    with pytest.raises(UserError, match="score table alone"):
        report([scores])


def test_the_command_writes_the_page(tmp_path: Path, tiny_profile: Path) -> None:
    out = tmp_path / "page.html"
    done = CliRunner().invoke(main, ["report", str(tiny_profile), "--out", str(out)])
    assert (done.exit_code, done.stdout) == (0, f"{out}: open it in a browser\n")
    assert "Pareto front" in out.read_text()


def test_the_command_says_what_it_cannot_use(tmp_path: Path, tiny_profile: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("nothing")
    done = CliRunner().invoke(main, ["report", str(tiny_profile), str(path)])
    assert done.exit_code == 1
    assert f"{path} is no JSON" in done.stderr
    assert CliRunner().invoke(main, ["report"]).exit_code == 2
    unwritable = CliRunner().invoke(main, ["report", str(tiny_profile), "--out", str(tmp_path)])
    assert unwritable.exit_code == 1
    assert "cannot write" in unwritable.stderr
