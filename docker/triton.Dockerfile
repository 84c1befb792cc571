# Triton for a CPU: the server binary of NVIDIA's nvidia-pytriton wheel and the OpenVINO backend.
# On a GPU host compose.gpu.yaml takes NVIDIA's own image instead; launch.py serves both.

FROM debian:trixie-slim AS build
# python3-venv: pip, in a virtual environment. patchelf is not needed: the wheel finds its libraries by itself.
RUN apt-get update && apt-get install -y --no-install-recommends python3-venv
RUN python3 -m venv /opt/venv
COPY services/triton/requirements.txt services/triton/tritonserver.txt /tmp/
# --no-deps: requirements.txt is complete, and of the wheel in tritonserver.txt only the binaries are wanted.
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/venv/bin/pip install --no-deps --require-hashes -r /tmp/requirements.txt \
 && /opt/venv/bin/pip install --no-deps --require-hashes -r /tmp/tritonserver.txt
# - The stub process must be built for this Python.
# - The wheel's own libpython has no standard library, and numpy fails to import with it: Debian's takes its place.
# - Of OpenVINO only the CPU plugin and the ONNX frontend are used; not its converter, which reports its use to Intel.
RUN set -eu; site=/opt/venv/lib/python3.13/site-packages; server=$site/pytriton/tritonserver; \
    mv "$server/python_backend_stubs/3.13/triton_python_backend_stub" "$server/backends/python/"; \
    for library in "$site"/nvidia_pytriton.libs/libpython3*; do \
      ln -sf /usr/lib/x86_64-linux-gnu/libpython3.13.so.1.0 "$library"; done; \
    rm -rf "$server/python_backend_stubs" "$site"/pytriton/[!t]* "$site"/pip "$site"/pip-* \
      "$site"/openvino_telemetry* "$site"/openvino/tools; \
    cd "$site/openvino/libs"; rm -f libopenvino_intel_[gn]pu_* libopenvino_*tensorflow* libopenvino_p[ay]*_frontend* \
      libopenvino_jax* libopenvino_hetero* libopenvino_auto* cache.json; \
    find "$site" -name '*.h' -delete; find "$site" \( -name tests -o -name __pycache__ \) -type d -prune -exec rm -rf {} +

FROM debian:trixie-slim
# python3 + libpython3.13: the launcher, and the backend's stub embeds Python. libgomp1, libstdc++6: the server and numpy.
RUN apt-get update && apt-get install -y --no-install-recommends python3 libpython3.13 libgomp1 libstdc++6 \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* \
 && groupadd --gid 10000 cliplane && useradd --uid 10001 --gid cliplane --no-create-home triton
COPY --from=build /opt/venv /opt/venv
# The path of NVIDIA's own image. A link: the binary finds its libraries relative to where it really is.
RUN ln -s /opt/venv/lib/python3.13/site-packages/pytriton/tritonserver /opt/tritonserver
COPY services/triton/backends/openvino /opt/backends/openvino
COPY services/triton/launch.py /opt/launch.py
COPY services/triton/models /models
# The stub looks for the environment's packages by the python on PATH.
ENV PATH=/opt/venv/bin:/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1
USER 10001:10000
ENTRYPOINT ["python3", "/opt/launch.py"]
