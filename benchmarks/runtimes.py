"""The same MobileNetV2 in every runtime on this computer, beside each runtime's own tool.

    python benchmarks/runtimes.py

Prints a table: what `hwprofile bench --onnx` finds (the agent, five processes and more), and what the
runtime's own tool says of the same artefact: `torch.utils.benchmark` for PyTorch and `litert-benchmark` for
LiteRT. ONNX Runtime's wheel brings `onnxruntime_test`, which neither warms up nor takes a number of threads;
so its session is called in a loop with `timeit`. The two take turns, process by process, so that what the
machine does meanwhile meets both.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from devices.runtimes.catalog import RUNTIMES
from devices.schedule import Goal
from hwprofile.bench import bench_in_rounds
from hwprofile.chosen_device import chosen_device
from hwprofile.display import SilentProgress, table
from hwprofile.profile import Profile
from hwprofile.subjects import ModelsSubject
from ponas_core.onnx_graph import network_model
from ponas_core.space_file import load_space

MOBILENET_V2 = Path(__file__).parent / "mobilenet_v2.toml"
ROWS = [
    ("onnxruntime", "CPUExecutionProvider", "fp32"),
    ("onnxruntime", "CPUExecutionProvider", "int8"),
    ("litert", "XNNPACK", "fp32"),
    ("litert", "XNNPACK", "int8"),
    ("litert", "builtin", "fp32"),
    ("pytorch", "eager", "fp32"),
    ("pytorch", "channels_last", "fp32"),
    ("pytorch", "compile", "fp32"),
    ("pytorch", "compile+channels_last", "fp32"),
]


@dataclass(frozen=True)
class Row:
    """One runtime: ours and its own tool, milliseconds."""

    runtime: str
    provider: str
    precision: str
    ours_ms: float
    half_width: float
    status: str
    theirs_ms: float | None
    tool: str


def mobilenet_v2() -> bytes:
    """MobileNetV2 1.0 at 224×224 with random weights."""
    space = load_space(MOBILENET_V2)
    data: bytes = network_model(space.architecture([0] * len(space.layers))).SerializeToString()
    return data


ORT_TOOL = """
import sys, timeit, numpy, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
value = session.get_inputs()[0]
feeds = {value.name: numpy.random.default_rng(0).standard_normal(value.shape, numpy.float32)}
run = lambda: session.run(None, feeds)
timeit.timeit(run, number=20)
print(1e3 * sorted(timeit.repeat(run, number=1, repeat=100))[50])
"""
TORCH_TOOL = """
import sys, torch
from torch.utils import benchmark
from devices.agent import pytorch_runtime
torch.set_num_threads(1)
_, run = pytorch_runtime.build(open(sys.argv[1], "rb").read(), sys.argv[2])
timer = benchmark.Timer("run()", globals={"run": run}, num_threads=1)
timer.timeit(10)

print(1e3 * timer.blocked_autorange(min_run_time=1.0).median)
"""


def own_tool(runtime: str, provider: str, artefact: Path) -> tuple[str, list[str], str] | None:
    """Name of a runtime's own tool, its command, and where its figure stands in what it says."""
    if runtime == "litert":
        program = shutil.which("litert-benchmark", path=str(Path(sys.executable).parent))
        if program is None or provider != "XNNPACK":
            return None
        runs = ["--num_threads=1", "--num_runs=100", "--warmup_runs=20", "--result_json=/dev/stdout"]
        return "litert-benchmark", [program, f"--model={artefact}", *runs], r'"median_ms": ([0-9.]+)'
    code, name = (TORCH_TOOL, "torch.utils.benchmark") if runtime == "pytorch" else (ORT_TOOL, "timeit")
    return name, [sys.executable, "-c", code, str(artefact), provider], r"([0-9.]+)\s*$"


def own_ms(command: list[str], pattern: str) -> float:
    """What a tool says in one process, bound to the processor that we measure on."""
    allowed = sorted(os.sched_getaffinity(0))
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, allowed[-1:]),
    )
    found = re.search(pattern, done.stdout + done.stderr)
    if found is None:
        raise ValueError(f"no figure in what {command[0]} says: {done.stdout[-300:]}")
    return float(found[1])


def measured(model: Path, runtime: str, provider: str, precision: str, folder: Path) -> Row:
    """One row of the table."""
    device = chosen_device("cpu", runtime=runtime, provider=provider, precision=precision)
    artefact = folder / f"{runtime}-{precision}"
    artefact.write_bytes(RUNTIMES[runtime].prepare(model.read_bytes(), precision, {}))
    tool = own_tool(runtime, provider, artefact)
    path = folder / f"{runtime}-{provider}-{precision}.profile.jsonl"
    subject = ModelsSubject.from_paths([model])
    theirs = []
    for _ in bench_in_rounds(device, subject, path, Goal(most_rounds=12), SilentProgress()):
        if tool is not None:
            theirs.append(own_ms(tool[1], tool[2]))
    profile = Profile.load(path)
    verdict = profile.verdict(model.name)
    assert verdict.summary is not None, profile.errors
    return Row(
        runtime,
        provider,
        precision,
        verdict.summary.median_ms,
        verdict.summary.half_width,
        verdict.status,
        float(np.median(theirs)) if theirs else None,
        tool[0] if tool else "none for this",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = folder / "mobilenet_v2.onnx"
        model.write_bytes(mobilenet_v2())
        rows = [measured(model, *row, folder) for row in ROWS]
    if arguments.json:
        print(json.dumps([vars(row) for row in rows], indent=1))
        return
    header = [
        "runtime",
        "provider",
        "dtype",
        "hwprofile",
        "±95 %",
        "status",
        "its own tool",
        "ours / its own",
        "tool",
    ]
    cells = [
        [
            row.runtime,
            row.provider,
            row.precision,
            f"{row.ours_ms:.2f} ms",
            f"{row.half_width:.1%}",
            row.status,
            "–" if row.theirs_ms is None else f"{row.theirs_ms:.2f} ms",
            "–" if row.theirs_ms is None else f"{row.ours_ms / row.theirs_ms:.3f}",
            row.tool,
        ]
        for row in rows
    ]
    print(table(header, cells, left=3))


if __name__ == "__main__":
    main()
