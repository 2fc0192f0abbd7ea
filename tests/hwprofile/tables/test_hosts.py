"""Other people's packages read our tables, each in an environment of its own."""

from __future__ import annotations

import csv
import json
import subprocess
import venv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from devices.catalog import device
from devices.settings import Settings
from hwprofile.catalog import space_named
from hwprofile.cli import main
from hwprofile.latency import SpaceLatency
from hwprofile.matching import device_header
from hwprofile.profile import Profile
from ponas_core.blocks import MBConv, PoolLinear, Skip
from ponas_core.space import Architecture, Layer
from tests.hwprofile.made_up import write_made_up_profile
from tests.hwprofile.tables.published import WIDE

pytestmark = pytest.mark.hosts
OFA = "ofa==0.1.0.post202307202001"
PROGRAM = """
import importlib.util, json, pathlib, site, sys, types
import yaml

# as PyYAML was before 6.0; and of `ofa.utils` only the import, which would need torch and torchvision
load = yaml.load
yaml.load = lambda stream: load(stream, yaml.SafeLoader)
utils = types.ModuleType("ofa.utils")
utils.download_url = utils.make_divisible = None
utils.MyNetwork = type("MyNetwork", (), {"CHANNEL_DIVISIBLE": 8})
sys.modules["ofa"], sys.modules["ofa.utils"] = types.ModuleType("ofa"), utils


def of_package(path):
    file = pathlib.Path(site.getsitepackages()[0]) / "ofa" / path
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


table, resolution, networks, specs = sys.argv[1], int(sys.argv[2]), *map(json.loads, sys.stdin)
classes = of_package("nas/efficiency_predictor/latency_lookup_table.py")
style = classes.MBv3LatencyTable if "final_expand_layer" in networks[0] else classes.ProxylessNASLatencyTable
theirs = style(url=table)
print(json.dumps([theirs.predict_network_latency_given_config(network, resolution) for network in networks]))
if specs:
    tutorial = of_package("tutorial/latency_table.py").LatencyEstimator(url=table)
    print(json.dumps([tutorial.predict_network_latency_given_spec(spec) for spec in specs]))
"""


@pytest.fixture(scope="module")
def interpreter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with Once-for-All's package and PyYAML, and nothing else."""
    folder = tmp_path_factory.mktemp("host")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    install = [python, "-I", "-m", "pip", "install", "--quiet", "--no-deps", OFA, "pyyaml>=6"]
    subprocess.run(list(map(str, install)), check=True)
    return python


def block_config(layer: Layer, op: int) -> dict[str, Any]:
    """A block as their networks write it into their configurations."""
    block, place = layer.blocks[op], layer.place
    if isinstance(block, Skip):
        return {"mobile_inverted_conv": None, "shortcut": {"name": "IdentityLayer"}}
    assert isinstance(block, MBConv)
    convolution = {
        "name": "MBInvertedConvLayer",
        "in_channels": place.shape_in.channels,
        "out_channels": place.channels_out,
        "kernel_size": block.kernel,
        "stride": place.stride,
        "expand_ratio": block.expansion,
        "mid_channels": None,
        "act_func": {"hswish": "h_swish"}.get(place.activation, place.activation),
        "use_se": block.squeeze_excite is not None,
    }
    shortcut = {"name": "IdentityLayer"} if place.keeps_shape else None
    return {"mobile_inverted_conv": convolution, "shortcut": shortcut}


def config(network: Architecture) -> dict[str, Any]:
    """A network's configuration as theirs."""
    stem, *blocks, head, last = network.chain
    classifier = last[0].blocks[0]
    assert isinstance(classifier, PoolLinear)

    def channels(layer: Layer) -> dict[str, int]:
        return {"in_channels": layer.place.shape_in.channels, "out_channels": layer.place.channels_out}

    found: dict[str, Any] = {
        "first_conv": channels(stem[0]),
        "blocks": [block_config(layer, op) for layer, op in blocks],
    }
    classes, wide = last[0].place.channels_out, last[0].place.shape_in.channels
    if not classifier.hidden:
        return found | {
            "feature_mix_layer": channels(head[0]),
            "classifier": {"in_features": wide, "out_features": classes},
        }
    return found | {
        "final_expand_layer": channels(head[0]),
        "feature_mix_layer": {"in_channels": wide, "out_channels": classifier.hidden},
        "classifier": {"in_features": classifier.hidden, "out_features": classes},
    }


def spec(network: Architecture) -> dict[str, Any]:
    """A network of width 1.2 as the tutorial's class takes it."""
    blocks = [block if isinstance(block, MBConv) else None for block in network.blocks]
    return {
        "r": [network.space.shape_in.height],
        "d": [sum(block is not None for block in blocks[start : start + 4]) for start in range(0, 20, 4)],
        "ks": [block.kernel if block else 3 for block in blocks],
        "e": [block.expansion if block else 3 for block in blocks],
    }


