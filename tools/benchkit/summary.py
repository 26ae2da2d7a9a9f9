"""Medians, ranges, ratios, and whether the bars are met. Pure functions over the list of all runs' results."""

from dataclasses import asdict, dataclass
from statistics import median

from .cases import BARS


@dataclass(frozen=True)
class Metric:
    key: str
    title: str
    unit: str
    scale: float = 1.0
    digits: int = 2

    def show(self, value):
        return "–" if value is None else f"{value * self.scale:.{self.digits}f}"


MIB = 1 / (1 << 20)
METRICS = {metric.key: metric for metric in (
    Metric("to_running_s", "running", "s"),
    Metric("released_s", "released", "s"),
    Metric("stream_s", "streaming", "s"),
    Metric("gap_ms", "client gap", "ms", digits=0),
    Metric("tick_pause_ms", "pause by ticks", "ms", digits=0),
    Metric("stopped_ms", "stopped", "ms", digits=0),
    Metric("said_pause_ms", "pause as told", "ms", digits=0),
    Metric("sent_bytes", "sent", "MiB", MIB, 1),
    Metric("cpu_s", "CPU", "s"),
    Metric("cpu_source_s", "CPU of the source", "s"),
    Metric("cpu_destination_s", "CPU of the destination", "s"),
    Metric("cpu_extra_s", "CPU beyond the guest's", "s"),
    Metric("work_lost_s", "work lost", "s"),
    Metric("daemon_growth_bytes", "daemon grew", "MiB", MIB, 1),
    Metric("redis_slowest_ms", "slowest redis request", "ms", digits=0),
    Metric("web_slowest_ms", "slowest page of nginx", "ms", digits=0),
    Metric("link_use", "use of the link", ""),
    Metric("said_stall", "share of the time until it said that it does not converge", ""),
)}


def values(runs, case, mover, key):
    """Of the moves that worked."""
    return [run[key] for run in runs
            if run["case"] == case and run["mover"] == mover and "error" not in run and run.get(key) is not None]


def failures(runs, case, mover):
    return [run for run in runs if run["case"] == case and run["mover"] == mover and "error" in run]


def middle(runs, case, mover, key):
    found = values(runs, case, mover, key)
    return median(found) if found else None


def movers_of(runs, case):
    """In the order of their first turn."""
    return list(dict.fromkeys(run["mover"] for run in runs if run["case"] == case and run["mover"]))


def ratio(runs, case, mover, peer, key):
    ours, theirs = middle(runs, case, mover, key), middle(runs, case, peer, key)
    return ours / theirs if ours is not None and theirs else None


def is_own(mover):
    return mover.startswith("vmigrate")


def best_peer(runs, case, key):
    """The name of the one with the least, or None."""
    found = {mover: middle(runs, case, mover, key) for mover in movers_of(runs, case) if not is_own(mover)}
    return min((mover for mover in found if found[mover] is not None), key=found.get, default=None)


def judge(runs, bar):
    """The bar with what was measured; `met` is None when there is nothing to judge by."""
    if bar.case is None:
        return judge_worst(runs, bar)
    ours = middle(runs, bar.case, bar.mover, bar.metric)
    theirs = {peer: middle(runs, bar.case, peer, bar.metric) for peer in bar.peers}
    theirs = {peer: value for peer, value in theirs.items() if value is not None}
    peer = min(theirs, key=theirs.get, default=None)
    verdict = {**asdict(bar), "value": ours, "peer": peer, "peer_value": theirs.get(peer), "limit": None, "met": None}
    if bar.case not in {run["case"] for run in runs}:
        return verdict
    if failures(runs, bar.case, bar.mover):
        return {**verdict, "met": False}
    if ours is None:
        return verdict
    if bar.peers and peer is None:
        unfinished = any(failures(runs, bar.case, one) for one in bar.peers)
        return {**verdict, "met": True if bar.or_unfinished and unfinished else None}
    limit = bar.allowance + (bar.factor * theirs[peer] if peer else 0)
    return {**verdict, "limit": limit, "met": ours >= limit if bar.at_least else ours <= limit}


def judge_worst(runs, bar):
    """For all moves of vmigrate."""
    found = [run[bar.metric] for run in runs if is_own(run["mover"] or "") and bar.metric in run]
    worst = max(found, default=None)
    return {**asdict(bar), "value": worst, "peer": None, "peer_value": None, "limit": bar.allowance,
            "met": None if worst is None else worst <= bar.allowance}


def judge_all(runs):
    """Those whose case was run."""
    cases = {run["case"] for run in runs} | {None}
    return [judge(runs, bar) for bar in BARS if bar.case in cases]
