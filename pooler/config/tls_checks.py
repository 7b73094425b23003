"""Whether what is said about TLS can be done: the files are read and fit, before anything starts."""

from __future__ import annotations

from collections.abc import Mapping

from pooler.config.dsn import Upstream
from pooler.config.problems import KeyPath, Problems
from pooler.config.settings import DatabaseSettings, ServerSettings
from pooler.config.tls import ServerTls, SslMode, SslNegotiation, client_tls, server_tls, server_tls_of
from pooler.config.values import Unfit

__all__ = ["check_tls", "probe_upstream"]

Known = dict[ServerTls, tuple[str, str] | None]
"""Settings that were tried, and what is wrong with each."""

_OPTIONS = {"ca_file": "sslrootcert", "cert_file": "sslcert", "key_file": "sslkey"}


def check_tls(server: ServerSettings, databases: Mapping[str, DatabaseSettings], problems: Problems) -> None:
    """Note every file that is missing or wrong, and settings that no connection could be made with."""
    # Imported here, because what makes contexts knows the settings that it makes them of.
    from pooler.tls.contexts import ClientContext, TlsProblem

    try:
        ClientContext(client_tls(server))
    except TlsProblem as problem:
        problems.add(("server", f"client_tls_{problem.part}"), problem.message)
    for part in ("cert_file", "key_file", "ca_file"):
        setting = f"client_tls_{part}"
        if server.client_tls_sslmode is SslMode.DISABLE and getattr(server, setting) is not None:
            problems.add(("server", setting), 'has no effect: client_tls_sslmode is "disable"')
    base = server_tls(server)
    wrong = _problem_of(base)
    if wrong is not None:
        part, message = wrong
        problems.add(("server", f"server_tls_{part}"), message)
    # Thousands of databases may say the same.
    known: Known = {base: None}
    for name, database in databases.items():
        _check_upstream(base, database.primary, ("databases", name, "primary"), problems, known)
        for index, replica in enumerate(database.replicas):
            settings = server_tls_of(base, database.primary)
            _check_upstream(settings, replica, ("databases", name, "replicas", index), problems, known)


def probe_upstream(server: ServerSettings, upstream: Upstream) -> None:
    """Raises Unfit if what a connection string says about TLS can't be done."""
    wrong = _problem_of(server_tls_of(server_tls(server), upstream))
    if wrong is not None:
        part, message = wrong
        raise Unfit(f"{_OPTIONS.get(part, part)}: {message}")


def _check_upstream(base: ServerTls, upstream: Upstream, path: KeyPath, problems: Problems, known: Known) -> None:
    settings = server_tls_of(base, upstream)
    if settings == base:
        return  # said of [server], or of the primary, already
    if settings not in known:
        known[settings] = _problem_of(settings)
    wrong = known[settings]
    if wrong is not None:
        part, message = wrong
        problems.add(path, f"{_OPTIONS.get(part, part)}: {message}")


def _problem_of(settings: ServerTls) -> tuple[str, str] | None:
    """What can't be done, and which part of the settings says it."""
    from pooler.tls.contexts import TlsProblem, server_contexts

    if settings.mode is SslMode.DISABLE:
        return None
    if settings.negotiation is SslNegotiation.DIRECT and not settings.mode.required:
        # A server that takes no direct TLS hangs up, and there is nothing to fall back to.
        return "sslnegotiation", f'"direct" needs sslmode=require or stricter, not {settings.mode.value}'
    try:
        server_contexts.probe(settings)
    except TlsProblem as problem:
        return problem.part, problem.message
    return None
