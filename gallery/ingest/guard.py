"""Connects to the internet, and neither to private addresses nor to this machine's own.

A name is resolved once, every address it stands for is vetted, and the connection goes to a vetted address. So no
spelling of an address leads inside, no redirect, and no name server that answers otherwise when asked again.
"""

import socket
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from ssl import SSLContext
from typing import Any

import httpcore2
import psutil
from django.conf import settings
from django.utils.translation import gettext_noop as _

from gallery.errors import Code, Refused

#: Seconds for each address of a server, so that one that is not reached leaves time for the next.
_CONNECT_TIMEOUT_S = 5
#: All IPv6 addresses given out so far (RFC 4291, 2.4). Outside are NAT64 (64:ff9b::/96), fec0::/10, and what is local.
_GLOBAL_UNICAST = ip_network("2000::/3")
#: Networks that lead elsewhere than they say, though `is_global` has it otherwise for some of their addresses.
_DETOURS = [ip_network(network) for network in ("192.0.0.0/24", "192.88.99.0/24", "2002::/16")]

Address = IPv4Address | IPv6Address


def is_public(address: Address) -> bool:
    """Whether it is a machine's on the internet; of an IPv6 address that holds an IPv4 address, whether that is."""
    address = _unwrapped(address)
    if isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST:
        return False
    return address.is_global and not address.is_multicast and not any(address in network for network in _DETOURS)


def _unwrapped(address: Address) -> Address:
    if isinstance(address, IPv4Address):
        return address
    is_compatible = int(address) < 1 << 32  # ::a.b.c.d (RFC 4291, 2.5.5.1); ::1 and :: become 0.0.0.1 and 0.0.0.0
    return address.ipv4_mapped or (IPv4Address(int(address)) if is_compatible else address)


def _is_allowed(address: Address) -> bool:
    forms = {address, _unwrapped(address)}
    if any(form in network for network in settings.FETCH_ALLOWED_NETWORKS for form in forms):
        return True
    return is_public(address) and not forms & _own_addresses()


def _own_addresses() -> set[Address]:
    """This machine's, asked for each time: they come and go."""
    families = {socket.AF_INET, socket.AF_INET6}
    told = [
        entry.address for entries in psutil.net_if_addrs().values() for entry in entries if entry.family in families
    ]
    return {_unwrapped(ip_address(address.partition("%")[0])) for address in told}


class GuardedBackend(httpcore2.NetworkBackend):
    """Connects to vetted addresses alone, and to nothing after the deadline."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        for address in _vetted_addresses(host, self._deadline):
            try:
                seconds = min(_CONNECT_TIMEOUT_S, _seconds_left(self._deadline))
                stream = httpcore2.SyncBackend().connect_tcp(address, port, seconds)
                return _TimedStream(stream, self._deadline)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue
        raise Refused(Code.FETCH_FAILED, _("%(host)s cannot be reached."), {"host": host})


def _vetted_addresses(host: str, deadline: float) -> list[str]:
    found = _resolve(host, deadline)
    if not found or not all(_is_allowed(ip_address(address)) for address in found):
        # the same words for both, or they would tell which names there are inside
        raise Refused(
            Code.FETCH_FAILED, _("%(host)s is no server on the internet, and others are not asked."), {"host": host}
        )
    return found


def _resolve(host: str, deadline: float) -> list[str]:
    """Its addresses, in the order to try them; none where it has none."""
    resolver = ThreadPoolExecutor(1)  # getaddrinfo takes as long as a name server makes it
    try:
        asked = resolver.submit(socket.getaddrinfo, host, None, type=socket.SOCK_STREAM)
        answers = asked.result(_seconds_left(deadline))
    except FutureTimeoutError:
        raise httpcore2.ConnectTimeout from None
    except (OSError, ValueError):  # ValueError: what cannot be a name, such as one with a label of 64 letters
        return []
    finally:
        resolver.shutdown(wait=False)
    return list(dict.fromkeys(str(address[0]) for *_, address in answers))


def _seconds_left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore2.TimeoutException
    return left


class _TimedStream(httpcore2.NetworkStream):
    """A connection whose reads and writes all end by the deadline, however little each of them waits for."""

    def __init__(self, stream: httpcore2.NetworkStream, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _seconds_left(self._deadline))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _seconds_left(self._deadline))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        try:
            secured = self._stream.start_tls(ssl_context, server_hostname, _seconds_left(self._deadline))
        except httpcore2.ConnectError as error:
            reason = getattr(error.__cause__, "verify_message", "") or "it speaks no TLS that we do"
            raise Refused(
                Code.FETCH_FAILED,
                _("No secure connection can be made to %(host)s: %(reason)s."),
                {"host": server_hostname, "reason": reason.rstrip(".")},
            ) from None
        return _TimedStream(secured, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
