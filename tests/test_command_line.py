"""The frozen list of commands and options: what people type does not change by accident."""

from __future__ import annotations

import click

from hwprofile.cli import main

DEVICE = {
    "--device", "--runtime", "--provider", "--threads", "--batch", "--dtype", "--calibration-inputs",
    "--cache", "--graph-timeout", "-q", "--quiet",
}  # fmt: skip
SESSION = DEVICE | {"--precision", "--rounds", "--calibrate", "--inline", "--energy"}
TRAINING = {
    "--epochs", "--batch-size", "--learning-rate", "--augment", "--accelerator", "--threads",
    "--accumulate", "--checkpoint-every", "--mixed-precision", "--seed", "-q", "--quiet",
}  # fmt: skip
COMMANDS = {
    "search": TRAINING
    | {"method", "--space", "--data", "--evaluator", "--out", "--table", "--evaluations", "--held-out"}
    | {"--context", "--fine-tune-steps", "--sampling", "--distillation", "--shared-epochs", "--json"}
    | {"--latency", "--budget", "--set", "--fleet", "--paths-per-part"},
    "train": TRAINING | {"--space", "--arch", "--data", "--search", "--out", "--json"},
    "evaluate": {"onnx", "--data", "--split", "-q", "--quiet", "--json"},
    "bench": SESSION
    | {"--space", "--onnx", "more_onnx", "--networks", "--kernels", "--kernel-count", "--sweep"}
    | {"--fleet", "--board", "--fresh", "--out", "--strict", "--json"},
    "validate": SESSION
    | {"--space", "--profile", "--networks", "--processes", "--seed", "--strict", "--json"},
    "doctor": DEVICE | {"--strict", "--json"},
    "show": {"profile_path", "--plot", "--no-plot", "--strict", "--json"},
    "report": {"paths", "--out"},
    "compare": {"before", "after", "--min-effect", "--false-alarms", "--across", "--strict", "--json"},
    "specialize": SESSION
    | {"--space", "--profile", "--scores", "--budget", "--measure", "--no-measure", "--out", "--seed"}
    | {"--search", "--data", "--fine-tune", "--strict", "--json"},
    "pareto": SESSION | {"--space", "--profile", "--scores", "--search", "--plot", "--no-plot", "--json"},
    "suggest": {"--space", "--count", "--sources", "more_sources", "--seed", "--out", "-q", "--quiet"},
    "fit": {"--networks", "--profile", "--space", "--sources", "more_sources", "--model", "--interval"}
    | {"--seed", "--out", "--onnx-out", "-q", "--quiet", "--json"},
    "predict": SESSION
    | {"model_path", "--space", "--profile", "--kind", "--networks", "--onnx"}
    | {"--out", "--json"},
    "spaces": {"--json"},
    "devices": {"--fleet", "--json"},
    "devices list": {"--fleet", "--json"},
    "devices add": {"name", "--preset", "--link", "--host", "--user", "--port", "--jump", "--python"}
    | {"--serial", "--program", "--library", "--set", "--runtime", "--provider", "--replace"}
    | {"--check", "--no-check"},
    "devices show": {"name", "--json"},
    "devices remove": {"name"},
    "devices check": {"name", "--runtime", "--provider", "--json"},
    "export": DEVICE
    | {"--space", "--format", "--out", "--arch", "--seed", "--search", "--profile"}
    | {"--model"},
}


def all_commands(group: click.Group, before: str = "") -> dict[str, click.Command]:
    """Every command by what is typed for it, those of groups too."""
    found: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        found[before + name] = command
        if isinstance(command, click.Group):
            found |= all_commands(command, f"{before}{name} ")
    return found


def options(command: click.Command) -> set[str]:
    return {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}


def test_the_commands_and_their_options_are_the_documented_ones() -> None:
    assert {name: options(command) for name, command in all_commands(main).items()} == COMMANDS


def test_every_option_says_what_it_does() -> None:
    for command in all_commands(main).values():
        for parameter in command.params:
            assert not isinstance(parameter, click.Option) or parameter.help, (command.name, parameter.name)
