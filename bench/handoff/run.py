"""What does it cost to hand views over to a model in Triton? Four ways, with one that only looks at them, in the
backend that serves the others.

    make bench ONLY=handoff

X3D-M's views, (16, 224, 224, 3), as uint8 and as float32, 1, 10 and 30 at once; the ways take turns, and a plain copy
of the same bytes in memory is beside them. "In place" is Cliplane's own: the frames are already in the region, because
the decoder wrote them there, and the message says where.

This starts the stack; `measure.py` does the work in a container with its /dev/shm, as a lane would.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from bench.handoff import sink
from bench.handoff.measure import TYPES, VIEW
from bench.stack import REPOSITORY, docker, running


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    models = args.work / "models-handoff"
    for name, (kind, _) in TYPES.items():
        sink.write(models, f"sink_{name}", kind, VIEW)
    # Room for one region of 30 views beside a lane's.
    with running("handoff", models, "sink_uint8", {"CLIPLANE_LANES": "1"}, open_ports=True) as stack:
        table = docker(
            *("run", "--rm", "--user", "0:10000", "-v", f"{stack.shm_volume}:/dev/shm"),
            *("--network", f"{stack.project}_default", "-v", f"{REPOSITORY}:{REPOSITORY}:ro", "-w", str(REPOSITORY)),
            *("-e", f"PYTHONPATH={os.environ['PYTHONPATH']}", os.environ["BENCH_IMAGE"]),
            *("python", "-m", "bench.handoff.measure", stack.container("triton"), str(args.rounds)),
        )
    print(table)
    args.out.write_text(table)


if __name__ == "__main__":
    main()
