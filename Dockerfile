# Both stages start from the same base, because the virtual environment is copied from one to the other and refers to the
# interpreter by its path. Any base with python3 (3.11 or newer) and its venv module will do.
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS build
# For the build system too: what builds the wheel is pinned like what runs.
ENV PIP_CONSTRAINT=/src/constraints.txt PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
# The tools are in one environment and the product in another, so that the product comes without pip.
RUN python3 -m venv /build && python3 -m venv --without-pip /opt/metrics-storage
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY operator ./operator
# Whoever has a package index of their own passes it as a secret, which leaves no trace in any layer, and where it has
# certificates of its own, those too, with `cert = /run/secrets/ca` in pip.conf:
#   docker build --secret id=pip,src=/etc/pip.conf --secret id=ca,src=/etc/ssl/certs/ca-certificates.crt .
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca \
    /build/bin/pip wheel --wheel-dir /wheels '.[operator,agents]'
# From the wheels alone. Compiled here, because the file system is read-only where it runs; but not the Kubernetes
# client's models, of which there are hundreds and a handful is loaded.
RUN /build/bin/pip --python /opt/metrics-storage/bin/python3 install --no-index --find-links /wheels --no-compile \
    'metrics-storage-operator[operator,agents]' && \
    /opt/metrics-storage/bin/python3 -m compileall -q -x '/kubernetes/(aio/)?client/(api|models)/' /opt/metrics-storage/lib

FROM ${BASE_IMAGE}
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="Metrics Storage Operator" \
      org.opencontainers.image.description="Gives every CI runner a metrics directory and archives suspicious ones as evidence" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/metrics-storage /opt/metrics-storage
# Logs at once and undisturbed; few arenas, because glibc would keep memory for each worker thread.
ENV PATH=/opt/metrics-storage/bin:${PATH} \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    MALLOC_ARENA_MAX=2
# Root, because only root gets effective capabilities from Kubernetes, and directories are given to other users with
# CAP_CHOWN. The Deployment drops all capabilities but four. By number, so that no user database is needed.
USER 0:0
ENTRYPOINT ["metrics-storage"]
CMD ["run"]
