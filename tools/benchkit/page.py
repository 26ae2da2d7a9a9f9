"""The page, its plots, and the table on the terminal, all from the documents that tools/bench keeps."""

import json
from statistics import median

from . import plots, summary
from .cases import CASES, SUITES, WORKLOADS
from .summary import METRICS

PLOTTED = ("to_running_s", "gap_ms", "sent_bytes")
COLUMNS = ("to_running_s", "released_s", "stream_s", "gap_ms", "tick_pause_ms", "stopped_ms", "said_pause_ms",
           "sent_bytes", "cpu_s", "cpu_source_s", "cpu_destination_s", "work_lost_s", "redis_slowest_ms",
           "web_slowest_ms", "link_use", "said_stall", "daemon_growth_bytes")
NOTHING = "–"
# What may be nothing or less, and what only vmigrate has, or more of is better.
WITHOUT_RATIO = ("work_lost_s", "daemon_growth_bytes", "link_use", "said_stall")
# More of one processor than this taken by strangers, and the numbers are not to be trusted.
DISTURBED = 0.15

HOW = """\
# Benchmarks

This page is written by `tools/bench` from the raw results and remarks beside it; do not edit it. Two libvirt hosts live in
namespaces of one machine, joined by a virtual wire that `tc` limits. Every guest is moved there and back by each mover
in turns (A B, B A, …), in one run, under the eyes of a client that pings it every 2 ms. Numbers are medians, with the
range in parentheses. Ratios travel between machines; seconds do not.

* **running**: from the command's start until the destination's QEMU said RESUME, by QEMU's own time stamps.
* **released**: from the command's start to its return; the source has let go of the guest.
* **streaming**: from the moment at which the source's QEMU began to migrate until the guest ran at the destination.
* **client gap**: the longest time between two answers to the pings. **pause by ticks**: the longest time between two
  of the numbered datagrams that the guest itself sends every 10 ms, stamped where they arrive, less those 10 ms.
  **stopped**: from QEMU's STOP at the source to RESUME at the destination. **pause as told**: the mover's own figure
  (receipt, or `virsh domjobinfo`).
* **sent**: what the source's migration interface sent, headers and acknowledgements included.
* **CPU**: processor seconds of everything on both hosts (QEMU, libvirtd, migrated, the command) until the command
  returned, processes that ended included. The guest's own work is in it, as guests are emulated. The kernel's work for
  the network is in it only as far as the kernel bills it to those processes.
* **work lost**: how far the guest fell behind what it is set to write, or wrote just before if that was less, by its
  own counters, in seconds of its work.
* **daemon grew**: peak of a daemon's resident memory during the move, less what it held before; the larger of both.

After every move the guest checks its memory; a wrong page makes the run a failure. A run that fails is not repeated. A
guest's first move is not measured: its QEMU goes through memory then that it has never looked at, which takes longer for whoever
is first.

What to bear in mind: `virsh` speaks to both libvirtds over local sockets, so a delay on the link delays only its
stream, while all of vmigrate's messages cross the link. vmigrate's link is encrypted (TLS) and its stream checksummed,
the peers' are neither. `vmigrate-clear` is the same daemon with a double in the place of its encryption, for memory only:
what encryption costs. `vmigrate-abort` and `vmigrate-pause` are `vmigrate start --on-stall abort` and `pause`. `qemu` and `qemu-multifd-zstd` are two QEMUs without libvirt, started and told what to do by
hand: a guest of the same kind of its own, which stands still while others are measured. Guests are emulated: their
processors are slow, and dirty memory is tracked by QEMU, not by KVM. Before 9.0 QEMU can lose some of it (see "Emulated
VMs" in faults.md), whoever moves the guest; the daemons are set to move it all the same.
"""


def load(folder):
    """The documents of all suites there, in the order of the table of suites."""
    files = [folder / f"{name}.json" for name in SUITES]
    return [json.loads(file.read_text(encoding="utf-8")) for file in files if file.exists()]


def write(folder):
    """FOLDER.md and FOLDER/*.svg from FOLDER/*.json."""
    documents = load(folder)
    parts = [HOW]
    for document in documents:
        parts.append(suite_section(document, folder))
    folder.with_name(folder.name + ".md").write_text("\n".join(parts), encoding="utf-8")


def cases_in(document):
    return [name for name in CASES if name in {run["case"] for run in document["runs"]}]


def suite_section(document, folder):
    suite = document["suite"]
    lines = [f"## Suite `{suite}`", "",
             f"{document['started']}; moves of each mover in each case: {document['runs_each']}. Raw results: "
             f"[{suite}.json]({folder.name}/{suite}.json).", "", *circumstances_lines(document), ""]
    lines += ["### Bars", "", *bars_table(document), "", *remarks(folder / f"{suite}-remarks.md")]
    for key in PLOTTED:
        picture = draw(document, key)
        if picture:
            name = f"{suite}-{key.removesuffix('_s').removesuffix('_ms').replace('_', '-')}.svg"
            (folder / name).write_text(picture, encoding="utf-8")
            lines.append(f"![{METRICS[key].title}]({folder.name}/{name})")
    lines.append("")
    for name in cases_in(document):
        lines += [f"### {name}", "", f"{WORKLOADS[CASES[name].workload].text}; {describe_link(CASES[name])}.", "",
                  *case_table(document["runs"], name), "", *failure_lines(document["runs"], name)]
    return "\n".join(lines)


def remarks(file):
    """What somebody has to say of the results: why a bar is missed."""
    # Links there are seen from beside the raw results, and here from one folder above.
    return [file.read_text(encoding="utf-8").replace("](../", "](")] if file.exists() else []


