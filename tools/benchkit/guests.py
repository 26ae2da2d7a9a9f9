"""The guests of the workloads: booted, filled, and told what to do."""

import functools

from labkit import LabError

from .bare import BareGuest
from .measure import ask

KEYS = 900_000
KEYS_AT_ONCE = 20_000
# A record as applications keep them, with a part that does not compress.
FILL_REDIS = """
for i = tonumber(ARGV[1]), tonumber(ARGV[2]) do
  local id = redis.sha1hex(i)
  redis.call('SET', 'session:' .. i, '{"id":' .. i .. ',"user":"user-' .. i % 40000 .. '@example.org","visits":'
    .. i % 97 .. ',"language":"en","token":"' .. string.sub(id, 1, 16) .. '"}')
end
return ARGV[2]"""


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
        self.awake = None

    def take(self, bare):
        """The guest for a mover, up, filled and running alone; it is made when it is first asked for."""
        if self.awake is not None and self.awake != bare:
            rest(self.made[self.awake])
            self.awake = None
        if bare not in self.made:
            self.made[bare] = self.boot(bare)
            prepare(self.made[bare], self.workload)
        elif self.awake is None:
            wake(self.made[bare])
        self.awake = bare
        return self.made[bare]

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
        fill_redis(guest)
        ask(guest, "warm /usr")
    for line in workload.prepare:
        ask(guest, line)


def set_write_rate(guest, workload, case):
    """Makes the guest write as many pages as `write_factor` links would carry."""
    if workload.write_bytes:
        pages = int(case.write_factor * case.rate * 1e6 / 8 / 4096)
        ask(guest, f"write {workload.write_bytes} {pages}")


def fill_redis(guest):
    with guest.connect(6379, 300) as connection, connection.makefile("rb") as answers:
        # A snapshot in the middle of a move would be another workload.
        command(connection, answers, "CONFIG", "SET", "save", "")
        for first in range(0, KEYS, KEYS_AT_ONCE):
            command(connection, answers, "EVAL", FILL_REDIS, "0", str(first), str(first + KEYS_AT_ONCE - 1))


def command(connection, answers, *words):
    parts = [f"*{len(words)}\r\n".encode()]
    for word in words:
        data = word.encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(data), data))
    connection.sendall(b"".join(parts))
    answer = answers.readline()
    if answer.startswith(b"-") or not answer:
        raise LabError(f"redis: {answer.decode(errors='replace').strip()}")
    if answer.startswith(b"$"):
        answers.read(int(answer[1:]) + 2)
