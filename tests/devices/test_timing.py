"""The timing loop, under a clock that only the timed call moves."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from devices.agent import timing
from devices.agent.loaded import Loaded
from devices.agent.timing import Plan, Timed
from devices.agent.timing import Run as Inference

MS = 1_000_000


def visit(run: Inference, plan: Plan) -> dict[str, Any]:
    """A first visit."""
    return Timed(Loaded(run)).visit(plan)


class Clock:
    """Stands in for the module `time`; `cpu_share` of what passes is CPU time."""

    def __init__(self) -> None:
        self.now_ns = 12_345
        self.cpu_share = 1.0

    def perf_counter_ns(self) -> int:
        return self.now_ns

    def thread_time_ns(self) -> int:
        return int(self.now_ns * self.cpu_share)

    def sleep(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    fake = Clock()
    monkeypatch.setattr(timing, "time", fake)
    return fake


class Run:
    """Takes the given durations one after the other, the last one for ever."""

    def __init__(self, clock: Clock, *durations_ns: int) -> None:
        self.clock = clock
        self.durations = durations_ns
        self.count = 0

    def __call__(self) -> None:
        self.clock.now_ns += self.durations[min(self.count, len(self.durations) - 1)]
        self.count += 1


def test_samples_and_runs_are_counted(clock: Clock) -> None:
    run = Run(clock, MS // 4)
    found = visit(run, Plan(samples=7))
    assert found["wall_ns"] == [MS] * 7
    assert found["cpu_ns"] == [MS] * 7
    assert found["runs_per_sample"] == 4
    assert run.count == found["warmup_runs"] + 7 * 4


@pytest.mark.parametrize(
    ("duration_ns", "runs"),
    [
        (20 * MS, 1),
        (MS, 1),
        (MS - 1, 2),
        (MS // 2, 2),
        (300_000, 4),
        (1_000, 1_000),
        (3, timing.LARGEST_RUNS_PER_SAMPLE),
    ],
)
def test_a_sample_holds_the_fewest_runs_that_fill_its_time(clock: Clock, duration_ns: int, runs: int) -> None:
    found = visit(Run(clock, duration_ns), Plan(samples=1))
    assert found["runs_per_sample"] == runs
    assert found["wall_ns"] == [runs * duration_ns]


def test_the_length_of_a_sample_can_be_chosen(clock: Clock) -> None:
    assert visit(Run(clock, MS), Plan(samples=1, sample_ms=2.5))["runs_per_sample"] == 3


def test_warm_up_ends_when_two_windows_agree(clock: Clock) -> None:
    # windows of three: 9, 5, 2, 2 ms
    run = Run(clock, *[9 * MS] * 3, *[5 * MS] * 3, 2 * MS)
    found = visit(run, Plan(samples=2))
    assert found["settled"] is True
    assert found["warmup_runs"] == 12
    assert found["wall_ns"] == [2 * MS] * 2


def test_warm_up_goes_on_while_windows_differ_by_more_than_settle(clock: Clock) -> None:
    run = Run(clock, *[1000_000] * 3, *[1030_000] * 3, 1040_000)
    assert visit(run, Plan(samples=1))["warmup_runs"] == 9
    clock.now_ns = 0
    run = Run(clock, *[1000_000] * 3, *[1030_000] * 3, 1040_000)
    assert visit(run, Plan(samples=1, settle=0.05))["warmup_runs"] == 6


def test_one_slow_run_does_not_disturb_a_window(clock: Clock) -> None:
    run = Run(clock, 2 * MS, 50 * MS, 2 * MS, 2 * MS)
    assert visit(run, Plan(samples=1))["warmup_runs"] == 6


@pytest.mark.parametrize("plan", [Plan(samples=1, warmup_ms=50.0), Plan(samples=1, warmup_runs=50)])
def test_warm_up_lasts_at_least_its_time_and_its_runs(clock: Clock, plan: Plan) -> None:
    found = visit(Run(clock, MS), plan)
    assert 50 <= found["warmup_runs"] <= 52
    assert found["settled"] is True


def test_a_graph_that_never_settles_ends_at_the_ceiling_and_says_so(clock: Clock) -> None:
    growing = [round(MS * 1.1**window) for window in range(60) for _ in range(3)]
    found = visit(Run(clock, *growing), Plan(samples=1, ceiling_ms=100.0))
    assert found["settled"] is False
    elapsed = sum(growing[: found["warmup_runs"]])
    assert 100 * MS < elapsed < 100 * MS + 3 * growing[found["warmup_runs"]]


def test_a_graph_longer_than_the_ceiling_gets_one_window(clock: Clock) -> None:
    found = visit(Run(clock, 1000 * MS), Plan(samples=2))
    assert (found["warmup_runs"], found["settled"], found["runs_per_sample"]) == (3, False, 1)


def test_short_graphs_are_judged_by_windows_as_long_as_a_sample(clock: Clock) -> None:
    run = Run(clock, 10_000)
    found = visit(run, Plan(samples=1))
    windows = 3 + 100 * 5  # 5 ms, of which the first window takes three runs
    assert found["warmup_runs"] == windows


def test_cpu_time_is_kept_beside_wall_time(clock: Clock) -> None:
    clock.cpu_share = 0.5
    found = visit(Run(clock, 2 * MS), Plan(samples=3))
    assert found["wall_ns"] == [2 * MS] * 3
    assert found["cpu_ns"] == [MS] * 3


def test_without_the_thread_clock_there_is_no_cpu_time(clock: Clock) -> None:
    assert "cpu_ns" not in visit(Run(clock, MS), Plan(samples=1, thread_clock=False))


@pytest.fixture
def collecting() -> Iterator[Callable[[bool], None]]:
    before = gc.isenabled()

    def set_to(on: bool) -> None:
        (gc.enable if on else gc.disable)()

    yield set_to
    set_to(before)


@pytest.mark.parametrize("on", [True, False])
def test_the_garbage_collector_rests_and_is_left_as_it_was(
    clock: Clock, collecting: Callable[[bool], None], on: bool
) -> None:
    run, seen = Run(clock, MS), set()

    def watched() -> None:
        seen.add(gc.isenabled())
        run()

    collecting(on)
    visit(watched, Plan(samples=2))
    assert gc.isenabled() is on
    assert seen == {False}


@pytest.mark.parametrize("on", [True, False])
@pytest.mark.parametrize("good_runs", [0, 2, 8], ids=["first", "warm-up", "sample"])
def test_the_garbage_collector_is_restored_when_a_run_raises(
    clock: Clock, collecting: Callable[[bool], None], on: bool, good_runs: int
) -> None:
    run = Run(clock, MS)

    def failing() -> None:
        run()
        if run.count > good_runs:
            raise RuntimeError("out of memory")

    collecting(on)
    with pytest.raises(RuntimeError, match="out of memory"):
        visit(failing, Plan(samples=5))
    assert gc.isenabled() is on


def test_a_later_visit_warms_up_briefly_and_keeps_the_length_of_its_samples(clock: Clock) -> None:
    run = Run(clock, MS // 4)
    timed = Timed(Loaded(run))
    first = timed.visit(Plan(samples=2))
    before = run.count
    run.durations = (MS // 2,)  # the machine slowed down meanwhile
    later = timed.visit(Plan(samples=2))
    assert later["runs_per_sample"] == first["runs_per_sample"] == 4
    assert later["wall_ns"] == [2 * MS] * 2
    assert run.count - before == 2 + 2 * 4
    assert (later["warmup_runs"], later["settled"]) == (first["warmup_runs"], first["settled"])


def test_a_later_visit_of_a_short_graph_runs_at_least_a_millisecond(clock: Clock) -> None:
    run = Run(clock, 10_000)
    timed = Timed(Loaded(run))
    timed.visit(Plan(samples=1))
    before = run.count
    timed.visit(Plan(samples=1))
    assert run.count - before == 100 + 100


def test_cold_caches_are_emptied_before_every_inference(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []
    monkeypatch.setattr(timing, "_evictor", lambda size: lambda: happened.append(f"evict {size}"))
    run = Run(clock, MS // 10)

    def watched() -> None:
        happened.append("run")
        run()

    found = visit(watched, Plan(samples=3, evict_bytes=1000))
    assert found["runs_per_sample"] == 1
    assert happened[-6:] == ["evict 1000", "run"] * 3
    assert happened[:-6] == ["run"] * found["warmup_runs"]
    assert found["wall_ns"] == [MS // 10] * 3


def test_eviction_writes_all_of_its_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "_eviction", {})
    evict = timing._evictor(100)
    evict()
    evict()
    assert timing._eviction[100].tolist() == [2] * 100


def test_a_long_visit_ends_with_the_fewest_samples(clock: Clock) -> None:
    assert visit(Run(clock, 9 * MS), Plan(samples=8))["wall_ns"] == [9 * MS] * 2
    assert visit(Run(clock, 5 * MS), Plan(samples=8))["wall_ns"] == [5 * MS] * 3
    assert visit(Run(clock, MS), Plan(samples=8))["wall_ns"] == [MS] * 8


# --- by a device's own clock


class Device:
    """Computes in `step_ns` by its own clock, while the host's clock moves by `host_ns` a call."""

    def __init__(self, clock: Clock, step_ns: int, host_ns: int = 0) -> None:
        self.clock, self.step_ns, self.host_ns = clock, step_ns, host_ns or step_ns
        self.spans: list[int] = []
        self.happened: list[str] = []

    def run(self) -> None:
        self.clock.now_ns += self.host_ns

    def span_ns(self, runs: int) -> int:
        self.clock.now_ns += runs * self.host_ns
        self.spans.append(runs)
        self.happened.append("span")
        return runs * self.step_ns

    def evict(self, size: int) -> None:
        self.happened.append(f"evict {size}")

    def parts_ns(self) -> dict[str, int]:
        self.happened.append("parts")
        return {"h2d_ns": 5, "enqueue_ns": len(self.happened)}

    def loaded(self) -> Loaded:
        return Loaded(self.run, self.span_ns, self.evict, self.parts_ns)


