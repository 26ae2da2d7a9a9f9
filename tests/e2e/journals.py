"""The daemons' journals, read side by side: what both hosts have on record about a VM must be one story."""

import json
from collections import namedtuple

from labkit import processes

PATIENCE = 60
# Each host counts epochs of its own.
Row = namedtuple("Row", "migration role epoch state")
ROLES = {1: "source", 2: "destination"}
# Inside the host: some tests put another folder in the journal's place there.
READ = """
import json, sqlite3, sys
journal = sqlite3.connect("file:/var/lib/vmigrate/journal.db?mode=ro", uri=True)
rows = journal.execute("SELECT migration, role, epoch, state FROM promises WHERE vm = ?", (sys.argv[1],))
print(json.dumps(rows.fetchall()))
"""
HAS_ENDED = {"confirmed", "reclaimed", "running", "done", "refused"}


def rows_of(host, vm_id):
    read = json.loads(host.run("python3", "-c", READ, vm_id).stdout)
    return [Row(migration, ROLES[role], epoch, state) for migration, role, epoch, state in read]


def contradictions(rows):
    """Migrations of which both hosts have a record, and both or neither have the VM by it."""
    found = []
    for migration in {row.migration for row in rows}:
        states = {row.role: row.state for row in rows if row.migration == migration}
        source, destination = states.get("source"), states.get("destination")
        both = source in ("reclaiming", "reclaimed") and destination in ("started", "running", "done")
        neither = source in ("releasing", "confirmed") and destination in ("refusing", "refused")
        if both or neither:
            found.append((migration, states))
    return found


def tell_one_story(lab, vm_id):
    rows = [row for host in lab.hosts.values() for row in rows_of(host, vm_id)]
    assert not contradictions(rows), rows


def are_closed(lab, vm_id, owner):
    """Nothing is left to be done, and by the newest migration, of which both have a record, the VM is the owner's."""
    def newest():
        return {name: max(rows_of(host, vm_id), key=lambda row: row.epoch) for name, host in lab.hosts.items()}

    # The destination's last word is written behind the source's.
    processes.wait_until(lambda: all(row.state in HAS_ENDED for row in newest().values()), PATIENCE,
                         "the journals to be closed")
    rows = newest()
    assert len({row.migration for row in rows.values()}) == 1, rows
    assert [name for name, row in rows.items() if row.state in ("reclaimed", "running", "done")] == [owner], rows
