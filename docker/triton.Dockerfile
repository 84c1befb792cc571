# Triton: the server binary of NVIDIA's nvidia-pytriton wheel, a GPU build, and one backend with one engine.
# Targets: `cpu` (OpenVINO; the default, which is the last), `python` (that, and Triton's Python backend), `gpu` (ONNX Runtime,
# CUDA; never run on a GPU), and `onnxruntime` (ONNX Runtime, CPU: what the tests run of `gpu`). Each is the same server with
# other libraries beside it.

ARG BASE_IMAGE=debian:trixie-slim
FROM ${BASE_IMAGE} AS compiler
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
# Left out: cuFFT, which the provider loads by name for Fourier transforms alone (a model of them is then refused), and the
# C interfaces that nothing here loads. Kept: all of cuDNN and what its engines compile with, which it picks as it runs.
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/venv/bin/pip install --no-deps --require-hashes --target /tmp/wheels -r /tmp/onnxruntime_gpu.txt \
 && rm -f /tmp/wheels/onnxruntime/capi/*tensorrt* && mkdir -p /opt/onnxruntime/libs \
 && mv /tmp/wheels/onnxruntime/capi/libonnxruntime*.so* /opt/onnxruntime/libs/ \
 && find /tmp/wheels/nvidia -name '*.so*' ! -name 'libcufft*' ! -name 'libnvblas*' ! -name '*.alt.*' \
      -exec mv -n {} /opt/onnxruntime/libs/ \; \
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
# Aside, for the target `python` alone: the Python backend has open CVEs, and no model of ours is of it. Its stub must be
# built for this Python; the wheel's own libpython has no standard library, so that Debian's takes its place.
RUN set -eu; site=/opt/venv/lib/python3.13/site-packages; server=$site/pytriton/tritonserver; aside=/opt/python_backend; \
    mv "$server/python_backend_stubs/3.13/triton_python_backend_stub" "$server/backends/python/"; \
    mkdir -p $aside/pytriton/tritonserver/backends $aside/nvidia_pytriton.libs; \
    mv "$server/backends/python" $aside/pytriton/tritonserver/backends/; mv "$site"/numpy* $aside/; \
    for library in "$site"/nvidia_pytriton.libs/libpython3*; do rm "$library"; \
      ln -s /usr/lib/x86_64-linux-gnu/libpython3.13.so.1.0 $aside/nvidia_pytriton.libs/"${library##*/}"; done; \
    rm -rf "$server/python_backend_stubs" "$site"/pytriton/[!t]* "$site"/pip "$site"/pip-* "$site"/openvino*; \
    find "$site" $aside -name '*.h' -delete; \
    find "$site" $aside \( -name tests -o -name __pycache__ \) -type d -prune -exec rm -rf {} +

FROM ${BASE_IMAGE} AS server
# python3: the launcher. libgomp1, libstdc++6: the server.
RUN apt-get update && apt-get install -y --no-install-recommends python3 libgomp1 libstdc++6 \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* \
 && groupadd --gid 10000 cliplane && useradd --uid 10001 --gid cliplane --no-create-home triton
# The path of NVIDIA's own image. A link: the binary finds its libraries relative to where it really is.
RUN ln -s /opt/venv/lib/python3.13/site-packages/pytriton/tritonserver /opt/tritonserver
COPY services/triton/launch.py /opt/launch.py
COPY services/triton/models /models
# Whatever umask the checkout was made with.
RUN chmod -R a+rX /opt/launch.py /models
ENV PATH=/opt/venv/bin:/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1
USER 10001:10000
ENTRYPOINT ["python3", "/opt/launch.py"]

FROM server AS onnxruntime
# It also reports to its maker, unless told not to; the backend switches that off once more.
ENV ORT_DISABLE_TELEMETRY=1
COPY --from=build /opt/venv /opt/venv
COPY --from=onnxruntime-cpu /opt/onnxruntime/libs /opt/onnxruntime/libs
COPY --from=onnxruntime-cpu /opt/libtriton_onnxruntime.so /opt/backends/onnxruntime/

FROM server AS gpu
# LD_LIBRARY_PATH: cuDNN loads parts of itself by name.
ENV ORT_DISABLE_TELEMETRY=1 LD_LIBRARY_PATH=/opt/onnxruntime/libs
COPY --from=build /opt/venv /opt/venv
COPY --from=onnxruntime-gpu /opt/onnxruntime/libs /opt/onnxruntime/libs
COPY --from=onnxruntime-gpu /opt/libtriton_onnxruntime.so /opt/backends/onnxruntime/

# `make gpu-check`: the same image, and the Python that asks it (bench/gpu, mounted).
FROM compiler AS check-packages
COPY bench/gpu/requirements.txt /tmp/
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/venv/bin/pip install --no-deps --require-hashes --target /opt/check -r /tmp/requirements.txt \
 && find /opt/check -name tests -type d -prune -exec rm -rf {} +

FROM gpu AS gpu-check
COPY --from=check-packages /opt/check /opt/check
ENV PYTHONPATH=/opt/check:/cliplane:/cliplane/services/web/src MPLCONFIGDIR=/tmp/matplotlib
WORKDIR /cliplane
ENTRYPOINT ["python3", "-m", "bench.gpu"]

# What the tests ask of these images: .ci/gpu-image.
FROM onnxruntime-gpu AS gpu-loader
COPY tests/gpu /tests
RUN mkdir -p /opt/test/driver && gcc -shared -fPIC -Wl,-soname,libcuda.so.1 /tests/driver.c -o /opt/test/driver/libcuda.so.1 \
 && g++ -std=c++20 -O1 -I /src -isystem /usr/include/onnxruntime /src/onnxruntime.cc /tests/load.cc -o /opt/test/load \
      -L /opt/onnxruntime/libs -l:libonnxruntime.so.1 -Wl,-rpath,/opt/onnxruntime/libs -Wl,--allow-shlib-undefined

FROM gpu-check AS gpu-test
COPY --from=gpu-loader /opt/test /opt/test

FROM server AS cpu
COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/openvino/libs /opt/openvino/libs
COPY --from=build /opt/libtriton_openvino.so /opt/backends/openvino/

FROM cpu AS python
USER 0
# libpython3.13: what the Python backend's stub is, with numpy, which models of it take.
RUN apt-get update && apt-get install -y --no-install-recommends libpython3.13 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*
COPY --from=build /opt/python_backend /opt/venv/lib/python3.13/site-packages
USER 10001:10000

FROM cpu
