"""The guests of the workloads: booted, filled, and told what to do."""

from labkit import LabError

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


def boot(lab, workload, image=None):
    """Gives the guest when it is up, filled and writing nothing but what its memory checker writes."""
    settings = dict(workload.settings)
    if workload.kind == "debian" and image:
        settings["image"] = str(image)
    guest = lab.add_guest(f"bench-{workload.name}", workload.kind, **settings)
    prepare(guest, workload)
    return guest


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