def test_a_device_with_a_clock_tells_the_samples(clock: Clock) -> None:
    device = Device(clock, MS // 4, host_ns=MS)
    found = Timed(Loaded(device.run, device.span_ns)).visit(Plan(samples=3))
    assert found["wall_ns"] == [MS] * 3
    assert found["runs_per_sample"] == 4
    assert "cpu_ns" not in found
    assert device.spans[-3:] == [4] * 3
    assert sum(device.spans[:-3]) == found["warmup_runs"]


def test_warm_up_on_a_device_lasts_as_long_as_the_host_says(clock: Clock) -> None:
    device = Device(clock, MS // 100)
    found = Timed(device.loaded()).visit(Plan(samples=1, warmup_ms=200.0, ceiling_ms=1000.0))
    assert found["settled"] is True
    assert 200 <= found["warmup_runs"] / 100 < 203


def test_a_span_below_the_resolution_of_a_device_still_takes_time(clock: Clock) -> None:
    device = Device(clock, 0, host_ns=MS)
    found = Timed(Loaded(device.run, device.span_ns)).visit(Plan(samples=1))
    assert found["wall_ns"] == [1]


def test_a_device_empties_its_own_caches(clock: Clock) -> None:
    device = Device(clock, MS)
    found = Timed(Loaded(device.run, device.span_ns, device.evict)).visit(Plan(samples=2, evict_bytes=77))
    assert found["runs_per_sample"] == 1
    assert device.happened[-4:] == ["evict 77", "span"] * 2


def test_parts_come_after_the_samples_and_one_for_each(clock: Clock) -> None:
    device = Device(clock, MS)
    found = Timed(device.loaded()).visit(Plan(samples=2))
    assert device.happened[-5:] == ["span"] * 2 + ["parts"] * 3
    assert found["h2d_ns"] == [5, 5]
    last = len(device.happened)
    assert found["enqueue_ns"] == [last - 1, last]
    assert "d2h_ns" not in found


# --- energy


class Counter:
    """A source of so much power that renews its count now and then."""

    def __init__(self, clock: Clock, power_w: float, renewed_every_ms: float) -> None:
        self.clock, self.power_w, self.every_ns = clock, power_w, renewed_every_ms * MS
        self.resolution_ms = renewed_every_ms
        self.is_open = False

    def start(self) -> None:
        self.is_open = True
        self.clock.now_ns += 7 * MS // 3  # opening a library takes a while, and ends anywhere

    def energy_uj(self) -> int:
        assert self.is_open
        self.clock.now_ns += 20_000
        return int(self.power_w * (self.clock.now_ns // self.every_ns) * self.every_ns / 1e3)

    def stop(self) -> None:
        self.is_open = False


@pytest.mark.parametrize("every_ms", [1.0, 20.0, 100.0])
@pytest.mark.parametrize("run_ms", [0.01, 3.0, 170.0])
def test_energy_is_counted_between_renewals(clock: Clock, every_ms: float, run_ms: float) -> None:
    source, run = Counter(clock, 25.0, every_ms), Run(clock, round(run_ms * MS))
    found = timing.burst(run, source, 500.0)
    assert found["wall_ns"] >= 500 * MS
    assert not source.is_open
    step_ms = max(every_ms / 2, timing.SHORTEST_STEP_MS, run_ms) + 0.1
    # each end is found at most a step after a renewal, whatever the renewals are apart
    off = step_ms / (found["wall_ns"] / MS)
    assert found["energy_uj"] / found["wall_ns"] * 1e3 == pytest.approx(25.0, rel=off)
    # what is left of the time are the looks at the source
    assert 0.9 * found["wall_ns"] <= found["runs"] * run_ms * MS <= found["wall_ns"]


def test_a_burst_without_alignment_would_be_far_off(clock: Clock) -> None:
    """What the test above rests on: over the same time a plain difference of two readings errs by a fifth."""
    source = Counter(clock, 25.0, 100.0)
    source.start()
    clock.now_ns = 99 * MS
    first = source.energy_uj()
    clock.now_ns = 500 * MS
    assert (source.energy_uj() - first) / 401 / 25.0 > 1.2


def test_an_idle_reading_waits(clock: Clock) -> None:
    found = timing.idle(Counter(clock, 4.0, 20.0), 100.0)
    assert set(found) == {"wall_ns", "energy_uj"}
    assert found["energy_uj"] / found["wall_ns"] * 1e3 == pytest.approx(4.0, rel=0.2)


def test_a_source_that_stands_still_is_an_error_and_is_closed(clock: Clock) -> None:
    source = Counter(clock, 0.0, 1.0)
    with pytest.raises(ValueError, match="does not move"):
        timing.burst(Run(clock, MS), source, 10.0)
    assert not source.is_open


def test_the_garbage_collector_is_off_in_a_burst_and_back_after_it(clock: Clock) -> None:
    seen = []

    def run() -> None:
        seen.append(gc.isenabled())
        clock.now_ns += MS

    timing.burst(run, Counter(clock, 5.0, 1.0), 5.0)
    assert not any(seen)
    assert gc.isenabled()


def test_power_is_added_up_over_the_time_between_its_readings(clock: Clock) -> None:
    powers: Iterator[int | None] = iter([2_000_000, 4_000_000, None, 4_000_000, 0])

    def power_uw() -> int | None:
        clock.now_ns += 1000 * MS
        return next(powers, 0)

    integral = timing.Integral(power_uw, 1.0)
    integral.start()
    # 3 J, then 4 W over a gap of 2 s, then 2 J; nothing after that
    while integral.energy_uj() < 13_000_000:
        pass
    integral.stop()
    assert integral.energy_uj() == 13_000_000
