"""PostgreSQL's wire protocol, versions 3.0 and 3.2: framing, messages, startup, passwords."""
