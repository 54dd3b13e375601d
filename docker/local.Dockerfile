# What docker/compose.yml needs besides the API, and AWS never sees: the emulator, and what provisions it.

FROM python:3.13-slim AS dependencies
WORKDIR /build
RUN ["python", "-m", "venv", "--without-pip", "/opt/venv"]
COPY requirements/emulator.txt ./
RUN ["python", "-m", "pip", "--python", "/opt/venv/bin/python", "install", "--quiet", "--no-cache-dir", \
     "--disable-pip-version-check", "--root-user-action=ignore", \
     "--require-hashes", "--no-deps", "--only-binary=:all:", "--requirement", "emulator.txt"]

FROM python:3.13-slim AS emulator
# It runs the Lambda itself, from temporary folders.
ENV BIND_HOST=0.0.0.0 \
    GATEWAY_PORT=4566 \
    IOT_MTLS_ENABLED=0 \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1
COPY --from=dependencies /opt/venv /opt/venv
USER 10001:10001
EXPOSE 4566
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=3 \
    CMD ["/opt/venv/bin/python", "-c", \
         "from urllib.request import urlopen; urlopen('http://127.0.0.1:4566/_ministack/ready', timeout=2)"]
CMD ["/opt/venv/bin/python", "-m", "ministack"]

FROM emulator AS provisioning
WORKDIR /srv
COPY counters ./counters
COPY stack ./stack
COPY stream_lambda ./stream_lambda
HEALTHCHECK NONE
CMD ["/opt/venv/bin/python", "-m", "stack.prepare"]
