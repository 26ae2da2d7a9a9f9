"""The second half of tools/quickstart: two hosts, a guest, a move there and back, and what its users noticed."""

import argparse
import json
import subprocess
import sys
import tempfile

from . import processes
from .clients import HeldConnection, Pinger, RarpCapture
from .errors import LabError
from .lab import Lab

GUEST = "web1"


def say(text):
    print(f"\n== {text}", flush=True)


def state_on(lab, name):
    """The guest's state on a host as virsh says it, or "absent"."""
    return lab.host(name).domains().get(GUEST, "absent")


def receipt(lab, host):
    answer = lab.host(host).run(lab.host(host).client_program, "-o", "json", "show", GUEST)
    return json.loads(answer.stdout)["receipt"]


def hop(lab, guest, source, destination):
    """Moves the guest; gives what was seen, and raises when the move failed."""
    with Pinger(lab, guest.address) as pinger, RarpCapture(lab) as rarp, \
            HeldConnection(lab, guest.address) as connection:
        processes.wait_until(lambda: connection.exchanged > 0 and pinger.answered, 10, "the guest to answer its client")
        moved = subprocess.run(lab.host(source).inside(lab.host(source).client_program, "start", GUEST, destination), check=False)
        if moved.returncode != 0:
            raise LabError(f"vmigrate start ended with {moved.returncode}")
        before = connection.exchanged
        processes.wait_until(lambda: connection.broken or connection.exchanged > before + 10, 10,
                             "the TCP connection to go on")
    checked = guest.scan()
    costs = receipt(lab, source)
    return {"from": source, "to": destination, "result": "completed",
            "memory_verified": costs["memory_verified"] and checked["bad"] == 0,
            "pages_checked": checked["pages"], "pages_bad": checked["bad"],
            "tcp_connection_survived": not connection.broken,
            "client_gap_ms": round(pinger.largest_gap * 1000, 1), "pings_lost": pinger.lost,
            "downtime_ms": costs["pause_ms"], "total_ms": costs["total_ms"],
            "rarp_frames": len(rarp.frames),
            "source_state": state_on(lab, source), "destination_state": state_on(lab, destination)}


def tell(seen):
    print(f"what a client saw: largest gap between two pings {seen['client_gap_ms']} ms, "
          f"TCP connection {'held' if seen['tcp_connection_survived'] else 'BROKEN'}, "
          f"{seen['rarp_frames']} RARP frames; {seen['pages_checked']} pages checked by the guest, "
          f"{seen['pages_bad']} bad; {seen['from']}: {seen['source_state']}, {seen['to']}: {seen['destination_state']}")


def is_good(seen):
    return (seen["memory_verified"] and seen["tcp_connection_survived"] and seen["rarp_frames"] > 0
            and seen["source_state"] in ("absent", "shut off") and seen["destination_state"].startswith("running"))


def summary(hops):
    """The worst of all hops, and each of them."""
    return {"result": "ok" if len(hops) == 2 and all(map(is_good, hops)) else "failed",
            "memory_verified": all(seen["memory_verified"] for seen in hops),
            "tcp_connection_survived": all(seen["tcp_connection_survived"] for seen in hops),
            "client_gap_ms": max(seen["client_gap_ms"] for seen in hops),
            "downtime_ms": max(seen["downtime_ms"] for seen in hops),
            "total_ms": max(seen["total_ms"] for seen in hops),
            "rarp_frames": min(seen["rarp_frames"] for seen in hops),
            "source_state": hops[-1]["source_state"], "destination_state": hops[-1]["destination_state"], "hops": hops}


def run():
    lab = Lab(tempfile.mkdtemp(prefix="vmigrate-quickstart-", dir="/var/tmp"))
    try:
        say("two libvirt hosts, hosta and hostb, in namespaces of this machine")
        lab.up()
        say(f"the guest {GUEST}, a small Linux that writes and checks its memory, boots on hosta")
        guest = lab.add_guest(GUEST)
        hops = []
        for source, destination in (("hosta", "hostb"), ("hostb", "hosta")):
            say(f"{source}# vmigrate start {GUEST} {destination}")
            hops.append(hop(lab, guest, source, destination))
            tell(hops[-1])
        return summary(hops)
    finally:
        say("everything that was started ends")
        lab.down()


def main():
    parser = argparse.ArgumentParser(prog="tools/quickstart", description=__doc__)
    parser.add_argument("--json", action="store_true", help="close with one line of JSON")
    options = parser.parse_args()
    try:
        result = run()
    except LabError as error:
        print(f"quickstart: {error}", file=sys.stderr)
        if error.hint:
            print(f"hint: {error.hint}", file=sys.stderr)
        result = {"result": "failed", "error": str(error)}
    if options.json:
        print(json.dumps(result))
    elif result["result"] == "ok":
        print(f"\n{GUEST} moved there and back; the longer pause was {result['downtime_ms']} ms.")
    return 0 if result["result"] == "ok" else 1


if __name__ == "__main__":
    sys.exit(main())
