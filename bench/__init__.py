"""Benchmarks of each phase: the project's own functions and the libraries that users would take instead."""
