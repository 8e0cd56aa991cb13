# The elector as a sidecar: no root, no pip, nothing that it writes to its root file system.
#
#   make image                             with docker, or: make image BUILDER=podman
#   docker build --build-arg BASE=... .    on another base: any Debian-like one with Python >= 3.11, venv and a shell
#
# BASE is pinned by its tag. Who publishes images pins it by its digest too: --build-arg BASE=NAME@sha256:...; none is
# written here, because it could not be looked up. All Python packages are pinned by hash.
# A package index of one's own comes as the secrets `pip` (a pip.conf) and `certificates`; neither stays in the image.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
WORKDIR /source
RUN python3 -m venv /build && python3 -m venv --without-pip /opt/elector
COPY deploy/image/ deploy/image/
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    --mount=type=secret,id=certificates \
    /build/bin/pip install --no-cache-dir --no-compile --only-binary :all: --require-hashes \
        --requirement deploy/image/build-requirements.txt && \
    /build/bin/pip --python /opt/elector/bin/python install --no-cache-dir --no-compile --only-binary :all: \
        --require-hashes --requirement deploy/image/requirements.txt
COPY . .
ARG VERSION=0.1.0
RUN /build/bin/pip wheel --no-cache-dir --no-index --no-build-isolation --no-deps --wheel-dir /build/wheels . && \
    /build/bin/pip --python /opt/elector/bin/python install --no-cache-dir --no-compile --no-index --no-deps \
        /build/wheels/*.whl && \
    test "$(/opt/elector/bin/elector --version)" = "elector ${VERSION}" && \
    sh deploy/image/trim-packages.sh /opt/elector

FROM ${BASE} AS root
COPY deploy/image/trim-base.sh /tmp/
RUN sh /tmp/trim-base.sh

# Copied into an empty image, so that what was removed is in no layer below either.
FROM scratch
COPY --from=root / /
COPY --from=build /opt/elector /opt/elector
ENV PATH=/opt/elector/bin:/usr/local/bin:/usr/bin:/bin \
    LANG=C.UTF-8 \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
WORKDIR /
EXPOSE 13131 13132
STOPSIGNAL SIGTERM
# No HEALTHCHECK: Kubernetes probes /healthz and /readyz on port 13132.
ENTRYPOINT ["elector"]
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="elector" \
      org.opencontainers.image.description="Distributed locks for the applications of one pod" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.licenses="MIT"
