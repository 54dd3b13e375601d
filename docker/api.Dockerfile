# The API: ./taskw image:build, or: docker build --file docker/api.Dockerfile .
# One process a container: a second one would commit the same counters with flushes of its own, so scale with containers.

FROM python:3.13-slim AS build
WORKDIR /build
RUN ["python", "-m", "venv", "--without-pip", "/opt/venv"]
COPY requirements/api.txt ./
# The pins are complete, so nothing is resolved; wheels only, so nobody's setup code runs.
RUN ["python", "-m", "pip", "--python", "/opt/venv/bin/python", "install", "--quiet", "--no-cache-dir", \
     "--disable-pip-version-check", "--root-user-action=ignore", \
     "--require-hashes", "--no-deps", "--only-binary=:all:", "--requirement", "api.txt"]
WORKDIR /srv
COPY counters ./counters
COPY api ./api
# Nothing can be written at run time, so what Python would write then is made now. The sources never change after this.
RUN ["python", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", "api", "counters"]

FROM python:3.13-slim
ENV HOST=0.0.0.0 \
    PORT=8000 \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /srv
COPY --from=build /opt/venv /opt/venv
COPY --from=build /srv /srv
# By number, so that an orchestrator can tell that it is not root.
USER 10001:10001
EXPOSE 8000
# Alive, not ready: a container whose table cannot be reached is not mended by another one.
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s --retries=3 \
    CMD ["/opt/venv/bin/python", "-m", "api.serving.probe", "/health"]
CMD ["/opt/venv/bin/python", "-m", "api"]
