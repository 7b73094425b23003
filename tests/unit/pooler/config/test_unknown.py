"""Names that are no settings at their place. Nobody who brings a PgBouncer file along is left without an answer."""

from __future__ import annotations

import pytest

from pooler.config.unknown import SECTIONS, explain_unknown, explain_unknown_section

# PgBouncer 1.25's settings, from its documentation.
PGBOUNCER = """
logfile pidfile listen_addr listen_port unix_socket_dir unix_socket_mode unix_socket_group user pool_mode
max_client_conn default_pool_size min_pool_size reserve_pool_size reserve_pool_timeout max_db_connections
max_db_client_connections max_user_connections max_user_client_connections server_round_robin track_extra_parameters
ignore_startup_parameters
peer_id disable_pqexec application_name_add_host conffile service_name job_name stats_period track_extra_parameters
scram_iterations auth_type auth_hba_file auth_ident_file auth_file auth_user auth_query auth_dbname auth_ldap_options
syslog syslog_ident syslog_facility log_connections log_disconnections log_pooler_errors log_stats verbose admin_users
stats_users server_reset_query server_reset_query_always server_check_delay server_check_query server_fast_close
server_lifetime server_idle_timeout server_connect_timeout server_login_retry client_login_timeout autodb_idle_timeout
pool_idle_timeout dns_max_ttl dns_nxdomain_ttl dns_zone_check_period resolv_conf query_wait_notify login_notify_message
client_tls_sslmode client_tls_key_file client_tls_cert_file client_tls_ca_file client_tls_protocols client_tls_ciphers
client_tls13_ciphers client_tls_ecdhcurve client_tls_dheparams server_tls_sslmode server_tls_ca_file server_tls_key_file
server_tls_cert_file server_tls_protocols server_tls_ciphers server_tls13_ciphers query_timeout query_wait_timeout
cancel_wait_timeout client_idle_timeout idle_transaction_timeout transaction_timeout suspend_timeout pkt_buf
max_packet_size listen_backlog sbuf_loopcnt so_reuseport tcp_defer_accept tcp_socket_buffer tcp_keepalive tcp_keepcnt
tcp_keepidle tcp_keepintvl tcp_user_timeout
""".split()
PGBOUNCER_DATABASE = """
dbname host port user password auth_user auth_query auth_dbname pool_size min_pool_size reserve_pool_size reserve_pool
connect_query pool_mode query_wait_timeout load_balance_hosts max_db_connections max_db_client_connections
server_lifetime client_encoding datestyle timezone application_name
""".split()
PGBOUNCER_USER = """
pool_size reserve_pool_size pool_mode max_user_connections query_timeout query_wait_timeout idle_transaction_timeout
transaction_timeout client_idle_timeout max_user_client_connections
""".split()


@pytest.mark.parametrize(
    ("section", "name"),
    [
        *(("[server]", name) for name in PGBOUNCER),
        *(("[databases.NAME]", name) for name in PGBOUNCER_DATABASE),
        *(("[users.NAME]", name) for name in PGBOUNCER_USER),
    ],
)
def test_every_setting_of_pgbouncer_exists_or_is_explained(section: str, name: str) -> None:
    if name not in SECTIONS[section]:
        assert "unknown" not in explain_unknown(section, name)


def test_no_setting_is_called_unknown_or_not_built() -> None:
    for section, names in SECTIONS.items():
        for name in names:
            assert explain_unknown(section, name).startswith(f"this setting does not belong into {section}"), name


@pytest.mark.parametrize(
    ("section", "name", "explanation"),
    [
        (
            "[server]",
            "track_extra_parameters",
            "there is no such setting here: all settings follow their client, whatever their names",
        ),
        ("[server]", "user", "there is no such setting here: start the process as the user that it is to run as"),
        ("[users.NAME]", "password", "there is no such setting here: passwords stand in the auth_file"),
        ("[server]", "port", "there is no such setting here: its name is listen_port"),
        ("[databases.NAME]", "default_pool_size", "there is no such setting here: its name is pool_size here"),
        (
            "[databases.NAME]",
            "timezone",
            "there is no such setting here: it is an option of the connection string, as in "
            'primary = "postgresql://HOST/DBNAME?timezone=VALUE"',
        ),
        (
            "[server]",
            "pool_size",
            "this setting does not belong into [server], but into [databases.NAME] or [users.NAME]; "
            "for all pools its name is default_pool_size",
        ),
        ("[users.NAME]", "listen_port", "this setting does not belong into [users.NAME], but into [server]"),
        ("[server]", "listen_adr", 'unknown setting; did you mean "listen_addr"?'),
        ("[server]", "Listen_Addr", 'unknown setting; did you mean "listen_addr"?'),
        ("[server]", "max_prepared_statement", 'unknown setting; did you mean "max_prepared_statements"?'),
        ("[users.NAME]", "poolmode", 'unknown setting; did you mean "pool_mode"?'),
        ("[server]", "xyzzy", "unknown setting"),
    ],
)
def test_explanations(section: str, name: str, explanation: str) -> None:
    assert explain_unknown(section, name) == explanation


@pytest.mark.parametrize(
    ("name", "explanation"),
    [
        ("pgbouncer", "the section is called [server] here"),
        ("database", "the section is called [databases.NAME]"),
        ("sever", 'unknown section; did you mean "server"?'),
        ("listen_port", "this setting does not belong before the first section, but into [server]"),
        (
            "query_wait_timeout",
            "this setting does not belong before the first section, but into [server] or [databases.NAME] or "
            "[users.NAME]",
        ),
        ("logfile", explain_unknown("[server]", "logfile")),
        ("peer_id", explain_unknown("[server]", "peer_id")),
        ("xyzzy", "unknown section"),
    ],
)
def test_sections(name: str, explanation: str) -> None:
    assert explain_unknown_section(name) == explanation
