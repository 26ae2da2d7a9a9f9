"""The matrix of docs/faults.md in parts: where a migration is held, what is done to it there, and where the VM may be
once everything works again. A test makes every cell of them, tools/faults prints what came of it."""

import os
import random
import signal
import subprocess
import time
from contextlib import nullcontext
from dataclasses import dataclass, field

from labkit import network, processes

from moving import GUEST, empty_state_folder, fill_state_folder, small_state_folder
from test_faults import PATIENCE, Move, daemon_of, is_stopped, phase, restart, status, wait_for_phase

SOURCE, DESTINATION, LOST, ENDED, IN_DOUBT = "source", "destination", "lost", "ended itself", "in doubt"
EITHER = (SOURCE, DESTINATION)  # a race that each may win; what the client says must be the truth
# Longer than a peer is silent before it is taken for dead, and than the lab's reconnect_window behind that; in the full suite
# longer, too, than libvirt hears nothing from a client before it lets go of it.
STANDS_STILL = 61 if os.environ.get("VMIGRATE_FAULTS_SUITE") == "full" else 18


@dataclass(frozen=True)
class Hold:
    """Where the migration is when it happens. The daemon of `host` is stopped at the failpoint; without one nothing is,
    and memory moves slowly."""
    name: str
    step: str
    host: str = ""
    failpoint: str = ""


PROMISES = [
    Hold("about to ask", "prepare", "hosta", "stop:before:preparing"),
    Hold("asked for", "prepare", "hosta", "stop:after:preparing"),
    Hold("about to reserve", "prepare", "hostb", "stop:before:reserved"),
    Hold("reserved", "prepare", "hostb", "stop:after:reserved"),
    Hold("memory", "memory"),
    Hold("about to promise", "last pages", "hosta", "stop:before:relinquished"),
    Hold("promised", "promised", "hosta", "stop:after:relinquished"),
    Hold("about to commit", "promised", "hostb", "stop:before:started"),
    Hold("committed", "committed", "hostb", "stop:after:started"),
    Hold("resumed", "committed", "hostb", "stop:before:running"),
    Hold("known to run", "clean-up", "hostb", "stop:after:running"),
    Hold("about to forget", "clean-up", "hosta", "stop:before:confirmed"),
    Hold("over", "clean-up", "hosta", "stop:after:confirmed"),
]
# At messages, at bytes of the memory lane, and at what libvirt tells.
BETWEEN = [
    Hold("offered", "prepare", "hostb", "stop:before:receiving offer"),
    Hold("prepared", "prepare", "hostb", "stop:before:prepared"),
    Hold("connected", "prepare", "hosta", "stop:before:stream connected"),
    Hold("some bytes sent", "memory", "hosta", "stop:after:sending byte 4000000"),
    Hold("some bytes received", "memory", "hostb", "stop:before:receiving byte 4000000"),
    Hold("asked to finish", "last pages", "hosta", "stop:before:finish requested"),
    # Of a source that dies now, the last pages may not have come.
    Hold("told to take over", "promised", "hostb", "stop:before:receiving finish"),
    Hold("about to hear", "committed", "hosta", "stop:before:receiving verdict"),
    Hold("ended", "clean-up", "hosta", "stop:before:ended"),
    Hold("about to be thanked", "clean-up", "hostb", "stop:before:receiving confirmed"),
]
HOLDS = PROMISES + BETWEEN


@dataclass
class Scene:
    """A migration from hosta to hostb that stands at its hold."""
    lab: object
    guest: object
    hold: Hold
    asked: list = field(default_factory=list)  # clients beside the one that started it, and at which ends they succeed

    def begin(self):
        if self.hold.failpoint:
            restart(self.holder, {"VMIGRATE_FAILPOINT": self.hold.failpoint})
        else:
            self.lab.link.shape("20mbit")
        self.move = Move(self.lab)
        if self.hold.failpoint:
            processes.wait_until(is_stopped(self.holder), PATIENCE, "the failpoint")
        else:
            wait_for_phase(self.source, "MEMORY")

    @property
    def source(self):
        return self.lab.host("hosta")

    @property
    def holder(self):
        return self.lab.host(self.hold.host)

    def release(self):
        """What stands at the failpoint goes on, if it lives."""
        if self.hold.failpoint and self.holder.is_running("migrated"):
            processes.send(daemon_of(self.holder), signal.SIGCONT)

    def ask(self, arguments, works_if):
        """Not waited for: the daemon may be stopped."""
        command = self.source.inside(self.source.client_program, *arguments)
        asked = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.asked.append((asked, works_if))

    def has_stopped_trying(self):
        """The source has given up, or waits for a word of the destination."""
        return self.move.process.poll() is not None or phase(self.source) == "NEEDS_ATTENTION"


