# PyTorch, torchvision and pytorchvideo: what `make model` needs, once. No part of the running stack.
FROM debian:trixie-slim
# python3-venv: pip, in a virtual environment. libgomp1: PyTorch.
RUN apt-get update && apt-get install -y --no-install-recommends python3-venv libgomp1 \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* && python3 -m venv /opt/venv
COPY services/triton/export/exporter/requirements.txt /tmp/
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/venv/bin/pip install --require-hashes --no-deps -r /tmp/requirements.txt
COPY services/triton/export/exporter /exporter/exporter
ENV PATH=/opt/venv/bin:/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=/exporter HOME=/tmp
ENTRYPOINT ["python", "-W", "ignore", "-m", "exporter"]
