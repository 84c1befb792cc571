"""Where things lie in the web container, each named once; nginx's own configuration and compose.yaml name them too."""

from __future__ import annotations

from pathlib import Path

RUN = Path("/run/cliplane")
"""Sockets between the container's processes, and what must never be on a disk that can stall."""

SPOOL = Path("/spool")
"""The bodies of the requests that are here: nginx writes them (`client_body_temp_path`) and takes them away."""

MEDIA = Path("/srv/media")
"""MEDIA_ROOT of the host, read-only; no folder where the operator has given none."""

LISTENER = Path("/run/listener")
"""A volume that a stack's releases share: where the published port's listening socket is asked for (`listener.py`)."""

LEAVING = RUN / "leaving"
"""A file that says: another release has taken over. Each answer then asks for a new connection (nginx.conf)."""

NGINX = RUN / "nginx.sock"
"""Where nginx tells how many connections it has (stub_status)."""

JOBS = Path("/jobs")
"""A volume that outlives the containers: the jobs that were accepted, and their videos."""

JOBS_DATABASE = "jobs.sqlite"
"""Of that volume; it is there from the first job on."""
