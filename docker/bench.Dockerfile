# What `make bench` runs in: a load generator, and the peers that Cliplane is compared with.

ARG BASE_IMAGE=debian:trixie-slim
FROM ${BASE_IMAGE}
# docker-cli, docker-compose: each benchmark starts what it measures. hey: the load generator.
# iproute2: tc, a slow line. # python3-venv: pip, in a virtual environment.
RUN apt-get update && apt-get install -y --no-install-recommends docker-cli docker-compose hey iproute2 python3-venv \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*
COPY bench/requirements.txt /tmp/
RUN --mount=type=cache,target=/root/.cache/pip python3 -m venv /opt/bench \
 && /opt/bench/bin/pip install --no-deps --require-hashes -r /tmp/requirements.txt
ENV PATH=/opt/bench/bin:/usr/sbin:/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
