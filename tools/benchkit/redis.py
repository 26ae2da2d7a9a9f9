"""The Debian guest's redis: filled, and used while the guest moves."""

import random

from labkit import LabError

from .user import User

PORT = 6379
KEYS = 900_000
KEYS_AT_ONCE = 20_000
# A record as applications keep them, with a part that does not compress.
FILL = """
for i = tonumber(ARGV[1]), tonumber(ARGV[2]) do
  local id = redis.sha1hex(i)
  redis.call('SET', 'session:' .. i, '{"id":' .. i .. ',"user":"user-' .. i % 40000 .. '@example.org","visits":'
    .. i % 97 .. ',"language":"en","token":"' .. string.sub(id, 1, 16) .. '"}')
end
return ARGV[2]"""


class Redis:
    """One connection; answers are taken as lines, as all that is asked here has such."""

    def __init__(self, guest, patience=300):
        self.socket = guest.connect(PORT, patience)
        self.answers = self.socket.makefile("rb")

    def ask(self, *words):
        parts = [f"*{len(words)}\r\n".encode()]
        for word in words:
            data = word.encode()
            parts.append(b"$%d\r\n%s\r\n" % (len(data), data))
        self.socket.sendall(b"".join(parts))
        answer = self.answers.readline()
        if answer.startswith(b"-") or not answer:
            raise LabError(f"redis: {answer.decode(errors='replace').strip() or 'closed the connection'}")
        if answer.startswith(b"$"):
            self.answers.read(int(answer[1:]) + 2)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.answers.close()
        self.socket.close()


def fill(guest):
    with Redis(guest) as redis:
        # A snapshot in the middle of a move would be another workload.
        redis.ask("CONFIG", "SET", "save", "")
        for first in range(0, KEYS, KEYS_AT_ONCE):
            redis.ask("EVAL", FILL, "0", str(first), str(first + KEYS_AT_ONCE - 1))


class RedisUser(User):
    """Changes a random record 200 times a second."""

    NAME = "redis"
    INTERVAL = 0.005

    def __init__(self, guest):
        super().__init__()
        self.redis = Redis(guest, 60)

    def ask(self):
        self.redis.ask("SETRANGE", f"session:{random.randrange(KEYS)}", "20", f"{self.requests:08}")

    def close(self):
        self.redis.__exit__()
