"""One VM and two real libvirtds: what the libvirt side of vmigrate does at each step of a move, and after each fault.

The two host_agents carry what the two daemons would carry, and do each step when they are told to.
"""

import os
import shutil
import uuid

import pytest

from hosts import GUEST_XML, PATIENCE, Agent, Host, kill, make_folder, make_image, wait_until

PROGRAM = os.environ["VMIGRATE_HOST_AGENT"]


@pytest.fixture(scope="module", name="lab")
def two_hosts():
    folder = make_folder()
    (folder / "shared").mkdir()
    hosts = [Host(name, folder / name) for name in ("hosta", "hostb")]
    for host in hosts:
        host.start()
    yield folder, *hosts
    for host in hosts:
        host.stop()
    shutil.rmtree(folder)


class Move:
    """A VM on hosta, and both agents joined."""

    def __init__(self, folder, source_host, destination_host):
        self.folder = folder
        self.source_host = source_host
        self.destination_host = destination_host
        self.link = folder / "link"
        self.name = "web1"
        self.uuid = str(uuid.uuid4())
        self.image = folder / "shared" / "web1.img"
        make_image(self.image)
        for path in folder.glob("link*"):
            path.unlink()
        self.source = Agent(source_host, PROGRAM, self.link)
        self.destination = Agent(destination_host, PROGRAM, self.link)

    def define(self, start=True, transient=False, **changes):
        settings = {"kind": "qemu", "machine": "q35", "cache": "none", "bridge": "br0", "image": self.image,
                    "name": self.name, "uuid": self.uuid} | changes
        xml = self.folder / "guest.xml"
        xml.write_text(GUEST_XML.format(**settings))
        if transient:
            self.source_host.virsh("create", str(xml))
            return
        self.source_host.virsh("define", str(xml))
        if start:
            self.source_host.virsh("start", self.name)

    def join(self):
        self.destination.ask("listen", "listening")
        self.source.ask("connect", "joined")
        self.destination.expect("joined")

    def offer(self):
        """Both checks; what the source found, and what the destination found."""
        outgoing = self.source.findings(f"check {self.name}")
        self.destination.expect("offered")
        return outgoing, self.destination.findings("check-incoming")

    def begin(self, command="outgoing"):
        self.join()
        assert self.offer() == ([], [])
        assert self.destination.ask("incoming", "begun") == "begun ok"
        assert self.source.ask(f"{command} {self.name}", "begun") == "begun ok"

    def to_finish(self, command="outgoing"):
        self.begin(command)
        self.destination.expect("prepared")
        assert self.source.expect("finish-requested") == "finish-requested"

    def finish_there(self):
        self.source.tell("send-finish")
        self.destination.expect("finish-received")
        return self.destination.ask("finish", "finished")

    def answer_here(self):
        self.destination.tell("send-answer")
        self.source.expect("answer-received")
        self.source.tell("answer")
        return self.source.expect("ended")

    def cancelled_finish(self):
        """The source's part failed: Finish with `cancelled` goes there and back."""
        assert self.source.expect("finish-requested") == "finish-requested cancelled"
        assert self.finish_there().startswith("finished failed")
        return self.answer_here()

    def states(self):
        return self.source_host.state(self.name), self.destination_host.state(self.name)

    def stop(self):
        self.source.stop()
        self.destination.stop()
        self.source_host.clear()
        self.destination_host.clear()


@pytest.fixture(name="move")
def one_move(lab):
    move = Move(*lab)
    yield move
    move.stop()


def test_moves_a_persistent_vm_that_only_we_start(move):
    move.define()
    move.to_finish()
    assert move.states() == ("paused (migrating)", "paused (migrating)")
    assert move.destination.ask(f"state {move.uuid}", "state") == "state incoming"
    assert move.finish_there() == "finished loaded"
    source, destination = move.states()
    assert source == "paused (migrating)"
    assert destination.startswith("paused")
    assert move.destination.ask(f"resume {move.uuid}", "resumed") == "resumed ok"
    assert move.answer_here() == "ended ok"
    assert move.source_host.state(move.name) == "absent"
    assert move.destination_host.state(move.name).startswith("running")
    assert move.name in move.destination_host.virsh("list", "--persistent", "--name").stdout