@pytest.mark.parametrize("name", ["proxyless", "ofa-mbv3", "ofa-mbv3@160", "wide"])
def test_their_classes_add_our_tables_up_to_what_we_predict(
    name: str, interpreter: Path, home: Path, tmp_path: Path
) -> None:
    origin = f"{WIDE}@192" if name == "wide" else name
    space = space_named(origin)
    profile, table = tmp_path / "made.profile.jsonl", tmp_path / "table.yaml"
    header = device_header(device("cpu", Settings()), space.name, origin)
    write_made_up_profile(profile, space, header)
    rng = np.random.default_rng(0)
    networks = [space.sample(rng) for _ in range(100)]
    with (tmp_path / "nets.csv").open("w", encoding="utf-8") as file:
        csv.writer(file).writerows([["arch"], *([str(network)] for network in networks)])
    of = ["--space", origin, "--profile", str(profile)]
    exported = CliRunner().invoke(main, ["export", *of, "--format", "ofa-yaml", "--out", str(table)])
    assert exported.exit_code == 0, exported.stderr
    predict = ["predict", *of, "--kind", "table", "--networks", str(tmp_path / "nets.csv")]
    predicted = CliRunner().invoke(main, predict)
    assert predicted.exit_code == 0, predicted.stderr
    ours = [float(row["latency_ms"]) for row in csv.DictReader(predicted.stdout.splitlines())]
    # the tutorial's class knows the widths of the published tables only, and that skips come last
    ordered = [net for net in networks if name == "wide" and elastic_order(net)]
    lines = [json.dumps(list(map(config, networks))), json.dumps(list(map(spec, ordered)))]
    answer = subprocess.run(
        [str(interpreter), "-I", "-c", PROGRAM, str(table), str(space.shape_in.height)],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    theirs = [json.loads(line) for line in answer.stdout.splitlines()]
    assert len(theirs[0]) == 100
    assert theirs[0] == pytest.approx(ours, rel=1e-9)
    if name == "wide":
        by_name = dict(zip(map(str, networks), ours, strict=True))
        assert len(ordered) > 10
        assert theirs[1] == pytest.approx([by_name[str(net)] for net in ordered], rel=1e-9)


def elastic_order(network: Architecture) -> bool:
    """Whether no layer behind one that is left out is there, in every stage."""
    blocks = network.blocks
    return not any(
        isinstance(blocks[place], Skip) and not isinstance(blocks[place + 1], Skip)
        for place in range(2, 20, 4)
    )


NNI_PROGRAM = """
import json, pathlib, site, sys, types

# `nni` itself would start its experiment's services
nni = types.ModuleType("nni")
nni.__path__ = [str(pathlib.Path(site.getsitepackages()[0]) / "nni")]
sys.modules["nni"] = nni
from nni.mutable import Categorical, MutableExpression

table = json.load(open(sys.argv[1]))
choices = [Categorical(list(row), label=layer) for layer, row in table["latency_ms"].items()]
latency_ms = table["fixed_ms"] + sum(
    MutableExpression.switch_case(choice, table["latency_ms"][choice.label]) for choice in choices
)
print(json.dumps([latency_ms.evaluate(sample) for sample in json.load(sys.stdin)]))
"""


def test_an_expression_of_nni_evaluates_to_what_we_predict(
    home: Path, proxyless_profile: Path, tmp_path: Path
) -> None:
    folder, table = tmp_path / "nni", tmp_path / "table.json"
    venv.create(folder, with_pip=True)
    pip = [str(folder / "bin" / "python"), "-I", "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "nni==3.0"], check=True)
    needed = ["numpy", "scipy", "json_tricks", "cloudpickle", "typeguard<3", "typing_extensions", "packaging"]
    subprocess.run([*pip, *needed], check=True)
    space = space_named("proxyless")
    of = ["--space", "proxyless", "--profile", str(proxyless_profile)]
    exported = CliRunner().invoke(main, ["export", *of, "--format", "nni", "--out", str(table)])
    assert exported.exit_code == 0, exported.stderr
    latency = SpaceLatency.from_profile(Profile.load(proxyless_profile), space)
    rng = np.random.default_rng(0)
    networks = [space.sample(rng) for _ in range(100)]
    names = [layer.name for layer in space.layers]
    samples = [dict(zip(names, map(str, network.blocks), strict=True)) for network in networks]
    answer = subprocess.run(
        [str(folder / "bin" / "python"), "-I", "-c", NNI_PROGRAM, str(table)],
        input=json.dumps(samples),
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    expected = [latency.median_ms(network) for network in networks]
    assert json.loads(answer.stdout) == pytest.approx(expected, rel=1e-9)
