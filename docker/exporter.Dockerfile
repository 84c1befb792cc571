# PyTorch, the networks and the engines to compare: what `make model` and `make engines` need. No part of the running stack.
ARG BASE_IMAGE=debian:trixie-slim
FROM ${BASE_IMAGE}
# python3-venv: pip, in a virtual environment. libgomp1: PyTorch. g++ and python3-dev (Python.h): torch.compile writes C++ and
# fails without either.
RUN apt-get update && apt-get install -y --no-install-recommends python3-venv libgomp1 g++ python3-dev \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* && python3 -m venv /opt/venv
COPY services/triton/export/exporter/requirements.txt /tmp/
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/venv/bin/pip install --require-hashes --no-deps -r /tmp/requirements.txt
COPY services/triton/export/camera_motion /exporter/camera_motion
COPY services/triton/export/exporter /exporter/exporter
# Clips are cut as the service cuts them, by its policy/sampling.py, which imports nothing else.
COPY services/web/src/cliplane /exporter/cliplane
# TORCHINDUCTOR_CACHE_DIR: by default it is named after the user, and the container's uid has no name.
ENV PATH=/opt/venv/bin:/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=/exporter HOME=/tmp TORCHINDUCTOR_CACHE_DIR=/tmp/inductor
ENTRYPOINT ["python", "-W", "ignore", "-m", "exporter"]
