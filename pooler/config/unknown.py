"""What to say about a name that is no setting at its place: where it belongs, what it is called here, or what is near.

Whoever comes from PgBouncer brings its file along. A name of PgBouncer's that is not here must not be taken for a
misspelling of another one, so all of them are known.
"""

from __future__ import annotations

import dataclasses

from pooler.config.settings import ApiSettings, DatabaseSettings, ServerSettings, UserSettings
from pooler.config.suggest import did_you_mean

__all__ = ["SECTIONS", "explain_unknown", "explain_unknown_section"]

SECTIONS: dict[str, frozenset[str]] = {
    "[server]": frozenset(field.name for field in dataclasses.fields(ServerSettings)),
    "[databases.NAME]": frozenset(field.name for field in dataclasses.fields(DatabaseSettings)),
    "[users.NAME]": frozenset(field.name for field in dataclasses.fields(UserSettings)),
    "[api]": frozenset(field.name for field in dataclasses.fields(ApiSettings)),
}
"""The settings of each section, by the section's heading."""

_IN_PRIMARY = 'it is part of the connection string, as in primary = "postgresql://USER:PASSWORD@HOST:PORT/DBNAME"'
_PARAMETER = 'it is an option of the connection string, as in primary = "postgresql://HOST/DBNAME?{0}=VALUE"'
_LOG = "messages go to the standard error output, where the service manager takes them up"
_KERNEL = "the operating system's value is used"
_BUFFERS = "buffers have no settings here"
_NAMES = "names are looked up by the operating system"
_OPENSSL = "OpenSSL's own choice is used, which its configuration file may change"
_ONE_NODE = "the workers of one node share a port, and hand cancel requests to each other, by themselves"
_UNUSED = "a pool that has neither clients nor connections is given up by itself"
_INSTEAD = {
    "logfile": _LOG,
    "syslog": _LOG,
    "syslog_ident": _LOG,
    "syslog_facility": _LOG,
    "pidfile": "the process stays in the foreground, and the service manager knows its number",
    "user": "start the process as the user that it is to run as",
    "pkt_buf": _BUFFERS,
    "sbuf_loopcnt": _BUFFERS,
    **dict.fromkeys(("tcp_defer_accept", "tcp_socket_buffer", "tcp_user_timeout"), _KERNEL),
    **dict.fromkeys(("tcp_keepcnt", "tcp_keepidle", "tcp_keepintvl"), _KERNEL),
    **dict.fromkeys(("so_reuseport", "peer_id"), _ONE_NODE),
    **dict.fromkeys(("autodb_idle_timeout", "pool_idle_timeout"), _UNUSED),
    "track_extra_parameters": "all settings follow their client, whatever their names",
    "max_db_client_connections": "only max_client_conn limits clients, and pool_size what they can do at once",
    "max_user_client_connections": "only max_client_conn limits clients, and pool_size what they can do at once",
    "application_name_add_host": "application_name stays as the client said it; SHOW CLIENTS has the address",
    "disable_pqexec": "a message may have several statements; a rule can block them",
    "server_fast_close": "in session pooling a client keeps its backend until it leaves, or until KILL_CLIENT",
    "query_wait_notify": "clients are not told that they wait; SHOW POOLS and the metrics are",
    "login_notify_message": "nothing is told at login",
    "suspend_timeout": "there is no SUSPEND; takeover_timeout bounds an online restart",
    "log_stats": "figures are in SHOW STATS and at /metrics, and not in the log",
    "unix_socket_mode": "whoever may enter unix_socket_dir may connect to the socket in it",
    "unix_socket_group": "whoever may enter unix_socket_dir may connect to the socket in it",
    "dns_zone_check_period": _NAMES,
    "resolv_conf": _NAMES,
    **dict.fromkeys(("client_tls_ecdhcurve", "client_tls_dheparams", "client_tls13_ciphers"), _OPENSSL),
    "server_tls13_ciphers": _OPENSSL,
    "auth_ldap_options": "there is no login by LDAP",
    "conffile": "the file is named on the command line, by --config",
    "job_name": "it is of use on Windows only",
    "service_name": "it is of use on Windows only",
}
_INSTEAD_IN_DATABASE = {
    **dict.fromkeys(("host", "port", "dbname", "user", "password"), _IN_PRIMARY),
    **{
        name: _PARAMETER.format(name)
        for name in ("client_encoding", "datestyle", "timezone", "application_name", "load_balance_hosts")
    },
    "reserve_pool": "its name is reserve_pool_size",
    "default_pool_size": "its name is pool_size here",
}
_INSTEAD_IN = {
    "[server]": _INSTEAD | {"host": "its name is listen_addr", "port": "its name is listen_port"},
    "[databases.NAME]": _INSTEAD | _INSTEAD_IN_DATABASE,
    "[users.NAME]": _INSTEAD
    | {"password": "passwords stand in the auth_file", "default_pool_size": "its name is pool_size here"},
    "[api]": {},
}
_SECTIONS_INSTEAD = {
    "pgbouncer": "the section is called [server] here",
    "database": "the section is called [databases.NAME]",
    "user": "the section is called [users.NAME]",
    "peers": f"there is no such section here: {_ONE_NODE}",
}


def explain_unknown(section: str, name: str) -> str:
    """Say what is wrong with a name that is no setting of this section (a key of SECTIONS)."""
    if name in _INSTEAD_IN[section]:
        return f"there is no such setting here: {_INSTEAD_IN[section][name]}"
    places = [heading for heading, settings in SECTIONS.items() if name in settings]
    if places:
        other = "; for all pools its name is default_pool_size" if (section, name) == ("[server]", "pool_size") else ""
        return f"this setting does not belong into {section}, but into {' or '.join(places)}{other}"
    # Also names that lead to one of the answers above: they are still nearer to what was meant than others are.
    known = SECTIONS[section] | _INSTEAD_IN[section].keys()
    return f"unknown setting{did_you_mean(name, sorted(known))}"


def explain_unknown_section(name: str) -> str:
    """Say what is wrong with a name at the top of the file that is no section."""
    if name in _SECTIONS_INSTEAD:
        return _SECTIONS_INSTEAD[name]
    if name in _INSTEAD:
        return explain_unknown("[server]", name)
    places = [heading for heading, settings in SECTIONS.items() if name in settings]
    if places:
        return f"this setting does not belong before the first section, but into {' or '.join(places)}"
    return f"unknown section{did_you_mean(name, ('server', 'databases', 'users', 'plugins'))}"
