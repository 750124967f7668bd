"""Runs: units, the loop, records, checkpoints; knows no agent."""
