"""What the pages say can be typed is typed: commands, scripts and Python, in the order of the page.

Every page has a folder and a `HWPROFILE_HOME` of its own. What cannot be run here stands in `NOT_RUN`, with
the reason; `make test-all` runs the rest. Lines for other programs (ssh, adb, ...) are for other machines.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from devices.catalog import device
from devices.settings import Settings
from hwprofile import places
from hwprofile.catalog import family_named
from hwprofile.matching import device_header
from ponas_core.space_file import shipped_space
from tests.hwprofile.made_up import write_made_up_profile
from tests.test_readme import PAGES, ROOT

BOARD = "needs the board"
PATTERN = "a pattern, not a command"
OTHERS_FILE = (
    "needs a published file that is not ours to ship; tests/hwprofile/tables runs it where it is at hand"
)
LONG = "takes minutes; what it does is tested on smaller ones"
NOT_RUN = {
    r"--device (jetson|kitchen|pi|phone|server|slate|gpu)\b": BOARD,
    r"devices check (jetson|kitchen|pi|phone|server|slate|gpu)\b": BOARD,
    r"bench .*--runtime tensorrt": "needs an NVIDIA GPU",
    r"--fleet tcp://host:8786": "needs a fleet; tests/hwprofile/fleet runs it on one of this computer's own",
    r"--energy|--budget 2mJ": "needs a device that tells energy",
    r"--arch 0,6,6,\.\.\.": PATTERN,
    r"--space S\b": PATTERN,
    r"--device table:": OTHERS_FILE,
    r"tabular:acc\.csv:val": "needs published accuracies and latencies",
    r"bench --space proxyless --inline": LONG,
    r"bench --space proxyless --runtime litert": LONG,
    r"validate --space proxyless": LONG,
    r"specialize --space proxyless --scores macs --budget 5ms": LONG,
    r"search proxyless --space digits": LONG,
    r"digits-search": "README's search under another name",
    r"--space cifar-tiny --data cifar": "needs CIFAR-10; " + LONG,
    r"bench --kernels --kernel-count 1000": LONG,
    r"python3 -m venv \.venv": "installs; `.ci/wheel-check` does that",
    r"search .*--fleet tcp": "needs other computers; tests/hwprofile/fleet starts workers and does it",
    r"torchvision": "needs torchvision and a download",
    r"^import torch\nfrom pathlib": "needs images of the reader's; " + LONG,
    r"MBv3LatencyTable|MutableExpression": "needs other people's packages; tested by `-m hosts`",
    r"^table = CalibratedTable\(blocks\)": "shows the calls of an interface; tests/predictors hold it",
    r"^(python|torchrun) .*(benchmarks|cifar)": "makes the figures of the page; takes minutes to hours",
    r"^make ": "sets up environments; `.ci/run` does that",
    r"^python3? -(m venv|c)": "is for the device",
}
"""Patterns of what is not run, and why."""
FENCE = re.compile(r"```(python|sh|toml)\n(.*?)```", re.DOTALL)
TOML_FILES = {"spaces.md": "tiny.toml", "own-blocks.md": "with-mine.toml"}
"""Names under which the TOML in a page is saved."""
PRELUDES = {
    "tables.md": "import numpy as np, torch\nfrom ponas_core.space_file import shipped_space\n"
    "cross_entropy = torch.tensor(1.0)\n"
    "alphas = [torch.zeros(count, requires_grad=True) for count in shipped_space('proxyless').op_counts]\n",
}
"""What the Python of a page takes for granted."""
SLOWER_IS_AN_ANSWER = {"compare": (0, 5), "sh": (0, 5)}
TYPED = re.compile(r"(\$ )?(hwprofile (--version|[a-z]+)( |$)|python3? -|make |torchrun )")


@dataclass(frozen=True, slots=True)
class Step:
    """Something that a page says can be typed.

    Attributes:
        kind: `command`, or the language of a block.
        text: what is typed.
    """

    kind: str
    text: str

    def why_not(self) -> str | None:
        """Why it is not run here."""
        return next((reason for pattern, reason in NOT_RUN.items() if re.search(pattern, self.text)), None)


def steps_of(page: Path) -> Iterator[Step]:
    """All of a page, in order."""
    text = page.read_text("utf-8")
    place = 0
    for fence in FENCE.finditer(text):
        yield from _commands(text[place : fence.start()])
        yield Step(fence[1], fence[2])
        place = fence.end()
    yield from _commands(text[place:])


def _commands(text: str) -> Iterator[Step]:
    for line in text.splitlines():
        if TYPED.match(line.strip()) and line.startswith("    "):
            yield Step("command", line.split("#")[0].strip().removeprefix("$ ").strip())


STEPS = {page.name: list(steps_of(page)) for page in PAGES}
TO_RUN = {name: steps for name, steps in STEPS.items() if any(not step.why_not() for step in steps)}


@dataclass(frozen=True, slots=True)
class Desk:
    """A folder with a home, in which a page is followed."""

    folder: Path

    def run(self, page: str, step: Step) -> None:
        """Do what a page says.

        Raises:
            AssertionError: it failed.
        """
        if step.kind == "toml":
            (self.folder / TOML_FILES[page]).write_text(step.text)
            return
        name, command = self._command(page, step)
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        assert done.returncode in SLOWER_IS_AN_ANSWER.get(name, (0,)), f"{step.text}\n{done.stderr}"

    def _command(self, page: str, step: Step) -> tuple[str, list[str]]:
        if step.kind == "python":
            return "python", [sys.executable, "-c", PRELUDES.get(page, "") + textwrap.dedent(step.text)]
        if step.kind == "sh":
            return "sh", ["sh", "-c", step.text]
        program, *arguments = shlex.split(step.text)
        assert program == "hwprofile"
        return arguments[0], [sys.executable, "-m", "hwprofile", *arguments]

    def _environment(self) -> dict[str, str]:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        python_path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        home = str(self.folder / "home")
        return {**os.environ, "PATH": path, "PYTHONPATH": python_path, "HWPROFILE_HOME": home}


def write_networks(path: Path, space: str, count: int, *, measured: bool = False) -> None:
    """A CSV file of networks, with made-up latencies where they were measured."""
    rng = np.random.default_rng(count)
    family = family_named(space)
    networks = {str(family.sample(rng)) for _ in range(count)}
    rows = [f'"{network}",{rng.uniform(1, 2):.4f}' if measured else f'"{network}"' for network in networks]
    path.write_text("\n".join(["arch,latency_ms" if measured else "arch", *rows]) + "\n")


def prepare_readme(folder: Path) -> None:
    """Files that README names."""
    for name in ("PROFILE", "BEFORE", "AFTER"):
        made_up("cifar-tiny", folder / name)
    made_up("cifar-tiny")
    made_up("proxyless")
    write_networks(folder / "nets.csv", "cifar-tiny", 5)
    write_networks(folder / "measured.csv", "cifar-tiny", 30, measured=True)
    for name in ("old1.csv", "old2.csv"):
        write_networks(folder / name, "fbnet", 25, measured=True)
    _bench_kernels(folder)
    _a_network(folder)
    (folder / "my_models").mkdir()
    (folder / "my_models" / "net.onnx").write_bytes((folder / "net.onnx").read_bytes())


def prepare_predictors(folder: Path) -> None:
    """Files that the page on predictors names."""
    made_up("proxyless")
    write_networks(folder / "measured.csv", "fbnet", 30, measured=True)
    write_networks(folder / "others.csv", "fbnet", 5)
    write_networks(folder / "nets.csv", "proxyless", 5)
    _bench_kernels(folder)
    _a_network(folder)


def prepare_own_search(folder: Path) -> None:
    """Files of the page before: a profile; and what a search found."""
    made_up("cifar-tiny")
    made_up("cifar-tiny", folder / "before.profile.jsonl")
    write_networks(folder / "found.csv", "cifar-tiny", 3)


def prepare_tables(folder: Path) -> None:
    """Profiles whose tables are written."""
    made_up("proxyless")
    made_up("digits")
    write_networks(folder / "nets.csv", "proxyless", 3)
    write_networks(folder / "measured.csv", "nasbench-macro", 30, measured=True)


def prepare_ci(folder: Path) -> None:
    """Somebody's models."""
    _a_network(folder)
    (folder / "my_models").mkdir()
    (folder / "net.onnx").rename(folder / "my_models" / "net.onnx")


