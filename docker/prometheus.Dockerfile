# Prometheus for the Compose profile `obs`, of Debian's package: no registry is needed. Its configuration is mounted.
ARG BASE_IMAGE=debian:trixie-slim
FROM ${BASE_IMAGE}
# prometheus: the server. promtool: checks the rules, and tests them.
RUN apt-get update && apt-get install -y --no-install-recommends prometheus promtool \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /etc/prometheus \
 && install -d -o 10003 -g 10003 /prometheus
USER 10003:10003
EXPOSE 9090
ENTRYPOINT ["prometheus", "--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]
CMD ["--storage.tsdb.retention.time=15d", "--storage.tsdb.retention.size=4GB"]
