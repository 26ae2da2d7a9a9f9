"""Measures vmigrate against its peers on the lab's two hosts. tools/bench is the command."""