# -- What happens. Each leaves what it has broken for others to mend, but for what comes back by itself.

def kill_daemon(host):
    def inflict(scene):
        scene.lab.host(host).kill_daemon()
        scene.release()
    return inflict


def stop_daemon(host):
    def inflict(scene):
        daemon = daemon_of(scene.lab.host(host))
        processes.send(daemon, signal.SIGSTOP)
        if scene.hold.host != host:
            scene.release()
        time.sleep(STANDS_STILL)  # how long it stands still
        processes.send(daemon, signal.SIGCONT)
    return inflict


def kill_qemu(host):
    def inflict(scene):
        os.kill(scene.lab.host(host).qemus()[GUEST]["pid"], signal.SIGKILL)
        scene.release()
    return inflict


def restart_libvirtd(host):
    def inflict(scene):
        scene.lab.host(host).kill_libvirtd()
        scene.lab.host(host).start_libvirtd()
        scene.release()
    return inflict


def cut(sender=None):
    def inflict(scene):
        scene.lab.link.cut(sender)
        scene.release()
        processes.wait_until(scene.has_stopped_trying, PATIENCE, "the source to give up")
    return inflict


def cut_for_a_second(scene):
    scene.lab.link.cut()
    scene.release()
    time.sleep(1)  # how long the cut lasts
    scene.lab.link.heal()


def ask(*arguments, works_if=()):
    def inflict(scene):
        scene.ask(arguments, works_if)
        scene.release()
    return inflict


def start_by_hand(scene):
    answer = scene.lab.host("hostb").virsh("start", GUEST, check=False)
    assert answer.returncode != 0, answer.stdout
    scene.release()


def destroy_by_hand(host):
    def inflict(scene):
        scene.lab.host(host).virsh("destroy", GUEST)
        scene.release()
    return inflict


def abort_by_hand(scene):
    # Behind the promise libvirt may refuse it, or say that it has no job that could be aborted.
    scene.source.virsh("domjobabort", GUEST, check=False)
    scene.release()


def resume_by_hand(scene):
    # libvirt refuses it, after 30 s, as long as our client moves the VM: not when that is dead, or stands still itself.
    answer = scene.source.virsh("resume", GUEST, check=False)
    assert answer.returncode != 0, answer.stdout
    scene.release()


def fill_disk(host):
    def inflict(scene):
        fill_state_folder(scene.lab.host(host))
        scene.lab.link.shape(None)  # the next record is written when memory has moved
        scene.release()
        processes.wait_until(scene.has_stopped_trying, PATIENCE, "the source to have done what it can")
    return inflict


def small_disk(host):
    return lambda lab: small_state_folder(lab.host(host))


def shut_guest_down(scene):
    scene.guest.tell_init("poweroff")
    processes.wait_until(lambda: not scene.guest.running_on, PATIENCE, "the guest to end")
    scene.release()


def reboot_guest(scene):
    scene.guest.tell_init("reboot")
    scene.release()


@dataclass(frozen=True)
class Fault:
    """`outcomes`: by the names of holds, where the VM may be in the end; those at which it cannot happen, or not
    otherwise than at the next, are left out. `around`: gives a context in which all of it is done."""
    name: str
    inflict: object
    outcomes: dict
    around: object = lambda lab: nullcontext()
    is_booted_anew: bool = False  # with what is on its disk


AT_THE_ENDS = ("about to ask", "about to reserve", "over")


def by_hold(*outcomes, **at_the_ends):
    """In the order of PROMISES but for AT_THE_ENDS; None where it cannot happen."""
    named = in_order([hold.name for hold in PROMISES if hold.name not in AT_THE_ENDS], outcomes)
    return named | {name.replace("_", " "): (outcome,) for name, outcome in at_the_ends.items()}


def between(*outcomes):
    return in_order([hold.name for hold in BETWEEN], outcomes)


def in_order(names, outcomes):
    named = zip(names, outcomes, strict=True)
    return {name: (outcome,) if isinstance(outcome, str) else outcome for name, outcome in named if outcome}


