# The SIP caller of the tests and the demo.
ARG BASE=debian:forky-slim
FROM ${BASE}

ARG APT_OPTIONS=""
RUN apt-get ${APT_OPTIONS} update \
 && DEBIAN_FRONTEND=noninteractive apt-get ${APT_OPTIONS} install -y --no-install-recommends sip-tester \
 && rm -rf /var/lib/apt/lists/*

ENTRYPOINT ["sipp"]
