"""How often this process asked for another computer: counted, never hindered.

`sys.addaudithook` tells of every connect, send and name lookup that goes through Python's `socket`.
It does not see what a library opens by itself in machine code, nor what processes started by this
one do. An attempt counts whether or not it came through, and a lookup and the connection after it
count as two.
"""

from __future__ import annotations

import ipaddress
import socket
import sys
from typing import Any

# What asks the system itself, not another computer.
WITHIN = tuple(
    getattr(socket, name)
    for name in ("AF_UNIX", "AF_NETLINK", "AF_ALG", "AF_KEY", "AF_SYSTEM")
    if hasattr(socket, name)
)
TO_ADDRESS = ("socket.connect", "socket.sendto", "socket.sendmsg")
BY_NAME = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr")
BY_ADDRESS = "socket.getnameinfo"
MOST_HOSTS = 20

_own_names: set[str] = {"", "localhost", "localhost.localdomain", "ip6-localhost"}
_attempts: list[str] = []
_watching = False


def watch() -> None:
    """Count from now on, for as long as the process lives; a second call changes nothing."""
    global _watching  # noqa: PLW0603 - there is one process, and its hook cannot be taken off
    if not _watching:
        _own_names.add(socket.gethostname().lower())
        _watching = True
        sys.addaudithook(_hear)


def outside_connections() -> dict[str, Any]:
    """Return what belongs among a run's conditions: the count, and the hosts where it is not 0.

    Empty where nobody watches: not measured is not 0.
    """
    if not _watching:
        return {}
    hosts = list(dict.fromkeys(_attempts))
    found: dict[str, Any] = {"outside_connections": len(_attempts)}
    return found | ({"outside_hosts": sorted(hosts[:MOST_HOSTS])} if hosts else {})


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    # Every event of the process comes here, thousands a second: the usual one must end at once.
    if not event.startswith("socket."):
        return
    try:
        if event in TO_ADDRESS:
            host = _host(arguments[0].family, arguments[1])
        elif event in BY_NAME:
            host = arguments[0]
        elif event == BY_ADDRESS:
            host = arguments[0][0]
        else:
            return
        if not is_within(host):
            _attempts.append(_words(host))
    except (TypeError, ValueError, IndexError, AttributeError):  # it must hinder nothing
        _attempts.append("?")


def _host(family: int, address: Any) -> object:
    if family in WITHIN or address is None:  # None: to whom the socket is connected already
        return None
    if family in {socket.AF_INET, socket.AF_INET6}:
        return address[0]
    return f"{getattr(family, 'name', family)} {address!r}"


def is_within(host: object) -> bool:
    """Say whether a host, as it was asked for, is this computer: loopback, its own name, or none.

    An address of this computer's own in a network counts as outside.
    """
    if host is None:
        return True
    name = _words(host).lower().rstrip(".")
    if name in _own_names or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return bool(mapped.is_loopback or mapped.is_unspecified)


def _words(host: object) -> str:
    return host.decode("utf-8", "replace") if isinstance(host, bytes | bytearray) else str(host)
