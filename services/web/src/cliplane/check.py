"""Are these settings possible? What `make up` asks in a container of its own, before it starts one that stays.

Ends with 2 and the line that says which setting is wrong. Must not need another container, nor /dev/shm.
"""

from __future__ import annotations

import socket
import sys

from cliplane.settings import Settings, SettingsError, read_settings, variable_name

BESIDE = "triton"
"""The name that Compose gives a container which is not there yet."""


def check_addresses(settings: Settings) -> None:
    """Each address is host:port, and its host has an address.

    Raises:
        SettingsError: naming the variable and what is wrong with its value.
    """
    for field in ("triton_grpc", "triton_http"):
        value = str(getattr(settings, field))
        host, _, port = value.rpartition(":")
        if not host or not port.isdigit():
            raise SettingsError(f"{variable_name(field)}={value!r}: must be host:port")
        if host == BESIDE:
            continue
        try:
            socket.getaddrinfo(host, int(port))
        except OSError as exc:
            raise SettingsError(f"{variable_name(field)}={value!r}: {host!r} has no address ({exc.strerror})") from exc


def main() -> None:
    try:
        check_addresses(read_settings())
    except SettingsError as exc:
        print(exc, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
