"""The real programs of run-programs: their inputs, their commands, the servers."""
