# Two pods on this machine, without a cluster: `make rehearse-pods`. What runs in it is deploy/kubernetes/rehearsal.
ARG BASE_IMAGE=debian:trixie-slim
FROM ${BASE_IMAGE}
# podman, netavark, passt, nftables: pods and their network. runc: crun refuses hosts that have both versions of cgroups.
# catatonit: the pod's first process. kubernetes-client: kubectl kustomize. haproxy: the load balancer. python3-yaml: the script.
RUN apt-get update && apt-get install -y --no-install-recommends podman netavark aardvark-dns passt nftables iproute2 runc catatonit \
      kubernetes-client haproxy python3-yaml \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*
ENV PODMAN_IGNORE_CGROUPSV1_WARNING=1
WORKDIR /rehearsal
