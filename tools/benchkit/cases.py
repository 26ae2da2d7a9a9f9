"""What is measured: workloads, cases, suites, and the bars that results are held against. All of it data."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Workload:
    """A guest and what it does. `prepare` are lines for its workload program (tests/guests/workload.c)."""

    name: str
    text: str
    kind: str = "linux"
    settings: dict = field(default_factory=dict)
    prepare: tuple = ()
    write_bytes: int = 0  # of each page that it writes to; how many pages a second is the case's affair


@dataclass(frozen=True)
class Case:
    """A workload on a link. `rate` in Mbit/s (None: unshaped), `round_trip` in ms, `write_factor` in links' rates."""

    name: str
    workload: str
    movers: tuple
    rate: int | None = None
    round_trip: int | None = None
    write_factor: float = 0.0
    busy: bool = False  # somebody uses the guest's redis and nginx meanwhile
    limit: int = 120  # seconds, after which a move is called off and has failed

    @property
    def link(self):
        shaped = f"{self.rate} Mbit/s" if self.rate else "unshaped"
        return shaped + (f", {self.round_trip} ms round trip" if self.round_trip else "")


    @property
    def pages_written(self):
        """By the guest's workload program, a second."""
        return int(self.write_factor * self.rate * 1e6 / 8 / 4096) if self.write_factor else 0


@dataclass(frozen=True)
class Bar:
    """Met when the mover's median of `metric` is at most `factor` times the best peer's plus `allowance`.

    Without peers `allowance` alone counts. With `at_least` the value must not be below. With `or_unfinished` it is met
    as well when the peer did not finish. Without a case it is for the worst of all moves, those that failed included.
    """

    number: int
    case: str | None
    metric: str
    text: str
    peers: tuple = ()
    factor: float = 0.0
    allowance: float = 0.0
    at_least: bool = False
    or_unfinished: bool = False
    mover: str = "vmigrate"


MIB = 1 << 20
PLAIN = ("virsh", "vmigrate")
QUICK = ("virsh", "virsh-parallel", "vmigrate")
BEST = ("virsh", "virsh-parallel", "virsh-xbzrle", "qemu-multifd-zstd")
ALL = (*BEST, "vmigrate")

WORKLOADS = {workload.name: workload for workload in (
    Workload("empty", "1 GiB Linux that holds almost nothing and does nothing",
             settings={"memory": 1024, "checked": 1, "dirty_rate": 0}),
    Workload("idle", "256 MiB Linux, a quarter of it random, that does nothing", settings={"dirty_rate": 0}),
    Workload("smallest", "128 MiB Linux that writes 1,000 whole pages a second", settings={"memory": 128}),
    Workload("writer", "256 MiB Linux that writes 1,000 whole pages a second"),
    Workload("debian", "2 GiB Debian: systemd, nginx, redis filled, page cache warm", kind="debian",
             settings={"checked": 4, "dirty_rate": 100}),
    Workload("random", "512 MiB Linux, 384 MiB of it random", settings={"memory": 512, "checked": 4, "dirty_rate": 100},
             prepare=("fill random 384",)),
    Workload("text", "512 MiB Linux, 384 MiB of it text", settings={"memory": 512, "checked": 4, "dirty_rate": 100},
             prepare=("fill text 384",)),
    Workload("duplicates", "512 MiB Linux, 384 MiB of it random pages, each there four times",
             settings={"memory": 512, "checked": 4, "dirty_rate": 100}, prepare=("fill duplicates 384",)),
    Workload("sparse", "512 MiB Linux that writes 64 bytes at a time into random pages of 256 MiB of text",
             settings={"memory": 512, "checked": 4, "dirty_rate": 0}, prepare=("fill text 256",), write_bytes=64),
    Workload("pages", "512 MiB Linux that writes whole random pages of 256 MiB of text",
             settings={"memory": 512, "checked": 4, "dirty_rate": 0}, prepare=("fill text 256",), write_bytes=4096),
)}