def describe_link(case):
    writes = f"; pages are written to at {case.write_factor} times the link's rate" if case.write_factor else ""
    busy = "; clients change 200 records a second in its redis and fetch 50 pages from its nginx" if case.busy else ""
    return f"link {case.link}{writes}{busy}"


def circumstances_lines(document):
    facts = document["circumstances"]
    lines = [f"vmigrate {facts['vmigrate']} (migrated's SHA-256 begins with {facts['migrated']}), {facts['qemu']}, "
             f"{facts['libvirt']}, Linux {facts['kernel']}; {facts['processors']} processors ({facts['processor']}), "
             f"{facts['memory_bytes'] >> 30} GiB; guests {facts['guests']}; TCP congestion control "
             f"{facts['congestion_control']} for all."]
    if facts.get("image"):
        lines.append(f"The Debian guest is not the lab's own: it was booted from {facts['image']}.")
    strangers = [run["others_before"] for run in document["runs"] if "others_before" in run]
    if strangers:
        lines.append(f"Just before each move, what has nothing to do with this took {median(strangers):.2f} processors "
                     f"at the median and {max(strangers):.2f} at most.")
        late = [run["own_gap_ms"] for run in document["runs"] if "own_gap_ms" in run]
        lines.append(f"The client that pings was late itself by {median(late):.0f} ms at the median and "
                     f"{max(late):.0f} ms at most; below that, gaps say nothing.")
    disturbed = sum(share > DISTURBED for share in strangers)
    if disturbed:
        lines += ["", f"**The machine had other work in {disturbed} of {len(strangers)} moves: these numbers say "
                  "little.**"]
    return lines


def titled(metric):
    return f"{metric.title}, {metric.unit}" if metric.unit else metric.title


def with_range(runs, case, mover, key):
    found = summary.values(runs, case, mover, key)
    if not found:
        return NOTHING
    metric = METRICS[key]
    middle = metric.show(summary.middle(runs, case, mover, key))
    return middle if len(found) == 1 else f"{middle} ({metric.show(min(found))}–{metric.show(max(found))})"


def case_table(runs, case):
    movers = summary.movers_of(runs, case)
    yield "| | " + " | ".join(movers) + " | vmigrate / virsh | vmigrate / best peer |"
    yield "|---" * (len(movers) + 3) + "|"
    for key in COLUMNS:
        cells = [with_range(runs, case, mover, key) for mover in movers]
        if any(cell != NOTHING for cell in cells):
            yield f"| {titled(METRICS[key])} | {' | '.join(cells + ratios(runs, case, key))} |"
    yield "| failed | " + " | ".join(str(len(summary.failures(runs, case, mover))) for mover in movers) + " | | |"


def ratios(runs, case, key):
    """To plain, and to the best peer with its name where that is another."""
    if key in WITHOUT_RATIO:
        return [NOTHING, NOTHING]
    best = summary.best_peer(runs, case, key)
    plain, least = (summary.ratio(runs, case, "vmigrate", peer, key) for peer in ("virsh", best))
    return [NOTHING if plain is None else f"{plain:.2f}",
            NOTHING if least is None or best == "virsh" else f"{least:.2f} ({best})"]


def failure_lines(runs, case):
    lines = [f"* {run['mover'] or 'guest'}, turn {run['round'] + 1}: {run['error']}" for run in runs
             if run["case"] == case and "error" in run]
    return ["Failed:", "", *lines, ""] if lines else []


def bars_table(document):
    """Judged anew, so that a bar that was added later counts for results that were kept."""
    yield "| | bar | measured | limit | |"
    yield "|---|---|---|---|---|"
    for verdict in summary.judge_all(document["runs"]):
        metric = METRICS[verdict["metric"]]
        told = {True: "met", False: "**missed**", None: "not judged"}[verdict["met"]]
        peer = f" ({verdict['peer']}: {metric.show(verdict['peer_value'])})" if verdict["peer"] else ""
        yield (f"| {verdict['number']} | {verdict['text']} | {metric.show(verdict['value'])} {metric.unit}{peer} | "
               f"{'at least ' if verdict['at_least'] else ''}{metric.show(verdict['limit'])} {metric.unit} | {told} |")


def draw(document, key):
    runs = document["runs"]
    groups = []
    for case in cases_in(document):
        rows = []
        for mover in summary.movers_of(runs, case):
            found = [value * METRICS[key].scale for value in summary.values(runs, case, mover, key)]
            rows.append((mover, min(found), median(found), max(found)) if found else (mover, None, None, None))
        if rows:
            groups.append((case, rows))
    show = f"{{:.{METRICS[key].digits}f}}".format
    return plots.bars(METRICS[key].title, METRICS[key].unit, groups, show) if groups else None


def print_table(document):
    """What the page says, for a terminal."""
    runs = document["runs"]
    for case in cases_in(document):
        movers = summary.movers_of(runs, case)
        print(f"\n{case}: {CASES[case].link}\n{'':26}" + "".join(f"{mover:>26}" for mover in movers))
        for key in COLUMNS:
            cells = [with_range(runs, case, mover, key) for mover in movers]
            if any(cell != NOTHING for cell in cells):
                print(f"{titled(METRICS[key]):26}" + "".join(f"{cell:>26}" for cell in cells))
    print()
    for verdict in summary.judge_all(runs):
        metric = METRICS[verdict["metric"]]
        told = {True: "met", False: "MISSED", None: "not judged"}[verdict["met"]]
        print(f"{told:10} {verdict['text']}: {metric.show(verdict['value'])} against {metric.show(verdict['limit'])} "
              f"{metric.unit}")
