# The gateway. One stage builds, and nothing that it needs of the machine (pip settings, certificates) is left
# in the last.
ARG BASE=debian:bookworm-slim
FROM ${BASE} AS python
ARG APT_OPTIONS=""
RUN apt-get ${APT_OPTIONS} update \
 && DEBIAN_FRONTEND=noninteractive apt-get ${APT_OPTIONS} install -y --no-install-recommends ca-certificates python3 \
 && rm -rf /var/lib/apt/lists/*

FROM python AS build
ARG APT_OPTIONS=""
RUN apt-get ${APT_OPTIONS} update \
 && DEBIAN_FRONTEND=noninteractive apt-get ${APT_OPTIONS} install -y --no-install-recommends python3-venv
# docker/pip is there only where pip needs settings of this machine: pip.conf, ca.crt.
COPY requirements.lock docker/pip* /build/
ENV PIP_CONFIG_FILE=/build/pip.conf PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python3 -m venv /opt/agi-sms \
 && /opt/agi-sms/bin/pip install --require-hashes -r /build/requirements.lock
COPY pyproject.toml README.md LICENSE /src/
COPY agi_sms /src/agi_sms
RUN /opt/agi-sms/bin/pip install --no-deps /src

FROM python
RUN useradd --system --uid 990 --home-dir /var/lib/agi-sms --shell /usr/sbin/nologin agi-sms \
 && install -d -o agi-sms -g agi-sms -m 0750 /var/lib/agi-sms /etc/agi-sms
COPY --from=build /opt/agi-sms /opt/agi-sms
ENV PATH=/opt/agi-sms/bin:$PATH PYTHONUNBUFFERED=1
USER agi-sms
WORKDIR /var/lib/agi-sms
VOLUME /var/lib/agi-sms
STOPSIGNAL SIGTERM
ENTRYPOINT ["agi-sms"]
CMD ["run", "--config", "/etc/agi-sms/agi-sms.yaml"]
