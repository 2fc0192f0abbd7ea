"""The examples for other people's packages run with the real ones, each in an environment of its own."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path

import pytest
from click.testing import CliRunner

from devices.catalog import device
from devices.settings import Settings
from hwprofile.catalog import space_named
from hwprofile.cli import main
from hwprofile.matching import device_header
from hwprofile.profile_lines import Header
from tests.hwprofile.made_up import write_made_up_profile
from tests.hwprofile.made_up_kernels import write_kernels_profile

pytestmark = pytest.mark.hosts
ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples" / "hosts"
BUDGET_MS = 0.2
LINE = re.compile(r"(\w+) (\S+) (?:at least )?([0-9.]+) ms")
NO_NETWORK = re.compile(
    r"NewConnectionError|ConnectTimeout|NameResolution|Network is unreachable|Read timed out"
)
TORCHVISION = """
# torchvision's own operators need the CUDA build of torch; models need none of them, but it names these two
import importlib.metadata, runpy, sys, torch
if "+cpu" in importlib.metadata.version("torch"):
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor boxes, Tensor scores, float threshold) -> Tensor")
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


class Hosts:
    """Makes environments that see our checkout and our libraries, so that only the host is installed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pinned = folder / "pinned.txt"
        self.pinned.write_text(f"torch=={version('torch').split('+')[0]}\n")

    def python(self, *packages: str) -> Path:
        """An interpreter with these packages; skips the test where pip reaches no index."""
        found = self.folder / packages[0]
        venv.create(found, with_pip=False)
        python = found / "bin" / "python"
        site = Path(sysconfig.get_path("purelib", vars={"base": str(found), "platbase": str(found)}))
        libraries = [folder for folder in sys.path if folder.endswith("site-packages")]
        (site / "ours.pth").write_text("\n".join([str(ROOT), *libraries]))
        pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
        install = [*pip, "install", "--quiet", "--constraint", str(self.pinned), *packages]
        done = subprocess.run(install, capture_output=True, text=True, check=False)
        if NO_NETWORK.search(done.stderr):
            pytest.skip(f"pip reaches no index for {packages[0]}")
        assert done.returncode == 0, done.stderr
        return python


@pytest.fixture(scope="session")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Hosts:
    return Hosts(tmp_path_factory.mktemp("hosts"))


def output_of(folder: Path, python: Path, *arguments: object) -> list[str]:
    """Lines that an example prints, run in a folder that is its home too."""
    done = subprocess.run(
        [str(python), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={
            "PYTHONPATH": str(ROOT),
            "HOME": str(folder),
            "HWPROFILE_HOME": str(folder / "home"),
            "PATH": "/usr/bin:/bin",
        },
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def printed(lines: list[str]) -> dict[str, float]:
    """Latencies that an example printed, milliseconds, by network or file."""
    return {match[2]: float(match[3]) for line in lines if (match := LINE.fullmatch(line))}


def predicted(space: str, profile: Path, networks: list[str], folder: Path) -> dict[str, float]:
    """What `hwprofile predict` says of networks, milliseconds."""
    file = folder / "networks.csv"
    with file.open("w", encoding="utf-8") as stream:
        csv.writer(stream).writerows([["arch"], *([network] for network in networks)])
    of = ["predict", "--space", space, "--profile", str(profile), "--networks", str(file)]
    result = CliRunner().invoke(main, of)
    assert result.exit_code == 0, result.output
    rows = csv.DictReader(result.stdout.splitlines())
    return {name: float(row["latency_ms"]) for name, row in zip(networks, rows, strict=True)}


@pytest.mark.parametrize(
    ("example", "packages"),
    [
        ("optuna_search", ("optuna",)),
        ("optuna_search", ("optuna<5",)),
        ("pymoo_search", ("pymoo",)),
        ("syne_tune_search", ("syne-tune",)),
        ("nni_profiler", ("nni==3.0", "pytorch_lightning")),
        ("archai_search", ("archai", "pandas")),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_a_search_prints_what_we_predict_and_holds_the_budget(
    example: str, packages: tuple[str, ...], hosts: Hosts, home: Path, tiny_profile: Path, tmp_path: Path
) -> None:
    python = hosts.python(*packages)
    more = [tmp_path / "outputs"] if example == "archai_search" else []
    found = printed(output_of(tmp_path, python, EXAMPLES / f"{example}.py", tiny_profile, BUDGET_MS, *more))
    if example == "nni_profiler":
        assert 0 < found.pop("latency") <= BUDGET_MS  # an expectation that its gradient has lowered
    assert len(found) > 2
    assert max(found.values()) <= BUDGET_MS
    assert found == pytest.approx(predicted("cifar-tiny", tiny_profile, list(found), tmp_path), rel=1e-6)


def test_evolution_of_once_for_all_works_on_our_latencies_at_two_resolutions(
    hosts: Hosts, home: Path, tmp_path: Path
) -> None:
    profiles = {}
    for origin in ("ofa-mbv3@160", "ofa-mbv3"):
        space = space_named(origin)
        path = tmp_path / f"r{space.shape_in.height}.profile.jsonl"
        write_made_up_profile(path, space, device_header(device("cpu", Settings()), space.name, origin))
        profiles[space.shape_in.height] = (origin, path)
    python, files = hosts.python("ofa", "torchvision"), [path for _, path in profiles.values()]
    program = ("-c", TORCHVISION, EXAMPLES / "ofa_search.py")
    for budget_ms in (7.5, 12.8):
        ((text, latency_ms),) = printed(output_of(tmp_path, python, *program, budget_ms, *files)).items()
        resolution, network = text.split(":")
        origin, path = profiles[int(resolution.removeprefix("r"))]
        assert latency_ms <= budget_ms
        expected = predicted(origin, path, [network], tmp_path)[network]
        assert latency_ms == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("exporter", [(), ("onnxscript",)], ids=["older exporter", "onnxscript"])
def test_models_of_timm_are_predicted_as_their_files_are(
    exporter: tuple[str, ...],
    hosts: Hosts,
    home: Path,
    cpu_header: Callable[[str], Header],
    tmp_path: Path,
) -> None:
    profile = write_kernels_profile(tmp_path, cpu_header)
    python = hosts.python(*exporter, "timm")
    program = ("-c", TORCHVISION, EXAMPLES / "timm_models.py", profile, tmp_path)
    lines = output_of(tmp_path, python, *program, "resnet18", "mobilenetv3_small_050")
    assert len(lines) == 2
    for line in lines:
        file, *_, latency_ms, _ = line.split()
        result = CliRunner().invoke(main, ["predict", "--onnx", file, "--profile", str(profile), "--json"])
        assert result.exit_code == 0, result.output
        (found,) = json.loads(result.stdout)["files"]
        assert found["unknown"] == {}
        assert float(latency_ms) == pytest.approx(found["median_ms"], rel=1e-6)


def test_a_pipeline_of_scikit_learn_learns_with_our_regressors(tiny_profile: Path, tmp_path: Path) -> None:
    lines = output_of(tmp_path, Path(sys.executable), EXAMPLES / "sklearn_pipeline.py", tiny_profile)
    found: Mapping[str, float] = {line.split(":")[0]: float(line.split()[2]) for line in lines}
    assert found["ridge"] > 0.99  # the profile's model is a sum, and so is ridge
    assert found["forest"] > 0.5
