# Triton: the server binary of NVIDIA's nvidia-pytriton wheel, a GPU build, and one backend with one engine.
# Targets: `cpu` (OpenVINO; the last, so the default), `gpu` (ONNX Runtime, CUDA; not yet run on a GPU), and `onnxruntime`
# (ONNX Runtime, CPU: what the tests run of `gpu`). Each is the same server with other libraries beside it.

FROM debian:trixie-slim AS compiler
# python3-venv: pip, in a virtual environment. g++, nlohmann-json3-dev: the backend. patchelf is not needed: the wheel finds
# its libraries by itself.
RUN apt-get update && apt-get install -y --no-install-recommends python3-venv g++ nlohmann-json3-dev
RUN python3 -m venv /opt/venv
ENV CXXFLAGS="-std=c++20 -O2 -fPIC -shared -fvisibility=hidden -Wall -Wextra -Werror"

FROM compiler AS onnxruntime-headers
# libonnxruntime-dev: the headers alone, of an older version; the library is the wheel's, and its C interface only grows.
RUN apt-get install -y --no-install-recommends libonnxruntime-dev
COPY services/triton/backends /src

FROM onnxruntime-headers AS onnxruntime-cpu
COPY services/triton/onnxruntime.txt /tmp/
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/venv/bin/pip install --no-deps --require-hashes --target /tmp/wheels -r /tmp/onnxruntime.txt \
 && mkdir -p /opt/onnxruntime/libs && mv /tmp/wheels/onnxruntime/capi/libonnxruntime.so.1.* /opt/onnxruntime/libs/ \
 && cd /opt/onnxruntime/libs && ln -s libonnxruntime.so.1.* libonnxruntime.so.1
RUN g++ $CXXFLAGS -isystem /usr/include/onnxruntime /src/onnxruntime.cc /src/backend.cc -o /opt/libtriton_onnxruntime.so \
      -L /opt/onnxruntime/libs -l:libonnxruntime.so.1 -Wl,-rpath,/opt/onnxruntime/libs

