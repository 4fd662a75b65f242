# Asterisk as Debian packages it: forky has 22. The base image decides the version.
ARG BASE=debian:forky-slim
FROM ${BASE}

# What this machine's own apt needs, for example -o Acquire::Check-Valid-Until=false behind an old mirror.
ARG APT_OPTIONS=""
RUN apt-get ${APT_OPTIONS} update \
 && DEBIAN_FRONTEND=noninteractive apt-get ${APT_OPTIONS} install -y --no-install-recommends asterisk \
 && rm -rf /var/lib/apt/lists/*

STOPSIGNAL SIGTERM
CMD ["asterisk", "-f", "-U", "asterisk", "-G", "asterisk"]
