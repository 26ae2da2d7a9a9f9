"""Folders of the machine that hosts mount their own over: made where it has none, removed by the last lab.

Those that labs have made are written down in one file for all: the last to go may not be the one that made them.
"""

import contextlib
import json
import os
from pathlib import Path

from .linux_image import CACHE, CacheLock

ACCOUNT = CACHE / "mount_points.json"


def read_account():
    try:
        return json.loads(ACCOUNT.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []


@contextlib.contextmanager
def kept(paths):
    """Makes the folders; until the block ends no other lab removes them, and after it none that is mounted over."""
    with CacheLock():
        made = read_account()
        for path in paths:
            for folder in (*reversed(Path(path).parents), Path(path)):
                if not folder.exists():
                    folder.mkdir()
                    made.append(str(folder))
        ACCOUNT.write_text(json.dumps(made), encoding="utf-8")
        yield


def remove():
    """Removes what labs have made and nobody uses any more."""
    with CacheLock():
        used = mounted_paths()
        left = []
        for path in reversed(read_account()):
            # Removing a folder would unmount it in every other namespace, such as those of another lab.
            if path in used:
                left.insert(0, path)
                continue
            try:
                os.rmdir(path)
            except OSError:
                pass  # somebody has put something there since: it is theirs now
        ACCOUNT.write_text(json.dumps(left), encoding="utf-8")


def mounted_paths():
    """All mount points of all mount namespaces that have a process."""
    found = set()
    seen = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            namespace = os.readlink(folder / "ns/mnt")
            if namespace in seen:
                continue
            text = (folder / "mountinfo").read_text(encoding="utf-8")
        except OSError:
            continue
        seen.add(namespace)
        found.update(line.split()[4] for line in text.splitlines())
    return found
