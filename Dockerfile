# syntax=docker/dockerfile:1

# Martello in an image without a shell. With BuildKit:
#
#   docker build --tag martello .
#   docker run --rm --read-only --tmpfs /tmp --publish 127.0.0.1:8080:8080 martello demo --listen 0.0.0.0:8080
#
# For a release, pin both images by digest (image:tag@sha256:…); a tag may move.

# The same Rust as rust-toolchain.toml, and Debian 12 as below: a newer one's glibc would not be found at run time.
FROM rust:1.95.0-slim-bookworm AS build
WORKDIR /build
# What the build reads and nothing more, so that a change of a contract or a page of text compiles nothing.
COPY Cargo.toml Cargo.lock ./
COPY src src
COPY migrations/control migrations/control
# Crates and what was compiled of them outlive the layer in caches, so a change of src/ compiles Martello alone. A cache
# is no part of the image: the binary is copied out in the same step.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --release --locked --bin martello \
    && cp target/release/martello /martello \
    && mkdir -p /files/assets /files/spool

# glibc, certificates of authorities, and time zones; no shell and no package manager.
FROM gcr.io/distroless/cc-debian12:nonroot
# By number: an orchestrator that must not run root cannot tell from a name.
USER 65532:65532
# `catalog`, `migrations` and `demo/data` are looked up from here. Mount your own contracts over /srv/martello/catalog.
WORKDIR /srv/martello
COPY --from=build /martello /usr/local/bin/martello
COPY catalog catalog
COPY migrations migrations
COPY demo/data demo/data
# A volume that is mounted here is made with these folders and their owner.
COPY --from=build --chown=65532:65532 /files files

# Loopback, the default, ends at the container's edge. Nothing is written to the root file system, so it can be mounted
# read-only; `martello demo` and a SQLite source want a writable folder, such as a tmpfs at /tmp.
ENV MARTELLO__HTTP__LISTEN=0.0.0.0:8080
EXPOSE 8080
# Not 9090: probes, metrics and publishing are never public. They stay on 127.0.0.1 within the container. Where probes
# come from outside, as an orchestrator's do, set MARTELLO__ADMIN__LISTEN=0.0.0.0:9090 and let no route lead there.

ENTRYPOINT ["/usr/local/bin/martello"]
CMD ["serve"]
