"""tools/bench: that it measures what it says, and judges by it as it says."""

import json
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from benchkit import page, summary
from benchkit.cases import BARS, CASES, SUITES, WORKLOADS, Bar
from benchkit.measure import ask, course
from benchkit.meters import milestones
from benchkit.movers import MOVERS
from benchkit.summary import METRICS
from labkit.debian_image import debian_image

TOOL = Path(__file__).resolve().parents[2] / "tools/bench"


def run(mover, case="writer", **values):
    return {"case": case, "mover": mover, "round": 0, **values}


def test_the_tables_name_only_what_is_there():
    assert all(case.workload in WORKLOADS and set(case.movers) <= set(MOVERS) for case in CASES.values())
    assert all(case in CASES for cases in SUITES.values() for case in cases)
    for bar in BARS:
        assert bar.metric in METRICS
        if bar.case is None:
            continue
        assert set(bar.peers) <= set(CASES[bar.case].movers), f"bar {bar.number} of {bar.case} can never be judged"
        assert any(bar.case in cases for cases in SUITES.values()), f"no suite runs {bar.case}"


@pytest.mark.parametrize("ours, theirs, met", [(1.09, 1.0, True), (1.11, 1.0, False)])
def test_a_bar_against_a_peer(ours, theirs, met):
    bar = Bar(1, "writer", "released_s", "", ("virsh",), 1.10)
    assert summary.judge([run("virsh", released_s=theirs), run("vmigrate", released_s=ours)], bar)["met"] is met


def test_the_best_of_several_peers_counts():
    bar = Bar(1, "writer", "stream_s", "", ("virsh", "qemu-multifd-zstd"), 1.0)
    runs = [run("virsh", stream_s=3), run("qemu-multifd-zstd", stream_s=1), run("vmigrate", stream_s=2)]
    verdict = summary.judge(runs, bar)
    assert verdict["peer"] == "qemu-multifd-zstd"
    assert verdict["met"] is False


def test_a_move_that_failed_misses_every_bar_of_its_case():
    bar = Bar(1, "writer", "released_s", "", (), 0, 10)
    runs = [run("vmigrate", released_s=1), run("vmigrate", released_s=1, error="ended with 1")]
    assert summary.judge(runs, bar)["met"] is False


def test_a_peer_that_does_not_finish_is_beaten_only_where_the_bar_says_so():
    runs = [run("virsh", to_running_s=9, error="did not finish"), run("vmigrate", to_running_s=5)]
    assert summary.judge(runs, Bar(1, "writer", "to_running_s", "", ("virsh",), 0.5))["met"] is None
    assert summary.judge(runs, Bar(1, "writer", "to_running_s", "", ("virsh",), 0.5, or_unfinished=True))["met"] is True


def test_a_bar_for_every_move_is_judged_by_the_worst():
    bar = Bar(9, None, "daemon_growth_bytes", "", (), 0, 100)
    runs = [run("vmigrate", "idle", daemon_growth_bytes=50), run("virsh", "idle", daemon_growth_bytes=500)]
    assert summary.judge(runs, bar)["met"] is True
    runs.append(run("vmigrate", "empty", daemon_growth_bytes=101, error="cancelled"))
    assert summary.judge(runs, bar)["met"] is False


def test_a_bar_that_must_not_be_fallen_below():
    bar = Bar(8, "writer", "link_use", "", (), 0, 0.85, at_least=True)
    assert summary.judge([run("vmigrate", link_use=0.9)], bar)["met"] is True
    assert summary.judge([run("vmigrate", link_use=0.8)], bar)["met"] is False


def test_the_pause_is_from_the_last_stop_to_the_start_at_the_other_end():
    source = [(10.0, "MIGRATION", {"status": "setup"}), (11.0, "STOP", {}), (11.1, "RESUME", {}), (12.0, "STOP", {}),
              (12.1, "MIGRATION", {"status": "completed"})]
    found = course(milestones(source, [(12.25, "RESUME", {})]), 9.5)
    assert found["stopped_ms"] == pytest.approx(250)
    assert found["to_running_s"] == pytest.approx(2.75)
    assert found["stream_s"] == pytest.approx(2.25)
    assert "RESUME" not in course(milestones(source, []), 9.5) and "error" in course(milestones(source, []), 9.5)


def test_the_workload_finds_a_page_that_is_not_what_was_written(add_guest):
    guest = add_guest("web1", checked=1, dirty_rate=0)
    ask(guest, "fill text 16")
    ask(guest, "write 64 2000")
    assert ask(guest, "scan") == {"pages": 4096, "bad": 0}
    ask(guest, "write 64 0")
    ask(guest, "spoil 77")
    assert ask(guest, "scan")["bad"] == 1


def test_a_suite_is_measured_and_told(tmp_path):
    """With and without libvirt, for a small guest: everything that is promised for each move is there."""
    folder = tmp_path / "results"
    subprocess.run([TOOL, "--suite", "smoke", "--cases", "smallest", "--runs", "2", "--output", folder], check=True)
    document = json.loads((folder / "smoke.json").read_text(encoding="utf-8"))
    assert [one["mover"] for one in document["runs"]] == ["virsh", "qemu", "vmigrate", "vmigrate", "qemu", "virsh"]
    for one in document["runs"]:
        assert "error" not in one
        assert one["bad"] == 0 and one["pages"] > 1000
        assert 0 < one["stopped_ms"] < one["stream_s"] * 1000 < one["to_running_s"] * 1000
        assert one["said_pause_ms"] >= 0 and one["gap_ms"] > 0 and one["cpu_s"] > 0 and one["passes"] >= 1
        # The guest sends none while it is stopped, and the first that it is due at once.
        assert one["tick_pause_ms"] > one["stopped_ms"] - 10
        # A quarter of the guest is random: no mover can send less than that.
        assert one["sent_bytes"] > one["pages"] * 4096 * 7 // 8 > one["returned_bytes"]
    grown = [one["daemon_growth_bytes"] for one in document["runs"] if one["mover"] == "vmigrate"]
    assert max(grown) > 0
    text = folder.with_suffix(".md").read_text(encoding="utf-8")
    assert "vmigrate / best peer" in text
    for picture in folder.glob("*.svg"):
        assert picture.name in text
        assert "vmigrate" in "".join(ET.parse(picture).getroot().itertext())
    assert page.load(folder) == [document]


def test_movers_that_move_nothing_are_refused(tmp_path):
    done = subprocess.run([TOOL, "--cases", "idle", "--movers", "qemu", "--output", tmp_path], check=False,
                          capture_output=True, text=True)
    assert done.returncode == 1 and "none of these movers" in done.stderr


def test_a_guest_of_ones_own_is_measured(tmp_path):
    image = tmp_path / "ours.img"
    image.symlink_to(debian_image())
    folder = tmp_path / "results"
    subprocess.run([TOOL, "--cases", "debian", "--movers", "vmigrate", "--guest", image, "--runs", "1",
                    "--output", folder], check=True)
    one, = json.loads((folder / "smoke.json").read_text(encoding="utf-8"))["runs"]
    assert one["mover"] == "vmigrate" and "error" not in one
    assert one["bad"] == 0 and one["sent_bytes"] > 64 << 20
    assert "it was booted from ours.img" in folder.with_suffix(".md").read_text(encoding="utf-8")
