"""Whether what is said about logins can be done: the files of rules and name maps are read before anything starts."""

from __future__ import annotations

from collections.abc import Mapping

from pooler.config.problems import ConfigErrors, Problems
from pooler.config.settings import DatabaseSettings, ServerSettings
from pooler.config.tls import SslMode
from pooler.config.values import AuthType

__all__ = ["check_auth"]


def check_auth(server: ServerSettings, databases: Mapping[str, DatabaseSettings], problems: Problems) -> None:
    """Note every line of the HBA file and of the name maps that is wrong, and settings that don't go together."""
    _check_rules(server, problems)
    if server.auth_type is AuthType.CERT:
        _check_certificates(server, problems, 'auth_type = "cert"')
    _check_query(server, databases, problems)


def _check_rules(server: ServerSettings, problems: Problems) -> None:
    # Imported here, because the rules' errors are those of a configuration.
    from pooler.auth.hba import Hba
    from pooler.auth.ident import NameMaps

    uses_rules = server.auth_type is AuthType.HBA
    for setting in ("auth_hba_file", "auth_ident_file"):
        if getattr(server, setting) is not None and not uses_rules and not problems.concern(("server", "auth_type")):
            problems.add(("server", setting), f'has no effect: auth_type is "{server.auth_type.value}", not "hba"')
    if not uses_rules:
        return
    if server.auth_hba_file is None:
        if not problems.concern(("server", "auth_hba_file")):
            problems.add(("server", "auth_type"), '"hba" needs an auth_hba_file')
        return
    try:
        maps = NameMaps() if server.auth_ident_file is None else NameMaps.load(server.auth_ident_file)
        rules = Hba.load(server.auth_hba_file, maps)
    except ConfigErrors as errors:
        problems.include(errors)
        return
    if rules.needs_certificates:
        _check_certificates(server, problems, "a rule of auth_hba_file that looks at certificates")


def _check_certificates(server: ServerSettings, problems: Problems, what: str) -> None:
    if server.client_tls_sslmode is SslMode.DISABLE:
        problems.add(("server", "client_tls_sslmode"), f'{what} needs TLS: write "require", or "verify-ca"')
    elif server.client_tls_ca_file is None:
        problems.add(
            ("server", "client_tls_ca_file"), f"{what} needs the authorities that sign certificates of clients"
        )


def _check_query(server: ServerSettings, databases: Mapping[str, DatabaseSettings], problems: Problems) -> None:
    if "$1" not in server.auth_query:
        problems.add(("server", "auth_query"), "it does not hold $1, which stands for the user's name")
    if server.auth_dbname and server.auth_dbname not in databases and "*" not in databases:
        problems.add(("server", "auth_dbname"), f'there is no database "{server.auth_dbname}" here')
    for name, database in databases.items():
        if database.auth_query and "$1" not in database.auth_query:
            problems.add(("databases", name, "auth_query"), "it does not hold $1, which stands for the user's name")
        if database.auth_dbname and database.auth_dbname not in databases and "*" not in databases:
            problems.add(("databases", name, "auth_dbname"), f'there is no database "{database.auth_dbname}" here')
        for setting in ("auth_query", "auth_dbname"):
            if getattr(database, setting) and not (database.auth_user or server.auth_user):
                problems.add(("databases", name, setting), "has no effect: there is no auth_user, as whom to ask")
    if server.auth_dbname and not server.auth_user and not any(one.auth_user for one in databases.values()):
        problems.add(("server", "auth_dbname"), "has no effect: there is no auth_user, as whom to ask")
