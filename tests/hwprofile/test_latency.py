from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from devices.rounds import Reading
from hwprofile.chosen_device import chosen_device
from hwprofile.errors import UserError
from hwprofile.latency import SpaceLatency, raw_cost
from hwprofile.profile import Profile
from hwprofile.profile_lines import Header, ProfileError
from hwprofile.profile_writer import ProfileWriter
from hwprofile.session import Session
from hwprofile.subjects import SpaceSubject
from ponas_core.score_table import macs_proxy
from ponas_core.space_file import load_space, shipped_space
from predictors.metrics import accuracy
from tests.hwprofile.made_up import TINY, made_up_visit, true_network_ms, write_made_up_profile

PROXYLESS = shipped_space("proxyless")


def test_a_profile_predicts_networks_that_it_never_saw(proxyless_profile: Path) -> None:
    profile = Profile.load(proxyless_profile)
    latency = SpaceLatency.from_profile(profile, PROXYLESS)
    rng = np.random.default_rng(5)
    networks = [PROXYLESS.sample(rng) for _ in range(60)]
    truth = [true_network_ms(PROXYLESS, str(network)) for network in networks]
    predicted = latency.predict(networks)
    found = accuracy([prediction.median_ms for prediction in predicted], truth)
    plain = accuracy([raw_cost(PROXYLESS, profile).total(network.ops) for network in networks], truth)
    assert found.mape < 0.01
    assert plain.mape > 0.05
    inside = [p.low_ms <= true <= p.high_ms for p, true in zip(predicted, truth, strict=True)]
    assert np.mean(inside) >= 0.9


def test_the_solvers_cost_is_the_prediction(proxyless_profile: Path) -> None:
    latency = SpaceLatency.from_profile(Profile.load(proxyless_profile), PROXYLESS)
    rng = np.random.default_rng(6)
    for network in (PROXYLESS.sample(rng) for _ in range(20)):
        assert latency.cost.total(network.ops) == pytest.approx(latency.median_ms(network))


def test_op_indexes_are_predicted_as_the_networks_that_they_name(proxyless_profile: Path) -> None:
    latency = SpaceLatency.from_profile(Profile.load(proxyless_profile), PROXYLESS)
    rng = np.random.default_rng(7)
    networks = [PROXYLESS.sample(rng) for _ in range(20)]
    medians, intervals = latency.predict_ops(np.array([network.ops for network in networks]))
    keys = [network.keys for network in networks]
    assert medians == pytest.approx(latency.table.predict(keys), rel=1e-14)
    assert intervals == pytest.approx(latency.table.predict_interval(keys), rel=1e-12)
    assert latency.predict([]) == []


def test_a_block_that_the_device_refuses_does_not_stop_the_others(
    tmp_path: Path, cpu_header: Callable[[str], Header]
) -> None:
    space, rng = shipped_space("nasbench-macro"), np.random.default_rng(0)
    subject = SpaceSubject(space, macs_proxy(space), space.name, 1, 10)
    profile = Profile(tmp_path / "p.jsonl", cpu_header(space.name))
    refused = next(iter(space.keyed_blocks))
    with ProfileWriter(profile) as writer:
        for name, kind in subject.first().items():
            visit = None if name == refused else made_up_visit(1.0, rng, 0.01)
            reading = Reading(name, 1, visit)
            if visit is None:
                reading = Reading(name, 1, error="not implemented", failure="refused")
            writer.reading(reading, kind, 0)
        writer.append({"row": "round", "round": 0, "conditions": [], "seconds": 1.0})
    assert set(subject.choose(profile).values()) == {"canary", "random"}
    with pytest.raises(UserError, match=r"no latency for .*: not implemented") as caught:
        SpaceLatency.from_profile(profile, space)
    assert refused in str(caught.value)


def test_a_profile_of_a_space_that_was_changed_since_is_not_continued(
    home: Path, tmp_path: Path, cpu_header: Callable[[str], Header]
) -> None:
    (tmp_path / "tiny.toml").write_text(TINY)
    out = tmp_path / "tiny.profile.jsonl"
    write_made_up_profile(out, load_space(tmp_path / "tiny.toml"), cpu_header("tiny"))
    unfinished = "".join(out.read_text().splitlines(keepends=True)[:-1])
    out.write_text(unfinished)
    (tmp_path / "tiny.toml").write_text(TINY.replace("channels = 16", "channels = 24"))
    session = Session(chosen_device("cpu"), quiet=True)
    with pytest.raises(ProfileError, match=r"holds blocks that tiny lacks.*use --fresh"):
        session.bench(str(tmp_path / "tiny.toml"), out=out)


def test_networks_that_the_space_lacks_are_an_error_with_the_cure(
    tmp_path: Path, cpu_header: Callable[[str], Header]
) -> None:
    (tmp_path / "tiny.toml").write_text(TINY)
    space = load_space(tmp_path / "tiny.toml")
    out = tmp_path / "tiny.profile.jsonl"
    profile = write_made_up_profile(out, space, cpu_header("tiny"))
    (tmp_path / "tiny.toml").write_text(TINY.replace(', "skip"', ""))
    smaller = load_space(tmp_path / "tiny.toml")
    assert any(name.endswith("2") for name in profile.of_kind("network"))
    with pytest.raises(UserError, match="the space was changed since: bench anew with --fresh"):
        SpaceLatency.from_profile(profile, smaller)
