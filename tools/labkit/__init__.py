"""Two libvirt hosts, their networks and their guests on one machine. tools/lab is the command; tests import this."""

from .errors import LabError
from .lab import Lab

__all__ = ["Lab", "LabError"]
