"""Twenty networks that belong to no space: predicted from a profile of fused kernels, and measured beside it.

    python benchmarks/any_onnx.py --kernels 800

Prints a table: predicted, measured, error, and the shares of the prediction that rest on measured kernels, on
kernels among them, and on neither; then the error of each kind of kernel on held-out kernels. Kernels and
networks are measured round by round in turn, so that what the machine does meanwhile meets both. With --out
the profiles are kept, and a second call with the same folder goes on with them.
"""

from __future__ import annotations

import argparse
import tempfile
from itertools import zip_longest
from pathlib import Path

import numpy as np
import onnx

from devices.schedule import Goal
from hwprofile.bench import bench_in_rounds
from hwprofile.bench_plan import Subject
from hwprofile.chosen_device import chosen_device
from hwprofile.display import SilentProgress, table
from hwprofile.onnx_prediction import measured_kernels, model_of, predictions
from hwprofile.profile import Profile
from hwprofile.subjects import KernelsSubject, ModelsSubject
from ponas_core.onnx_writer import INPUT
from ponas_core.random_networks import NetworkWriter
from predictors.kernel_models import held_out_errors


def _wide(channels: float, divisor: int = 8) -> int:
    """Channels rounded to a multiple, never by more than a tenth down, as MobileNets do."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def mobilenet_v2(width: float, size: int) -> onnx.ModelProto:
    """Sandler et al., CVPR 2018."""
    writer = NetworkWriter(size)
    at = writer.conv(INPUT, _wide(32 * width), 3, 2, act="relu6")
    stages = [
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ]
    for expansion, channels, count, stride in stages:
        for position in range(count):
            source, hidden = at, writer.channels(at) * expansion
            inside = at if expansion == 1 else writer.conv(at, hidden, act="relu6")
            inside = writer.depthwise(inside, 3, 1 if position else stride, act="relu6")
            at = writer.conv(inside, _wide(channels * width))
            at = writer.add(source, at) if position else at
    at = writer.conv(at, max(1280, _wide(1280 * width)), act="relu6")
    return writer.model(writer.classifier(writer.global_pool(at)))


_V3_SMALL = [
    (3, 16, 16, True, "relu", 2), (3, 72, 24, False, "relu", 2), (3, 88, 24, False, "relu", 1),
    (5, 96, 40, True, "hswish", 2), (5, 240, 40, True, "hswish", 1), (5, 240, 40, True, "hswish", 1),
    (5, 120, 48, True, "hswish", 1), (5, 144, 48, True, "hswish", 1), (5, 288, 96, True, "hswish", 2),
    (5, 576, 96, True, "hswish", 1), (5, 576, 96, True, "hswish", 1),
]  # fmt: skip


def mobilenet_v3_small(width: float, size: int) -> onnx.ModelProto:
    """Howard et al., ICCV 2019."""
    writer = NetworkWriter(size)
    at = writer.conv(INPUT, 16, 3, 2, act="hswish")
    for kernel, hidden, channels, squeezed, activation, stride in _V3_SMALL:
        source = at
        inside = writer.conv(at, _wide(hidden * width), act=activation)
        inside = writer.depthwise(inside, kernel, stride, act=activation)
        if squeezed:
            inside = writer.squeeze_excite(inside, _wide(writer.channels(inside) / 4), "hsigmoid")
        at = writer.conv(inside, _wide(channels * width))
        at = writer.add(source, at) if writer.shapes[at] == writer.shapes[source] else at
    at = writer.global_pool(writer.conv(at, _wide(576 * width), act="hswish"))
    return writer.model(writer.classifier(writer.conv(at, 1024, act="hswish")))


def resnet_18(width: int, size: int) -> onnx.ModelProto:
    """He et al., CVPR 2016; `width` channels in the first stage."""
    writer = NetworkWriter(size)
    at = writer.pool(writer.conv(INPUT, width, 7, 2, act="relu"), "MaxPool", 3, 2)
    for stage in range(4):
        for position in range(2):
            stride, channels = (2 if stage and not position else 1), width << stage
            inside = writer.conv(writer.conv(at, channels, 3, stride, act="relu"), channels, 3)
            straight = writer.conv(at, channels, 1, stride) if stride > 1 else at
            at = writer.add(inside, straight, "relu")
    return writer.model(writer.classifier(writer.global_pool(at)))


def squeezenet(size: int, width: float = 1.0) -> onnx.ModelProto:
    """SqueezeNet 1.1 (Iandola et al., 2016)."""
    writer = NetworkWriter(size)
    at = writer.pool(writer.conv(INPUT, 64, 3, 2, act="relu"), "MaxPool", 3, 2)
    for number, (narrow, wide) in enumerate(
        [(16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256)]
    ):
        at = writer.pool(at, "MaxPool", 3, 2) if number in (2, 4) else at
        squeezed = writer.conv(at, _wide(narrow * width), act="relu")
        ends = [writer.conv(squeezed, _wide(wide * width), kernel, act="relu") for kernel in (1, 3)]
        at = writer.concat(*ends)
    return writer.model(writer.global_pool(writer.conv(at, 1000, act="relu")))


def networks() -> dict[str, onnx.ModelProto]:
    """Twenty networks by name."""
    found = {f"mobilenet_v2_{width}_{size}": mobilenet_v2(width, size) for width, size in _V2}
    found |= {f"mobilenet_v3_small_{width}_{size}": mobilenet_v3_small(width, size) for width, size in _V3}
    found |= {f"resnet_18_{width}_{size}": resnet_18(width, size) for width, size in _RESNET}
    return found | {f"squeezenet_{width}_{size}": squeezenet(size, width) for width, size in _SQUEEZE}


_V2 = [(0.35, 160), (0.5, 128), (0.5, 224), (0.75, 192), (1.0, 96), (1.0, 224), (1.4, 160)]
_V3 = [(0.75, 224), (1.0, 128), (1.0, 160), (1.0, 224), (1.5, 192)]
_RESNET = [(16, 224), (24, 160), (32, 224), (48, 128), (64, 112)]
_SQUEEZE = [(0.5, 224), (1.0, 128), (1.0, 224)]


def measured(folder: Path, count: int, rounds: int) -> tuple[Profile, Profile]:
    """Profiles of kernels and of the networks, measured in turns."""
    device, goal = chosen_device("cpu"), Goal(rounds=rounds, most_rounds=rounds + 1)
    files = folder / "networks"
    files.mkdir(parents=True, exist_ok=True)
    for name, model in networks().items():
        (files / f"{name}.onnx").write_bytes(model.SerializeToString())
    paths = [folder / f"{name}.profile.jsonl" for name in ("kernels", "networks")]
    subjects: list[Subject] = [KernelsSubject(count, 1), ModelsSubject.from_paths([files])]
    benches = [
        bench_in_rounds(device, subject, path, goal, SilentProgress())
        for subject, path in zip(subjects, paths, strict=True)
    ]
    for _ in zip_longest(*benches):
        pass
    return Profile.load(paths[0]), Profile.load(paths[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kernels", type=int, default=800)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = arguments.out or Path(name)
        kernels, truth = measured(folder, arguments.kernels, arguments.rounds)
        files = [folder / "networks" / name for name in truth.names]
        found = predictions(files, model_of(kernels))
    rows, errors = [], []
    for one in found:
        latency, summary = one.latency, truth.summary(one.file.name)
        errors.append(latency.median_ms / summary.median_ms - 1)
        held = latency.low_ms <= summary.median_ms <= latency.high_ms
        shares = (latency.measured, latency.in_range, latency.extrapolated)
        rows.append(
            [
                one.file.stem,
                f"{latency.median_ms:.3f} ms",
                f"{summary.median_ms:.3f} ms",
                f"±{summary.half_width:.1%}",
                f"{errors[-1]:+.1%}",
                "yes" if held else "no",
                *(f"{share:.0%}" for share in shares),
            ]
        )
    header = [
        "network",
        "predicted",
        "measured",
        "",
        "error",
        "in interval",
        "measured",
        "in range",
        "outside",
    ]
    print(table(header, rows))
    error = np.abs(errors)
    print(
        f"\nMAPE {error.mean():.1%}, bias {np.mean(errors):+.1%}, within ±10 %: {np.mean(error <= 0.1):.0%}"
    )
    widths = [truth.summary(one.file.name).half_width for one in found]
    print(f"the measurements themselves: ±{np.median(widths):.1%} (median of their 95 % intervals)")
    print("held-out kernels, MAPE of each kind:")
    for kind, mape in held_out_errors(measured_kernels(kernels)).items():
        print(f"  {kind:8} {mape:.1%}")
    for label, profile in (("kernels", kernels), ("networks", truth)):
        print(f"{label}: {profile.why_disturbed() or 'measured in quiet'}")


if __name__ == "__main__":
    main()
