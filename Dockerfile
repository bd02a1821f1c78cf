# A builder, and a final stage with the binary, the C library and nothing else: no shell, no package manager.
#
#   docker build --build-arg COMMIT="$(git rev-parse HEAD)" --tag drawbridge .
#
# docs/install.md says how to run it with a read-only root.

FROM rust:1.90-bookworm AS build
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends cmake \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /drawbridge
COPY . .
ARG COMMIT=""
ENV DRAWBRIDGE_COMMIT=$COMMIT
RUN scripts/release-build \
    && install -D -m 755 target/release/drawbridge /image/usr/bin/drawbridge \
    && strip /image/usr/bin/drawbridge \
    && mkdir -p /image/etc/drawbridge \
    && install -d -o 65532 -g 65532 -m 750 /image/var/lib/drawbridge /image/run/drawbridge

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /image /
# In place of what a unit of systemd says: the defaults of `state_dir` and `admin`.
ENV STATE_DIRECTORY=/var/lib/drawbridge \
    RUNTIME_DIRECTORY=/run/drawbridge
USER 65532:65532
EXPOSE 8443 8080
VOLUME ["/var/lib/drawbridge", "/run/drawbridge"]
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["drawbridge", "healthcheck", "--timeout", "4s"]
ENTRYPOINT ["drawbridge"]
CMD ["run", "--config", "/etc/drawbridge/drawbridge.toml"]
