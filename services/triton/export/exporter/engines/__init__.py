"""The shoot-out: every engine that could run a model, on the same clips of the same machine, and the choice of one."""
