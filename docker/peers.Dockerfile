# What the tests send to, none of it ours: Kannel, gammu-smsd, an SMSC, Prism. One stage runs npm, and nothing that it
# needs of the machine (npm settings, certificates) is left in the last.
ARG BASE=debian:bookworm-slim
FROM ${BASE} AS npm
ARG APT_OPTIONS=""
RUN apt-get ${APT_OPTIONS} update \
 && DEBIAN_FRONTEND=noninteractive apt-get ${APT_OPTIONS} -o DPkg::Options::=--force-unsafe-io \
      install -y --no-install-recommends ca-certificates npm
# docker/npm is there only where npm needs settings of this machine: npmrc, ca.crt.
COPY docker/peers/package*.json docker/npm* /build/
WORKDIR /build
ENV NPM_CONFIG_USERCONFIG=/build/npmrc
RUN npm ci --ignore-scripts --no-audit --no-fund --no-update-notifier

FROM ${BASE}
ARG APT_OPTIONS=""
RUN apt-get ${APT_OPTIONS} update \
 && DEBIAN_FRONTEND=noninteractive apt-get ${APT_OPTIONS} install -y --no-install-recommends \
      gammu-smsd kannel kannel-extras nodejs \
 && apt-get clean && rm -rf /var/lib/apt/lists/*
COPY --from=npm /build/node_modules /opt/peers/node_modules
COPY docker/peers/*.js /opt/peers/
WORKDIR /opt/peers
ENV PATH=/opt/peers/node_modules/.bin:/usr/lib/kannel/test:$PATH
