# Asterisk as Debian packages it: forky has 22, bullseye 16. The base image decides the version.
ARG BASE=debian:forky-slim
FROM ${BASE}

# What this machine's own apt needs, for example -o Acquire::Check-Valid-Until=false behind an old mirror.
ARG APT_OPTIONS=""
# 16 has its voicemail in a package of its own, asterisk-voicemail.
ARG PACKAGES="asterisk"
RUN apt-get ${APT_OPTIONS} update \
 && DEBIAN_FRONTEND=noninteractive apt-get ${APT_OPTIONS} install -y --no-install-recommends ${PACKAGES} \
 && rm -rf /var/lib/apt/lists/*

STOPSIGNAL SIGTERM
CMD ["asterisk", "-f", "-U", "asterisk", "-G", "asterisk"]
