"""Logging in to a PostgreSQL server: which of its hosts, over which address, with TLS or without it, until one will do.

A connection string may name several hosts, and each may have several addresses. As libpq does, they are tried one after
the other, each for ``server_connect_timeout`` at most, until one can be reached and is what ``target_session_attrs``
asks for. A server that refuses this very login ends the search, unless it is starting up or shutting down (57P03).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from interceptor.errors import (
    BACKEND_CONNECT,
    BACKEND_LOGIN,
    BACKEND_PROTOCOL,
    BACKEND_TLS,
    BackendError,
    ProtocolViolation,
)
from pooler.auth import BackendCredential, KeyCache
from pooler.config import PoolSettings
from pooler.config.hosts import TargetSessionAttrs
from pooler.config.tls import SslMode
from pooler.config.values import HostPort
from pooler.hosts import host_memory, names
from pooler.hosts.fitness import why_unfit
from pooler.hosts.order import rounds
from pooler.login_exchange import (
    MAX_LOGIN_MESSAGE,
    BackendAddress,
    FrameReader,
    LoggedIn,
    Welcome,
    ask,
    converse,
)
from pooler.tls import TlsTransport

__all__ = ["MAX_LOGIN_MESSAGE", "BackendAddress", "LoggedIn", "Welcome", "log_in"]

_NOT_IN_HBA: Final = "28000"
"""The SQLSTATE of "no pg_hba.conf entry", which may be different with TLS, or without it."""

_CANNOT_CONNECT_NOW: Final = "57P03"
"""It is starting up, shutting down, or in recovery without hot_standby: another host may do, as in libpq."""


@dataclass(frozen=True, slots=True)
class _Login:
    """Who logs in."""

    settings: PoolSettings
    profile: Mapping[str, str]
    credential: BackendCredential | None
    keys: KeyCache


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why one address of one host was of no use."""

    place: BackendAddress
    reason: str
    error: BackendError


async def log_in(
    settings: PoolSettings, profile: Mapping[str, str], credential: BackendCredential | None, keys: KeyCache
) -> LoggedIn:
    """Connect and log in as the settings say. ``profile`` holds the startup parameters beside user and database.

    Raises BackendError that says which server and why; then nothing is left open.
    """
    login = _Login(settings, profile, credential, keys)
    retry = settings.server_login_retry
    failures: list[_Failure] = []
    for attrs in rounds(settings.choice):
        # Of a second round only what it says anew is of interest.
        failures.clear()
        for host in host_memory.order(settings, attrs):
            host_memory.on_attempt(host, attrs, retry)
            logged_in = await _try_host(login, host, attrs, failures)
            if logged_in is not None:
                host_memory.on_found(host, attrs)
                return logged_in
            host_memory.on_failed(host, attrs, retry)
    raise _sum_up(settings, failures)


async def _try_host(
    login: _Login, host: HostPort, attrs: TargetSessionAttrs, failures: list[_Failure]
) -> LoggedIn | None:
    """One host, with all its addresses. None if it is of no use, and ``failures`` says why.

    Raises BackendError where the search is over.
    """
    settings = login.settings
    place = BackendAddress(host.host, host.port)
    try:
        async with asyncio.timeout(settings.server_connect_timeout or None):
            found = await names.addresses(host.host, settings.dns_max_ttl, settings.dns_nxdomain_ttl)
    except OSError as error:
        failures.append(_unreachable(settings, place, error))
        return None
    for ip in host_memory.shuffled(settings.choice, found):
        place = BackendAddress(host.host, host.port, ip="" if host.host.startswith("/") else ip)
        try:
            return await _try_address(login, place, attrs)
        except _Unusable as unusable:
            failures.append(unusable.failure)
    return None


