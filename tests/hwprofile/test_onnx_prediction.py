"""Any ONNX file predicted from a profile of kernels of a made-up machine."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import TensorProto, helper

from hwprofile import places
from hwprofile.cli import main
from hwprofile.onnx_prediction import decomposed, fused
from hwprofile.profile_lines import Header
from hwprofile.subjects import KERNELS_SUBJECT, KernelsSubject
from ponas_core.complexity import complexity
from ponas_core.kernels import SAMPLING, sample_kernels
from ponas_core.onnx_graph import network_model
from ponas_core.onnx_writer import INPUT
from ponas_core.random_networks import FAMILIES, NetworkWriter, random_network
from ponas_core.space_file import shipped_space, shipped_spaces
from tests.hwprofile.made_up_kernels import COUNT, network_ms, write_kernels_profile


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def kernels_profile(tmp_path_factory: pytest.TempPathFactory, cpu_header: Callable[[str], Header]) -> Path:
    """A finished profile of kernels on the made-up machine, with this machine's identity."""
    return write_kernels_profile(tmp_path_factory.mktemp("profiles"), cpu_header)


def small_network() -> onnx.ModelProto:
    writer = NetworkWriter(160)
    at = writer.conv(INPUT, 16, 3, 2, act="relu6")
    at = writer.conv(writer.depthwise(at, 3, act="relu6"), 32)
    return writer.model(writer.classifier(writer.global_pool(at)))


@pytest.fixture
def net(tmp_path: Path) -> Path:
    path = tmp_path / "net.onnx"
    onnx.save(small_network(), path)
    return path


@pytest.mark.parametrize("name", shipped_spaces())
def test_networks_of_shipped_spaces_are_read_whole(name: str) -> None:
    space, rng = shipped_space(name), np.random.default_rng(0)
    macs = complexity(space, "macs")
    for _ in range(3):
        architecture = space.sample(rng)
        found = decomposed(network_model(architecture), name)
        assert not found.unknown
        assert found.macs == macs.total(architecture.ops)


def test_a_kernel_of_a_profile_is_what_its_graph_is_read_into() -> None:
    for kernel in sample_kernels(80, np.random.default_rng(3)):
        (read,) = decomposed(kernel.model(), str(kernel)).kernels
        assert (read, str(read), read.macs) == (fused(kernel), str(kernel), kernel.macs)


def test_calibration_networks_are_read_whole_and_stay_the_same() -> None:
    for number in range(2 * len(FAMILIES)):
        assert not decomposed(random_network(number), str(number)).unknown
    assert random_network(5, 2).graph.input[0].type.tensor_type.shape.dim[0].dim_value == 2
    assert random_network(3) == random_network(3)


def test_the_name_of_the_subject_says_how_kernels_were_sampled() -> None:
    assert f"kernels-v{SAMPLING}" == KERNELS_SUBJECT


def test_a_file_is_predicted_with_what_the_prediction_rests_on(
    home: Path, kernels_profile: Path, net: Path
) -> None:
    result = run("predict", "--onnx", net, "--profile", kernels_profile, "--json")
    assert result.exit_code == 0, result.output
    (found,) = json.loads(result.stdout)["files"]
    truth = network_ms(small_network())
    assert found["median_ms"] == pytest.approx(truth, rel=0.25)
    assert found["low_ms"] < found["median_ms"] < found["high_ms"]
    assert found["measured"] + found["in_range"] + found["extrapolated"] == pytest.approx(1)
    assert (found["unknown"], found["lower_bound"]) == ({}, False)
    text = run("predict", "--onnx", net, "--profile", kernels_profile).stdout
    assert text.splitlines()[0].split()[:2] == ["file", "latency"]
    assert "≥" not in text


def test_unknown_operators_are_named_and_make_a_lower_bound(
    home: Path, kernels_profile: Path, tmp_path: Path
) -> None:
    model = small_network()
    model.graph.node[0].output[0] = "inner"
    model.graph.node.insert(1, helper.make_node("Erf", ["inner"], ["conv_0"]))
    onnx.save(model, tmp_path / "erf.onnx")
    text = run("predict", "--onnx", tmp_path / "erf.onnx", "--profile", kernels_profile).stdout
    assert "1 Erf" in text
    assert text.count("≥") == 2
    found = json.loads(
        run("predict", "--onnx", tmp_path / "erf.onnx", "--profile", kernels_profile, "--json").stdout
    )
    assert found["files"][0]["unknown"] == {"Erf": 1}
    assert found["files"][0]["lower_bound"] is True


def test_the_newest_finished_profile_of_kernels_is_used(home: Path, kernels_profile: Path, net: Path) -> None:
    first = run("predict", "--onnx", net)
    assert first.exit_code == 1
    assert "hwprofile bench --device cpu --kernels --kernel-count 1000" in first.stderr
    from devices.settings import Settings

    path = places.profile_path("cpu", KernelsSubject(COUNT, 1).name, Settings())
    path.parent.mkdir(parents=True)
    path.write_bytes(kernels_profile.read_bytes())
    found = run("predict", "--onnx", net, "--onnx", net)
    assert found.exit_code == 0, found.output
    assert str(path) in found.stdout


def test_symbolic_sizes_and_other_files_are_refused_by_name(
    home: Path, kernels_profile: Path, macro_profile: Path, net: Path, tmp_path: Path
) -> None:
    model = onnx.load(net)
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    onnx.save(model, tmp_path / "symbolic.onnx")
    (tmp_path / "text.onnx").write_text("no graph")
    for name, message in (
        ("symbolic.onnx", "symbolic.onnx: input 'input' has the symbolic size height (axis 2): fix it"),
        ("text.onnx", "text.onnx is no ONNX file"),
        ("none.onnx", "cannot read"),
    ):
        result = run("predict", "--onnx", tmp_path / name, "--profile", kernels_profile)
        assert result.exit_code == 1
        assert message in result.stderr
        assert result.stdout == ""
    result = run("predict", "--onnx", net, "--profile", macro_profile)
    assert result.exit_code == 1
    assert "holds no kernels" in result.stderr


@pytest.mark.parametrize(
    "arguments", [(), ("--onnx", "a.onnx", "--networks", "b.csv"), ("--onnx", "a.onnx", "--out", "c.csv")]
)
def test_either_networks_or_files_are_predicted(arguments: tuple[str, ...]) -> None:
    assert run("predict", *arguments).exit_code == 2


def test_a_symbolic_batch_is_one(home: Path, kernels_profile: Path, net: Path, tmp_path: Path) -> None:
    model = onnx.load(net)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "N"
    assert model.graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT
    onnx.save(model, tmp_path / "batch.onnx")
    arguments = ("--profile", kernels_profile, "--json")
    one, other = (
        json.loads(run("predict", "--onnx", path, *arguments).stdout)["files"][0]["median_ms"]
        for path in (net, tmp_path / "batch.onnx")
    )
    assert one == other
