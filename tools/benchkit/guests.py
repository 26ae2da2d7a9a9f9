"""The guests of the workloads: booted, filled, and told what to do."""

import contextlib
import functools

from labkit import LabError

from . import redis
from .bare import BareGuest
from .measure import ask


class Guests:
    """The guests of one workload: one that libvirt knows and, where a mover needs it, one that it does not.

    Only one of them runs at a time; the other stands still.
    """

    def __init__(self, lab, workload, groups, image=None):
        self.lab = lab
        self.workload = workload
        self.groups = groups
        self.settings = dict(workload.settings)
        if workload.kind == "debian" and image:
            self.settings["image"] = str(image)
        self.made = {}  # by whether it is bare
        self.unfit = {}  # why a guest that was made is of no use, by whether it is bare
        self.awake = None

    def take(self, bare):
        """The guest for a mover, up, filled and running alone; it is made when it is first asked for."""
        if self.awake is not None and self.awake != bare:
            rest(self.made[self.awake])
            self.awake = None
        if bare in self.unfit:
            raise LabError(f"this guest never came to do its work: {self.unfit[bare]}")
        if bare not in self.made:
            self.make(bare)
        elif self.awake is None:
            wake(self.made[bare])
        self.awake = bare
        return self.made[bare]

    def make(self, bare):
        try:
            self.made[bare] = self.boot(bare)
            prepare(self.made[bare], self.workload)
        except (LabError, OSError) as error:
            self.unfit[bare] = error
            if bare in self.made:
                with contextlib.suppress(LabError, OSError):
                    rest(self.made[bare])
            raise

    def boot(self, bare):
        if not bare:
            return self.lab.add_guest(f"bench-{self.workload.name}", self.workload.kind, **self.settings)
        return self.lab.add_guest(f"bare-{self.workload.name}", self.workload.kind,
                                  made=functools.partial(BareGuest, groups=self.groups), **self.settings)

    def remove(self):
        for bare, guest in self.made.items():
            if bare:
                guest.remove_all()
            else:
                self.lab.remove_guest(guest.name)


def rest(guest):
    if isinstance(guest, BareGuest):
        guest.rest()
    else:
        guest.running_on[0].virsh("suspend", guest.name)


def wake(guest):
    if isinstance(guest, BareGuest):
        guest.wake()
    else:
        guest.hosts[0].virsh("resume", guest.name)


def prepare(guest, workload):
    if workload.kind == "debian":
        redis.fill(guest)
        ask(guest, "warm /usr")
    for line in workload.prepare:
        ask(guest, line)


def set_write_rate(guest, workload, case):
    """Makes the guest write as many pages as `write_factor` links would carry."""
    if workload.write_bytes:
        ask(guest, f"write {workload.write_bytes} {case.pages_written}")