class _Unusable(Exception):
    """This address is of no use; another may be."""

    def __init__(self, failure: _Failure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


async def _try_address(login: _Login, place: BackendAddress, attrs: TargetSessionAttrs) -> LoggedIn:
    """One address, in all the ways that sslmode allows. Raises _Unusable, or BackendError where the search is over."""
    settings = login.settings
    try:
        async with asyncio.timeout(settings.server_connect_timeout or None):
            *others, last = _ways(settings, place)
            for address in others:
                try:
                    return await _log_in(address, login, attrs)
                except _TryOtherWay:
                    continue
            return await _log_in(last, login, attrs)
    except OSError as error:
        raise _Unusable(_unreachable(settings, place, error)) from error
    except ProtocolViolation as error:
        refusal = BackendError(
            BACKEND_PROTOCOL,
            f'the server of database "{settings.database}" at {place} does not speak PostgreSQL\'s protocol: '
            f"{error.message}",
        )
        raise _Unusable(_Failure(place, f"no PostgreSQL: {error.message}", refusal)) from error
    except (BackendError, _TryOtherWay) as failed:
        reason = failed.error if isinstance(failed, _TryOtherWay) else failed
        refusal = BackendError(
            reason.failure,
            f'cannot log in to the server of database "{settings.database}" at {place}: {reason.message}',
            sqlstate=reason.sqlstate,
            detail=reason.detail,
            hint=reason.hint,
        )
        if reason.failure is BACKEND_LOGIN and reason.sqlstate != _CANNOT_CONNECT_NOW:
            raise refusal from reason
        raise _Unusable(_Failure(place, reason.message, refusal)) from reason


def _unreachable(settings: PoolSettings, place: BackendAddress, error: OSError) -> _Failure:
    # TimeoutError is an OSError too, and says nothing by itself.
    reason = (
        f"no answer within {settings.server_connect_timeout:g} s"
        if isinstance(error, TimeoutError) and not error.strerror
        else (error.strerror or str(error))
    )
    failure = BackendError(
        BACKEND_CONNECT,
        f'cannot connect to the server of database "{settings.database}" at {place}: {reason}',
        hint="Check that the server runs, and the address in the configuration.",
    )
    failure.__cause__ = error
    return _Failure(place, reason, failure)


def _sum_up(settings: PoolSettings, failures: list[_Failure]) -> BackendError:
    """What to say when no host will do."""
    if len(failures) == 1:
        return failures[0].error
    reasons = "; ".join(f"{failure.place}: {failure.reason}" for failure in failures)
    return BackendError(
        BACKEND_CONNECT,
        f'no server of database "{settings.database}" can be used: {reasons}',
        hint="Check that the servers run, their addresses in the configuration, and target_session_attrs.",
    )


class _TryOtherWay(Exception):
    """The login failed in a way that says nothing about the same login with TLS, or without it."""

    def __init__(self, error: BackendError) -> None:
        super().__init__(error.message)
        self.error = error


def _ways(settings: PoolSettings, place: BackendAddress) -> list[BackendAddress]:
    """With TLS or without it, in the order in which libpq tries them."""
    tls = settings.tls
    if tls.mode is SslMode.DISABLE or place.socket_path is not None:
        return [place]
    encrypted = replace(place, tls=tls)
    if tls.mode is SslMode.ALLOW:
        return [place, replace(place, tls=tls.without_fallback())]
    return [encrypted, place] if tls.mode is SslMode.PREFER else [encrypted]


async def _log_in(address: BackendAddress, login: _Login, attrs: TargetSessionAttrs) -> LoggedIn:
    """One attempt. Raises _TryOtherWay where a connection that is encrypted in another way may fare better."""
    settings = login.settings
    reader = FrameReader()
    as_asked = True
    try:
        transport = await address.connect(reader)
        encrypted = isinstance(transport, TlsTransport)
        as_asked = encrypted or address.tls is None
        # What is sent later, such as a cancel request, goes the way that this went.
        tls = address.tls.without_fallback() if address.tls is not None and encrypted else None
        address = replace(address, tls=tls)
        logged_in = await converse(reader, address, settings, login.profile, login.credential, login.keys)
        unfit = await why_unfit(attrs, logged_in.welcome, login.profile, lambda query: ask(reader, query))
        if unfit:
            await reader.farewell()
            reason = f'{unfit}, and target_session_attrs is "{settings.choice.attrs.value}"'
            raise BackendError(BACKEND_CONNECT, reason)
        return logged_in
    except BackendError as error:
        reader.abort()
        if error.failure is BACKEND_TLS or (error.sqlstate == _NOT_IN_HBA and as_asked):
            raise _TryOtherWay(error) from error
        raise
    except BaseException:
        reader.abort()
        raise
