"""Benchmarks: scripts that print tables and write them into docs/performance.md. Nothing here decides a test."""