CASES = {case.name: case for case in (
    Case("smallest", "smallest", ("virsh", "qemu", "vmigrate")),
    Case("empty", "empty", QUICK),
    Case("idle", "idle", QUICK),
    Case("writer", "writer", QUICK),
    Case("debian", "debian", ALL),
    Case("debian-1g", "debian", (*ALL, "vmigrate-clear"), rate=1000),
    Case("debian-300m", "debian", ALL, rate=300, limit=180),
    Case("debian-busy-300m", "debian", ALL, rate=300, busy=True, limit=180),
    Case("random-300m", "random", PLAIN, rate=300),
    Case("text-300m", "text", ALL, rate=300),
    Case("duplicates-300m", "duplicates", PLAIN, rate=300),
    Case("sparse-half-300m", "sparse", ALL, rate=300, write_factor=0.5, limit=60),
    Case("sparse-once-300m", "sparse", ALL, rate=300, write_factor=1.0, limit=60),
    Case("sparse-twice-300m", "sparse", PLAIN, rate=300, write_factor=2.0, limit=60),
    Case("pages-twice-300m", "pages", ("virsh", "vmigrate-abort", "vmigrate-pause"), rate=300, write_factor=2.0, limit=90),
    Case("empty-100ms", "empty", PLAIN, rate=300, round_trip=100),
    Case("writer-40ms", "writer", PLAIN, rate=300, round_trip=40),
    Case("writer-100ms", "writer", PLAIN, rate=300, round_trip=100),
    Case("random-100ms", "random", PLAIN, rate=300, round_trip=100),
    Case("debian-100ms", "debian", PLAIN, rate=300, round_trip=100, limit=180),
)}

# The cases of one workload stand together: its guest is booted once.
SUITES = {
    "smoke": ("smallest", "empty", "writer"),
    "standard": ("empty", "idle", "writer", "random-300m", "text-300m", "duplicates-300m", "sparse-half-300m",
                 "sparse-once-300m", "sparse-twice-300m", "pages-twice-300m", "debian", "debian-1g", "debian-300m",
                 "debian-busy-300m"),
    "wan": ("empty-100ms", "writer-40ms", "writer-100ms", "random-100ms", "debian-100ms"),
}
# How many times each mover moves each guest, unless --runs says it.
RUNS = {"smoke": 2, "standard": 4, "wan": 4}

BARS = (
    Bar(1, "writer", "released_s", "small guest, no limit: released within 1.10 of plain", ("virsh",), 1.10),
    Bar(1, "writer", "gap_ms", "small guest, no limit: client gap within 20 ms of plain", ("virsh",), 1.0, 20),
    Bar(1, "writer", "daemon_growth_bytes", "small guest: a daemon grows by 64 MiB at most", (), 0, 64 * MIB),
    Bar(2, "debian-300m", "stream_s", "Debian, 300 Mbit/s: streaming within 0.28 of plain", ("virsh",), 0.28),
    Bar(2, "debian-300m", "stream_s", "Debian, 300 Mbit/s: streaming within 0.90 of multifd with zstd",
        ("qemu-multifd-zstd",), 0.90),
    Bar(2, "debian-300m", "sent_bytes", "Debian, 300 Mbit/s: bytes within 0.26 of plain", ("virsh",), 0.26),
    Bar(3, "debian-1g", "stream_s", "Debian, 1 Gbit/s: streaming no slower than the best peer",
        BEST, 1.0),
    Bar(3, "debian-1g", "to_running_s", "Debian, 1 Gbit/s: running within 0.60 of plain", ("virsh",), 0.60),
    Bar(4, "idle", "gap_ms", "idle small guest: client gap within half of plain", ("virsh",), 0.5),
    Bar(5, "random-300m", "stream_s", "random memory, 300 Mbit/s: streaming within 1.03 of plain", ("virsh",), 1.03),
    Bar(6, "debian", "to_running_s", "Debian, no limit: running within 1.10 of plain", ("virsh",), 1.10),
    Bar(7, "sparse-once-300m", "stopped_ms", "sparse writer at the link's rate: pause of 300 ms at most", (), 0, 300),
    Bar(7, "sparse-once-300m", "to_running_s", "sparse writer at the link's rate: half of plain's time, or plain fails",
        ("virsh",), 0.5, or_unfinished=True),
    Bar(10, "pages-twice-300m", "said_stall", "page writer at twice the link's rate: given up as asked, told before half "
        "the time was gone", (), 0, 0.5, mover="vmigrate-abort"),
    Bar(10, "pages-twice-300m", "said_stall", "page writer at twice the link's rate: paused as asked, told before half "
        "the time was gone", (), 0, 0.5, mover="vmigrate-pause"),
    Bar(8, "random-100ms", "link_use", "100 ms round trip, 300 Mbit/s: at least 0.85 of the rate used", (), 0, 0.85,
        at_least=True),
    Bar(8, "random-100ms", "gap_ms", "100 ms round trip: client gap within 1.5 round trips and 80 ms", (), 0, 230),
    Bar(11, "debian-1g", "stream_s", "Debian, 1 Gbit/s: streaming with TLS within 1.05 of without", ("vmigrate-clear",),
        1.05),
    Bar(9, None, "daemon_growth_bytes", "every move: a daemon grows by 256 MiB at most", (), 0, 256 * MIB),
)