def prepare_hosts(folder: Path) -> None:
    """A profile to plug in."""
    made_up("cifar-tiny", folder / "mine.profile.jsonl")


def prepare_report(folder: Path) -> None:
    """One of everything that a report shows."""
    for name in ("cpu", "before", "after"):
        made_up("cifar-tiny", folder / f"{name}.profile.jsonl")
    made_up("cifar-tiny")
    desk = Desk(folder)
    for line in (
        "hwprofile specialize --profile cpu.profile.jsonl --no-measure --budget 60% --out demo",
        "hwprofile search random --space cifar-tiny --evaluator tabular --evaluations 40 --out search",
    ):
        desk.run("", Step("command", line))
    line = "hwprofile validate --profile cpu.profile.jsonl --networks 4 --processes 2 --json >validation.json"
    desk.run("", Step("sh", line))


def prepare_phone(folder: Path) -> None:
    """The program and the library that go to a phone."""
    for name in ("onnxruntime_perf_test", "libonnxruntime.so"):
        (folder / name).write_bytes(b"\x7fELF")


PREPARED: dict[str, Callable[[Path], None]] = {
    "README.md": prepare_readme,
    "ci.md": prepare_ci,
    "devices-phone.md": prepare_phone,
    "hosts.md": prepare_hosts,
    "own-search.md": prepare_own_search,
    "predictors.md": prepare_predictors,
    "report.md": prepare_report,
    "tables.md": prepare_tables,
}


def made_up(space: str, path: Path | None = None) -> None:
    """A finished profile of this machine in a file, or where the commands look for it."""
    settings = Settings()
    target = path or places.profile_path("cpu", space, settings)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_made_up_profile(target, shipped_space(space), device_header(device("cpu", settings), space, space))


def _bench_kernels(folder: Path) -> None:
    Desk(folder).run(
        "", Step("command", "hwprofile bench --kernels --kernel-count 20 --rounds 3 --precision 50")
    )


def _a_network(folder: Path) -> None:
    Desk(folder).run("", Step("command", "hwprofile export --arch 1,0,1,0,1,3 --out net.onnx"))


@pytest.mark.slow
@pytest.mark.parametrize("page", TO_RUN)
def test_a_page_can_be_followed(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HWPROFILE_HOME", str(tmp_path / "home"))
    if page in PREPARED:
        PREPARED[page](tmp_path)
    for step in TO_RUN[page]:
        if step.why_not() is None and not (step.kind == "toml" and page not in TOML_FILES):
            Desk(tmp_path).run(page, step)


@pytest.mark.parametrize("pattern", NOT_RUN)
def test_what_is_not_run_stands_in_a_page(pattern: str) -> None:
    assert any(re.search(pattern, step.text) for steps in STEPS.values() for step in steps)


def test_most_of_what_can_be_typed_is_run() -> None:
    steps = [step for steps in STEPS.values() for step in steps if step.kind != "toml"]
    assert sum(step.why_not() is None for step in steps) >= 60
