"""What the lab has started and made, in <lab>/state.json: read and changed under a lock, replaced in one step."""

import contextlib
import fcntl
import json
import os


class State:
    def __init__(self, folder):
        self.path = folder / "state.json"
        self.lock = folder / "state.lock"

    def read(self):
        try:
            return json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {"processes": {}, "guests": {}}

    @contextlib.contextmanager
    def change(self):
        """`with state.change() as content:` what the block leaves in `content` is what is stored."""
        with open(self.lock, "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            content = self.read()
            yield content
            new = self.path.with_suffix(".new")
            new.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
            os.replace(new, self.path)

    def process(self, name):
        return self.read()["processes"].get(name)

    def add_process(self, name, identity):
        with self.change() as content:
            content["processes"][name] = identity

    def remove_process(self, name):
        with self.change() as content:
            content["processes"].pop(name, None)
