"""Are these settings possible? What `make up` asks in a container of its own, before it starts one that stays.

Prints the sizes that follow from this host, as Compose takes them, or ends with 2 and the line that says which setting
is wrong. Must not need another container, nor /dev/shm.
"""

from __future__ import annotations

import os
import socket
import sys

from cliplane.kernel.cpus import available_cpus, available_memory
from cliplane.ops import sizing, tls
from cliplane.settings import MIB, Settings, SettingsError, read_settings, variable_name

BESIDE = "triton"
"""The name that Compose gives a container which is not there yet."""


def check_address(settings: Settings) -> None:
    """Triton's address is the path of a socket, or host:port, and its host has an address.

    Raises:
        SettingsError: naming the variable and what is wrong with its value.
    """
    if settings.triton_is_here:
        return
    wrong, value = variable_name("triton_grpc"), settings.triton_grpc
    host, _, port = value.rpartition(":")
    if not host or not port.isdigit():
        raise SettingsError(f"{wrong}={value!r}: must be unix:PATH or host:port")
    if host == BESIDE:
        return
    try:
        socket.getaddrinfo(host, int(port))
    except OSError as exc:
        raise SettingsError(f"{wrong}={value!r}: {host!r} has no address ({exc.strerror})") from exc


def main() -> None:
    try:
        settings = read_settings()
        check_address(settings)
        if pair := tls.pair():
            tls.check(pair)
        sizing.check(settings, available_memory(), os.environ.get("SHM_SIZE", ""))
    except SettingsError as exc:
        print(exc, file=sys.stderr)
        sys.exit(2)
    found = sizing.sizes(settings, available_cpus(), available_memory())
    web, triton = sizing.bounds(settings, found.lanes, found.memory_bytes)
    mib = {"SHM_SIZE": found.shm_bytes, "WEB_MEMORY": web, "TRITON_MEMORY": triton}
    print(*(f"{name}={size // MIB}m" for name, size in mib.items()), f"WEB_PIDS={found.pids}", sep="\n")


if __name__ == "__main__":
    main()