S, D = SOURCE, DESTINATION
EVERYWHERE = by_hold(*[D] * (len(PROMISES) - len(AT_THE_ENDS)))
KILL_SOURCE, KILL_DESTINATION = kill_daemon("hosta"), kill_daemon("hostb")
# A daemon that is stopped about to promise does so before it hears of anything else.
FAULTS = [
    Fault("the source's daemon is killed", KILL_SOURCE,
          by_hold(S, S, S, S, S, EITHER, D, D, D, D, about_to_ask=S, over=D) | between(S, S, S, S, S, S, EITHER, D, D, D)),
    Fault("the destination's daemon is killed", KILL_DESTINATION,
          by_hold(S, S, S, S, S, S, D, D, D, D, about_to_reserve=S) | between(S, S, S, S, S, S, S, D, D, D)),
    Fault("the source's daemon stands still", stop_daemon("hosta"), by_hold(EITHER, S, S, S, EITHER, EITHER, D, D, D, D)),
    Fault("the destination's daemon stands still", stop_daemon("hostb"), by_hold(S, S, S, S, EITHER, EITHER, D, D, D, D)),
    Fault("the source's QEMU is killed", kill_qemu("hosta"),
          by_hold(LOST, LOST, LOST, D, D, D, D, D, D, None) | between(LOST, LOST, LOST, LOST, LOST, D, D, D, None, None)),
    Fault("the destination's QEMU is killed", kill_qemu("hostb"),
          by_hold(None, None, S, S, S, (S, IN_DOUBT), IN_DOUBT, (IN_DOUBT, LOST), LOST, LOST) |
          between(None, S, S, S, S, S, S, LOST, LOST, LOST)),
    Fault("the source's libvirtd is killed", restart_libvirtd("hosta"),
          by_hold(EITHER, EITHER, S, EITHER, EITHER, EITHER, D, D, D, D) |
          between(EITHER, EITHER, EITHER, S, S, EITHER, EITHER, D, D, D)),
    Fault("the destination's libvirtd is killed", restart_libvirtd("hostb"),
          by_hold(EITHER, EITHER, S, S, S, EITHER, D, D, D, D) |
          between(EITHER, EITHER, EITHER, S, S, S, EITHER, D, D, D)),
    Fault("the link is cut for a second", cut_for_a_second, EVERYWHERE | between(*[D] * len(BETWEEN))),
    Fault("the link is cut for good", cut(),
          by_hold(S, S, S, S, EITHER, EITHER, D, D, D, None) | between(S, S, S, S, S, S, D, D, None, None)),
    Fault("nothing comes from the source", cut("hosta"), by_hold(S, S, S, S, EITHER, EITHER, D, D, D, None)),
    # What the source sends arrives: silence is not failure.
    Fault("nothing comes from the destination", cut("hostb"), by_hold(S, S, S, EITHER, EITHER, EITHER, D, D, D, None)),
    Fault("it is cancelled", ask("cancel", GUEST, works_if=(S,)),
          by_hold(S, S, S, EITHER, EITHER, EITHER, D, D, D, D, about_to_reserve=S) |
          between(S, S, S, S, S, EITHER, EITHER, D, D, D)),
    Fault("the source's disk is full", fill_disk("hosta"), by_hold(S, S, S, S, D, D, D, D, D, D), small_disk("hosta")),
    Fault("the destination's disk is full", fill_disk("hostb"), by_hold(S, S, S, S, S, S, D, D, D, D), small_disk("hostb")),
    Fault("the guest shuts down", shut_guest_down,
          by_hold(ENDED, ENDED, ENDED, None, None, None, None, ENDED, ENDED, ENDED)),
    Fault("the guest reboots", reboot_guest, by_hold(D, D, D, None, None, None, None, D, D, D), is_booted_anew=True),
    Fault("it is started by hand at the destination", start_by_hand, EVERYWHERE),
    Fault("it is destroyed by hand at the source", destroy_by_hand("hosta"),
          {"prepared": (ENDED,), "memory": (ENDED,), "promised": (D,), "committed": (D,)}),
    Fault("it is destroyed by hand at the destination", destroy_by_hand("hostb"),
          {"memory": (S,), "about to promise": (S,), "about to commit": (S, IN_DOUBT), "committed": (IN_DOUBT,),
           "known to run": (ENDED,)}),
    Fault("it is aborted by hand at the source", abort_by_hand,
          {"prepared": EITHER, "memory": (S,), "about to promise": EITHER, "promised": EITHER, "committed": (D,)}),
    Fault("it is resumed by hand at the source", resume_by_hand,
          by_hold(*[None] * 5, D, D, D, None, None) | between(*[None] * 6, EITHER, *[None] * 3)),
    Fault("it is asked for again", ask("start", GUEST, "hostb"), EVERYWHERE),
]
# With these it is as if nothing had happened.
GOES_ON = {"the link is cut for a second", "the guest reboots", "it is started by hand at the destination",
           "it is asked for again"}