FROM onnxruntime-headers AS onnxruntime-gpu
COPY services/triton/onnxruntime_gpu.txt /tmp/
# The CUDA provider and what it needs, in one folder. libcuda.so.1 is the driver's, and the container toolkit adds it.
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/venv/bin/pip install --no-deps --require-hashes --target /tmp/wheels -r /tmp/onnxruntime_gpu.txt \
 && rm -f /tmp/wheels/onnxruntime/capi/*tensorrt* && mkdir -p /opt/onnxruntime/libs \
 && mv /tmp/wheels/onnxruntime/capi/libonnxruntime*.so* /opt/onnxruntime/libs/ \
 && find /tmp/wheels/nvidia -name '*.so*' -exec mv -n {} /opt/onnxruntime/libs/ \; \
 && rm -rf /tmp/wheels && cd /opt/onnxruntime/libs && ln -s libonnxruntime.so.1.* libonnxruntime.so.1
RUN g++ $CXXFLAGS -isystem /usr/include/onnxruntime /src/onnxruntime.cc /src/backend.cc -o /opt/libtriton_onnxruntime.so \
      -L /opt/onnxruntime/libs -l:libonnxruntime.so.1 -Wl,-rpath,/opt/onnxruntime/libs -Wl,--allow-shlib-undefined

FROM compiler AS build
COPY services/triton/requirements.txt services/triton/tritonserver.txt /tmp/
# --no-deps: requirements.txt is complete, and of the wheel in tritonserver.txt only the binaries are wanted.
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/venv/bin/pip install --no-deps --require-hashes -r /tmp/requirements.txt \
 && /opt/venv/bin/pip install --no-deps --require-hashes -r /tmp/tritonserver.txt
# Of OpenVINO's wheel the C++ libraries and headers are used, and of them the CPU plugin and two frontends. The backend finds
# the libraries where they will be.
RUN set -eu; mv /opt/venv/lib/python3.13/site-packages/openvino /opt/openvino; cd /opt/openvino; \
    rm -rf libs/libopenvino_intel_[gn]pu_* libs/libopenvino_*tensorflow* libs/libopenvino_p[ay]*_frontend* \
      libs/libopenvino_jax* libs/libopenvino_gguf* libs/libopenvino_hetero* libs/libopenvino_auto* libs/libopenvino_c.* \
      libs/cache.json
COPY services/triton/backends /src
RUN g++ $CXXFLAGS -isystem /opt/openvino/include /src/openvino.cc /src/backend.cc -o /opt/libtriton_openvino.so \
      -L /opt/openvino/libs -l:libopenvino.so.2641 -Wl,-rpath,/opt/openvino/libs
# For models of Triton's Python backend:
# - The stub process must be built for this Python.
# - The wheel's own libpython has no standard library, and numpy fails to import with it: Debian's takes its place.
RUN set -eu; site=/opt/venv/lib/python3.13/site-packages; server=$site/pytriton/tritonserver; \
    mv "$server/python_backend_stubs/3.13/triton_python_backend_stub" "$server/backends/python/"; \
    for library in "$site"/nvidia_pytriton.libs/libpython3*; do \
      ln -sf /usr/lib/x86_64-linux-gnu/libpython3.13.so.1.0 "$library"; done; \
    rm -rf "$server/python_backend_stubs" "$site"/pytriton/[!t]* "$site"/pip "$site"/pip-* "$site"/openvino*; \
    find "$site" -name '*.h' -delete; find "$site" \( -name tests -o -name __pycache__ \) -type d -prune -exec rm -rf {} +

# Nobody needs the Python backend beside ONNX Runtime, and it has open CVEs.
FROM build AS build-without-python
RUN rm -rf /opt/venv/lib/python3.13/site-packages/pytriton/tritonserver/backends/python \
      /opt/venv/lib/python3.13/site-packages/numpy*

FROM debian:trixie-slim AS server
# python3 + libpython3.13: the launcher, and the Python backend's stub. libgomp1, libstdc++6: the server and numpy.
RUN apt-get update && apt-get install -y --no-install-recommends python3 libpython3.13 libgomp1 libstdc++6 \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* \
 && groupadd --gid 10000 cliplane && useradd --uid 10001 --gid cliplane --no-create-home triton
# The path of NVIDIA's own image. A link: the binary finds its libraries relative to where it really is.
RUN ln -s /opt/venv/lib/python3.13/site-packages/pytriton/tritonserver /opt/tritonserver
COPY services/triton/launch.py /opt/launch.py
COPY services/triton/models /models
# Whatever umask the checkout was made with.
RUN chmod -R a+rX /opt/launch.py /models
# The stub looks for the environment's packages by the python on PATH.
ENV PATH=/opt/venv/bin:/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1
USER 10001:10000
ENTRYPOINT ["python3", "/opt/launch.py"]

FROM server AS onnxruntime
# It also reports to its maker, unless told not to; the backend switches that off once more.
ENV ORT_DISABLE_TELEMETRY=1
COPY --from=build-without-python /opt/venv /opt/venv
COPY --from=onnxruntime-cpu /opt/onnxruntime/libs /opt/onnxruntime/libs
COPY --from=onnxruntime-cpu /opt/libtriton_onnxruntime.so /opt/backends/onnxruntime/

FROM server AS gpu
# LD_LIBRARY_PATH: cuDNN loads parts of itself by name.
ENV ORT_DISABLE_TELEMETRY=1 LD_LIBRARY_PATH=/opt/onnxruntime/libs
COPY --from=build-without-python /opt/venv /opt/venv
COPY --from=onnxruntime-gpu /opt/onnxruntime/libs /opt/onnxruntime/libs
COPY --from=onnxruntime-gpu /opt/libtriton_onnxruntime.so /opt/backends/onnxruntime/

FROM server AS cpu
COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/openvino/libs /opt/openvino/libs
COPY --from=build /opt/libtriton_openvino.so /opt/backends/openvino/
