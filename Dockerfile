# A node of contact-router: docker build -t contact-router . ; how to run it: config/compose/compose.yaml
# For what you ship, name the base image by its digest: FROM python:3.11-slim-bookworm@sha256:...
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
RUN python -m venv /opt/contact-router
ENV PATH=/opt/contact-router/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
# First what changes seldom. Every file is held against its hash.
COPY requirements requirements
RUN pip install --require-hashes -r requirements/build.txt -r requirements/server.txt
COPY pyproject.toml README.md LICENSE ./
COPY router router
COPY adapters adapters
COPY loadtest loadtest
RUN pip install --no-deps --no-build-isolation . && python -m compileall -q /opt/contact-router/lib

FROM python:3.11-slim-bookworm
COPY --from=build /opt/contact-router /opt/contact-router
# Nobody's account, no shell; the numbers are fixed so that volumes can be given to it.
RUN groupadd --system --gid 10001 router \
 && useradd --system --uid 10001 --gid router --home-dir /var/lib/contact-router --shell /usr/sbin/nologin router \
 && install -d -o router -g router -m 0700 /var/lib/contact-router /var/lib/attachments
ENV PATH=/opt/contact-router/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /var/lib/contact-router
VOLUME /var/lib/contact-router
EXPOSE 8080
STOPSIGNAL SIGTERM
# Alive, not ready: a node whose store is away is not to be restarted for it.
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/healthz', timeout=2)"]
ENTRYPOINT ["contact-router"]
CMD ["serve", "--config", "/etc/contact-router/router.yaml", "--data", "/var/lib/contact-router"]