CELLS = [(fault, hold) for fault in FAULTS for hold in HOLDS if hold.name in fault.outcomes]


# Where the other host's word is what counts.
ALSO_QUICK = {("the destination's QEMU is killed", "committed"), ("the link is cut for good", "committed"),
              ("nothing comes from the destination", "promised"), ("the source's libvirtd is killed", "promised"),
              ("it is cancelled", "about to commit"), ("the destination's disk is full", "about to commit"),
              ("the source's daemon is killed", "some bytes sent"),
              ("the destination's daemon is killed", "some bytes received"),
              ("the destination's daemon is killed", "told to take over"), ("the source's daemon is killed", "about to hear")}


def is_quick(fault, hold):
    """Every fault while memory moves, each daemon killed at each of its promises and in the middle of the memory, and a few
    more."""
    dies_there = hold not in BETWEEN and (fault.inflict, hold.host) in ((KILL_SOURCE, "hosta"), (KILL_DESTINATION, "hostb"))
    return hold.name == "memory" or dies_there or (fault.name, hold.name) in ALSO_QUICK


def cells(suite, seed):
    """In an order of the seed."""
    chosen = [cell for cell in CELLS if suite == "full" or is_quick(*cell)]
    return random.Random(seed).sample(chosen, len(chosen))


# -- Afterwards

def mend(lab):
    lab.link.heal()
    lab.link.shape(None)
    for host in lab.hosts.values():
        empty_state_folder(host)
        if not host.is_running("libvirtd"):
            host.start_libvirtd()
        if not host.is_running("migrated"):
            host.start_daemon()


def where_it_is(lab, guest):
    """What has become of it, once both daemons have come to an end with it."""
    def settled():
        seen = [vm.get("migration") for host in lab.hosts.values() for vm in status(host, "list")["vms"]]
        return all(not migration or migration["phase"] == "NEEDS_ATTENTION" for migration in seen)

    def found():
        if not settled():
            return None
        places = [host.name for host in guest.running_on]
        if len(places) == 1:
            return SOURCE if places == ["hosta"] else DESTINATION
        assert not places, f"{GUEST} runs on {places}"
        if phase(lab.host("hosta")) == "NEEDS_ATTENTION":
            # It asks, and may be answered at any moment, unless nobody can know.
            return IN_DOUBT if (phase(lab.host("hostb")) == "NEEDS_ATTENTION") else None
        return LOST if not any(host.qemus() for host in lab.hosts.values()) else None  # or it has ended itself

    return processes.wait_until(found, PATIENCE, "an end")


# What belongs to a host: its daemons, whoever waits for them, the process that keeps its namespaces.
RESIDENTS = {"libvirtd", "migrated", "tini", "sleep"}


def leave_nothing_running(lab):
    """Beside the guest's QEMU and its tap on the one host that has it."""
    def left():
        found = []
        for host in lab.hosts.values():
            guests = len(host.qemus())
            names = [network.name_of(pid) for pid in network.processes_in(host.namespace)]
            found += [name for name in names if name and name not in RESIDENTS and not (guests and name.startswith("qemu"))]
            found += [tap for tap in network.links_in(host.namespace) if tap.startswith("vnet")][guests:]
        return found

    processes.wait_until(lambda: not left(), PATIENCE, "every process and tap of a migration to be gone")


def decide(lab, guest, name):
    """As a person does with a VM that is in doubt: it runs again on that host, and nothing of it is left on the other."""
    chosen, other = lab.host(name), lab.host({"hosta": "hostb", "hostb": "hosta"}[name])
    assert not lab.host("hostb").qemus()
    chosen.run(chosen.client_program, "resolve", GUEST, "--run-here", "--i-have-fenced", other.name)
    if name == "hostb":
        # Its memory is lost.
        chosen.virsh("start", GUEST)
    processes.wait_until(lambda: [host.name for host in guest.running_on] == [name], PATIENCE, f"{GUEST} to run again")
    processes.wait_until(lambda: GUEST not in other.domains(), PATIENCE, f"{other.name} to give it up")
    processes.wait_until(lambda: not {phase(host) for host in lab.hosts.values()} & {"NEEDS_ATTENTION", None}, PATIENCE,
                         "the end of the doubt")


def make_anew(lab):
    """The guest, with an empty disk: one that was lost has told of writes that are nowhere any more."""
    lab.remove_guest(GUEST)
    lab.add_guest(GUEST)
