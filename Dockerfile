# Builds an image of the command line.
#
#   docker build --tag leasehold .
#   docker run --rm leasehold --help
#
# An application's image copies the program, and starts its command with it:
#
#   COPY --from=leasehold /usr/local/bin/leasehold /usr/local/bin/
#   ENTRYPOINT ["leasehold", "run", "--lock", "scheduler", "--", "/usr/bin/scheduler"]
#
# The program needs the C library of BASE, or a later one. For an older Debian, choose both images:
# --build-arg BASE=debian:bookworm-slim --build-arg RUST=rust:1-slim-bookworm
ARG BASE=debian:trixie-slim
ARG RUST=rust:1-slim-trixie

# This stage has everything except the program. It comes first, so that the tests can build only it.
FROM ${BASE} AS runtime
LABEL org.opencontainers.image.title="leasehold" \
      org.opencontainers.image.description="Runs a command on exactly one of many machines" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
# Without --store the locks are in /var/lib/leasehold/locks.db: mount a volume there.
RUN install -d -o 65532 -g 65532 /var/lib/leasehold
ENV XDG_STATE_HOME=/var/lib
# The user is a number, so that Kubernetes can verify that it is not root.
USER 65532:65532
# As the first process it forwards signals and reaps orphaned processes, so no other init is needed.
ENTRYPOINT ["leasehold"]
CMD ["--help"]

FROM ${RUST} AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
        ca-certificates gcc libc6-dev libprotobuf-dev protobuf-compiler \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
ENV CARGO_PROFILE_RELEASE_STRIP=symbols
RUN cargo build --locked --release --package leasehold-cli --all-features

FROM runtime
# The stores verify certificates of servers with these.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /source/target/release/leasehold /usr/local/bin/leasehold
