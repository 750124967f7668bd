"""The fault harness (docs/reliability.md, section 4): kill a run, call it again, compare with the run left alone."""
