"""Two libvirt hosts, their networks and their guests on one machine. tools/lab is the command; tests import this."""

from .errors import LabError
from .lab import KINDS, Lab

__all__ = ["KINDS", "Lab", "LabError"]
