"""Clients that keep a secret in all that a session has, and look again and again whether it is still theirs."""

from __future__ import annotations

from tests.soak.clients import Client, Deed
from tests.soak.wire import AsyncWire, rows
from tests.support import frontend

__all__ = ["ROLES", "SecretKeeper"]

ROLES = tuple(f"soak_role_{number}" for number in range(5))

# Time zones, and the hour in UTC of noon there on the first of January.
_ZONES = {"Asia/Tokyo": "03", "Europe/Warsaw": "11", "America/Lima": "17", "UTC": "12"}

TOO_MANY_PINNED = "53300"


class SecretKeeper(Client):
    """Has a setting, a role, a time zone and a prepared statement, at times a temporary table, a lock and a channel.

    All keepers call everything alike; what is in it is each one's own.
    """

    async def visit(self) -> None:
        wire = await AsyncWire.connect(self.host, self.port, self.database)
        try:
            self.secret = self.nonce()
            self.role = self.random.choice(ROLES)
            self.zone, self.hour = self.random.choice(list(_ZONES.items()))
            await self.hide(wire)
            deeds: list[Deed] = [self.look_at_settings, self.use_statement, self.change_role, self.change_secret]
            deeds += [self.undo_a_change, self.look_around, self.use_temporary_table, self.use_lock_and_channel]
            for _ in range(self.random.randint(1, 5 if self.mode == "session" else 60)):
                if self.stopping:
                    break
                await self.random.choice(deeds)(wire)
                await self.look_at_settings(wire)
            await wire.close()
        finally:
            wire.vanish()

    def note(self, sqlstate: str, error: Exception) -> None:
        # A temporary table too many: the limit of pinned clients is there to be met.
        super().note("08006" if sqlstate == TOO_MANY_PINNED else sqlstate, error)

    async def hide(self, wire: AsyncWire) -> None:
        """Put the secret into everything."""
        await wire.query(f"SET app.secret = '{self.secret}'; SET TimeZone = '{self.zone}'; SET ROLE {self.role}")
        # The same name for all, and the same text but for the secret; the time is read when it is parsed.
        text = f"SELECT '{self.secret}', to_char(timestamptz '2020-01-01 12:00' AT TIME ZONE 'UTC', 'HH24'), $1::text"
        wire.send(frontend.parse(text, "statement"))
        # This text is the same for all, and what it means is not.
        shared = "SELECT to_char(timestamptz '2020-01-01 12:00' AT TIME ZONE 'UTC', 'HH24'), current_user, $1::text"
        wire.send(frontend.parse(shared, "shared"), frontend.sync())
        await wire.read_until_ready()

    async def look_at_settings(self, wire: AsyncWire) -> None:
        found = await wire.query(
            "SELECT current_setting('app.secret', true), current_user, current_setting('TimeZone'),"
            " to_char(timestamptz '2020-01-01 12:00' AT TIME ZONE 'UTC', 'HH24')"
        )
        self.expect(found, [(self.secret, self.role, self.zone, self.hour)])
        self.done("secrets")

    async def use_statement(self, wire: AsyncWire) -> None:
        nonce = self.nonce()
        for name, wanted in (("statement", (self.secret, self.hour)), ("shared", (self.hour, self.role))):
            wire.send(frontend.bind([nonce.encode()], statement=name), frontend.execute(), frontend.sync())
            self.expect(rows(await wire.read_until_ready()), [(*wanted, nonce)])
        self.done("secrets")

    async def change_role(self, wire: AsyncWire) -> None:
        self.role = self.random.choice(ROLES)
        await wire.query(f"SET ROLE {self.role}")

    async def change_secret(self, wire: AsyncWire) -> None:
        """By a statement that doesn't show what it does. The prepared one has the first secret in it."""
        wire.send(frontend.close_statement("statement"), frontend.close_statement("shared"), frontend.sync())
        await wire.read_until_ready()
        self.secret = self.nonce()
        await wire.query(f"DO $$BEGIN PERFORM set_config('app.secret', '{self.secret}', false); END$$")
        await self.hide(wire)

    async def undo_a_change(self, wire: AsyncWire) -> None:
        if self.mode == "statement":
            return
        await wire.query("BEGIN; SET app.secret = 'never'; SET ROLE none; SET LOCAL TimeZone = 'UTC'")
        await wire.query(self.random.choice(("ROLLBACK", "SAVEPOINT s; SET DateStyle = German; ROLLBACK")))

    async def look_around(self, wire: AsyncWire) -> None:
        """Nothing of anybody else's is there."""
        found = await wire.query(
            "SELECT to_regclass('pg_temp.kept') IS NULL,"
            " (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()),"
            " (SELECT count(*) FROM pg_listening_channels()), (SELECT count(*) FROM pg_cursors WHERE is_holdable)"
        )
        self.expect(found, [("t", "0", "0", "0")])

    async def use_temporary_table(self, wire: AsyncWire) -> None:
        await wire.query(f"CREATE TEMP TABLE kept AS SELECT '{self.secret}' AS secret")
        for _ in range(self.random.randint(1, 5)):
            self.expect(await wire.query("SELECT secret FROM kept"), [(self.secret,)])
            await self.random.choice([self.look_at_settings, self.use_statement])(wire)
        # Made by the role that it still is.
        await wire.query(self.random.choice(("DROP TABLE kept", "DISCARD TEMP")))
        self.done("temporary tables")

    async def use_lock_and_channel(self, wire: AsyncWire) -> None:
        key = self.random.getrandbits(30)
        await wire.query(f"SELECT pg_advisory_lock({key})")
        await wire.query("LISTEN soak")
        locks = "SELECT objid FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
        self.expect(await wire.query(locks), [(str(key),)])
        await self.look_at_settings(wire)
        await wire.query("UNLISTEN soak")
        await wire.query(f"SELECT pg_advisory_unlock({key})")
        self.done("locks")
