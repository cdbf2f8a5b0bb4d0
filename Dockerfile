# One image for every service and the `sluice` command. `make image` builds it with docker, podman or buildah.
#
# BASE: any image with Python 3.11 to 3.14 as `python3`; pin it by digest where you build for production.
# BUILD_BASE: the same, with `venv` and pip besides, for the stages that install; its files do not get into the image.
ARG BASE=docker.io/library/python:3.13-slim-bookworm
ARG BUILD_BASE=${BASE}

# --- dependencies: change only when the lock does ------------------------------------------------------------------
FROM ${BUILD_BASE} AS dependencies
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ONLY_BINARY=:all:
COPY requirements/run.txt requirements/build.txt /build/requirements/
RUN python3 -m venv /opt/sluice \
 && /opt/sluice/bin/python -m pip install --require-hashes --no-deps -r /build/requirements/run.txt

# --- Sluice itself, and then no installer any more ------------------------------------------------------------------
FROM dependencies AS build
WORKDIR /build
RUN python3 -m venv /opt/wheel \
 && /opt/wheel/bin/python -m pip install --require-hashes --no-deps -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY sluice sluice
COPY ingest ingest
COPY processor processor
COPY healthd healthd
COPY reconciler reconciler
COPY console console
RUN /opt/wheel/bin/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /build/wheel . \
 && /opt/sluice/bin/python -m pip install --no-deps --no-index /build/wheel/*.whl \
 && /opt/sluice/bin/python -m pip uninstall --quiet --yes pip setuptools \
 && rm -f /opt/sluice/bin/activate* /opt/sluice/bin/Activate*

# --- for `tilt up` alone: a tree that may be written, and a start that follows it ------------------------------------
FROM dependencies AS dev
ENV PATH=/opt/sluice/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=/app
COPY --chown=65532:65532 docker/restart_on_change.py /docker/
COPY --chown=65532:65532 pyproject.toml README.md LICENSE /app/
COPY --chown=65532:65532 sluice /app/sluice
COPY --chown=65532:65532 ingest /app/ingest
COPY --chown=65532:65532 processor /app/processor
COPY --chown=65532:65532 healthd /app/healthd
COPY --chown=65532:65532 reconciler /app/reconciler
COPY --chown=65532:65532 console /app/console
RUN printf '#!/bin/sh\nexec python -m sluice.ops "$@"\n' > /opt/sluice/bin/sluice && chmod 755 /opt/sluice/bin/sluice \
 && chown 65532:65532 /app
WORKDIR /app
USER 65532:65532
CMD ["sluice", "--help"]

# --- psql for people: Debian's own with the libraries that it needs, without the perl that its package asks for ------
FROM ${BUILD_BASE} AS psql
COPY docker/psql.py /opt/psql/bin/psql
RUN mkdir -p /opt/psql/lib \
 && if command -v apt-get > /dev/null; then \
      apt-get update -qq && apt-get install -y -qq --no-install-recommends postgresql-client > /dev/null \
      && cp /usr/lib/postgresql/*/bin/psql /opt/psql/lib/ \
      && ldd /opt/psql/lib/psql | sed -n 's/.* => \(\/[^ ]*\) .*/\1/p' | grep -v '/libc\.so\|/libm\.so\|/ld-' \
         | xargs -I '{}' cp -L '{}' /opt/psql/lib/; \
    fi

# --- what ships: Python, the locked packages, Sluice ----------------------------------------------------------------
FROM ${BASE} AS run
RUN rm -rf /usr/local/lib/python3*/site-packages/pip* /usr/local/lib/python3*/ensurepip /usr/local/bin/pip* \
           /usr/lib/python3*/ensurepip /usr/share/python-wheels /root/.cache
COPY --from=build /opt/sluice /opt/sluice
COPY --from=psql /opt/psql /opt/psql
# PYTHONSAFEPATH: the folder that a command is run in is no place for modules. The rest: log at once, write no bytecode.
ENV PATH=/opt/sluice/bin:/opt/psql/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PYTHONSAFEPATH=1
LABEL org.opencontainers.image.title="Sluice" \
      org.opencontainers.image.description="Receives Stripe webhooks and gives each one its business effect exactly once." \
      org.opencontainers.image.licenses="MIT"
WORKDIR /
# A number, so that a kubelet can see that it is not root. It owns nothing: only /tmp, if anything, may be written.
USER 65532:65532
EXPOSE 8080 9090
# No ENTRYPOINT: the chart names the command, in exec form, so that Python is PID 1 and gets SIGTERM itself.
CMD ["sluice", "--help"]
