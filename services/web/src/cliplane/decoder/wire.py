"""What a lane and its decoder say to each other; both sides import it, so it imports neither."""

from __future__ import annotations

STOP = "stop"
"""Instead of a job, while one is under way: end it after the frame in hand."""
