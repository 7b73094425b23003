"""The questions that the catalogue service asks PostgreSQL, each with the place for its answer.

All of them are answered within one transaction that is REPEATABLE READ and READ ONLY, so that the answers agree. None
calls a function such as pg_get_expr or format_type: those look at the catalogue as it is now, not as the transaction
sees it, and fail on what was dropped meanwhile. Every catalogue here can be read by everybody.

Temporary relations and what belongs to them are left out: they concern one session, and there may be
thousands a second.
"""

from __future__ import annotations

from typing import Final

__all__ = ["DIGEST", "QUESTIONS", "UNCHANGED"]

_KNOWN_RELATION: Final = "relpersistence <> 't' and relkind <> 't' and relnamespace <> 99"  # not pg_toast
_TEMPORARY: Final = "(select oid from pg_class where relpersistence = 't')"
_TEMPORARY_SCHEMA: Final = "(select oid from pg_namespace where nspname ~ '^pg_(toast_)?temp_')"
_TEMPORARY_TYPE: Final = f"(select oid from pg_type where typnamespace in {_TEMPORARY_SCHEMA})"

SCHEMAS: Final = """
select n.oid, n.nspname, n.nspowner,
  coalesce((select array_agg(a.grantee) from aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a
            where a.privilege_type = 'USAGE'), '{}')
from pg_namespace n
where nspname !~ '^pg_(toast_)?temp_'
"""

# inherit_option came with PostgreSQL 16; before, it was an attribute of the member. The owner of the database is
# the only member of pg_database_owner (oid 6171), and that is written nowhere.
ROLES: Final = """
select r.oid, r.rolname, r.rolsuper, r.rolbypassrls,
  coalesce((select array_agg(m.roleid) from pg_auth_members m where m.member = r.oid
            and coalesce((to_jsonb(m) ->> 'inherit_option')::bool, r.rolinherit)), '{}')
  || case when r.oid = d.datdba then array[6171]::oid[] else '{}' end,
  coalesce((select array_agg(one order by s.setdatabase) from pg_db_role_setting s, unnest(s.setconfig) one
            where s.setrole = r.oid and s.setdatabase in (0, d.oid)), '{}')
from pg_roles r, pg_database d
where d.datname = current_database()
"""

DATABASE: Final = """
select current_setting('server_version_num')::int, d.datdba,
  coalesce((select array_agg(one) from pg_db_role_setting s, unnest(s.setconfig) one
            where s.setrole = 0 and s.setdatabase = d.oid), '{}'),
  coalesce((select array_agg(evtfoid) from pg_event_trigger where evtenabled <> 'D'), '{}')
from pg_database d
where d.datname = current_database()
"""

# A line for each column; to_json keeps a line feed in a name from ending its line. Indexes have no columns that anybody
# names.
RELATIONS: Final = f"""
select c.oid, c.relnamespace, c.relname, c.relkind, c.relpersistence, c.relowner, c.relrowsecurity,
  c.relforcerowsecurity, c.relispartition, c.reloptions,
  case when c.relkind not in ('i', 'I', 'S') then
    (select string_agg(concat_ws(' ', attnum, atttypid, atttypmod, attnotnull::int, atthasdef::int,
                                 coalesce(nullif(attidentity, ''), '-'), coalesce(nullif(attgenerated, ''), '-'),
                                 to_json(attname::text)), e'\\n' order by attnum)
     from pg_attribute where attrelid = c.oid and attnum > 0 and not attisdropped)
  end
from pg_class c
where {_KNOWN_RELATION}
"""

INHERITANCE: Final = f"""
select inhparent, array_agg(inhrelid order by inhrelid)
from pg_inherits
where inhrelid not in {_TEMPORARY}
group by inhparent
"""

DEFAULTS: Final = f"""
select d.adrelid, d.adnum, d.adbin::text
from pg_attrdef d
where d.adrelid not in {_TEMPORARY}
"""

# What is computed for each row that is written: the expressions of an index and of a partition key, and of an operator
# class that isn't PostgreSQL's own the functions that order and hash its values.
INDEXES: Final = f"""
select i.indrelid, i.indexrelid, coalesce(i.indexprs::text, '') || coalesce(i.indpred::text, ''),
  coalesce((select array_agg(distinct p.amproc::oid) from unnest(i.indclass) k, pg_opclass o, pg_amproc p
            where k >= 16384 and o.oid = k and p.amprocfamily = o.opcfamily and p.amproc::oid >= 16384), '{{}}')
from pg_index i
where (i.indexprs is not null or i.indpred is not null or exists (select from unnest(i.indclass) k where k >= 16384))
  and i.indrelid not in {_TEMPORARY}
union all
select partrelid, partrelid, partexprs::text, '{{}}' from pg_partitioned_table
where partexprs is not null and partrelid not in {_TEMPORARY}
"""

# What ANALYZE computes. Expressions of statistics came with PostgreSQL 14.
STATISTICS: Final = f"""
select s.stxrelid, to_jsonb(s) ->> 'stxexprs'
from pg_statistic_ext s
where to_jsonb(s) ->> 'stxexprs' is not null and s.stxrelid not in {_TEMPORARY}
"""

# What runs, without being named, where values of a type are compared or sorted: the functions of its default operator
# classes, and those of a range type. Functions that an extension brought in C are believed, or each citext would be
# suspect. Type 0: the functions of operator classes that are nobody's default, and have to be named.
COMPARISONS: Final = """
with family as (
  select p.amprocfamily as oid, p.amproc::oid as code from pg_amproc p where p.amproc::oid >= 16384
  union
  select a.amopfamily, o.oprcode::oid
  from pg_amop a join pg_operator o on o.oid = a.amopopr
  where o.oprcode::oid >= 16384
), used as (
  select case when c.opcdefault then c.opcintype else 0::oid end as type, f.code
  from family f join pg_opclass c on c.opcfamily = f.oid
  union
  select u.type, f.code
  from pg_range r join pg_opclass c on c.oid = r.rngsubopc join family f on f.oid = c.opcfamily,
    unnest(array[r.rngtypid, (to_jsonb(r) ->> 'rngmultitypid')::oid]) u(type)
  union
  select r.rngtypid, u.code
  from pg_range r, unnest(array[r.rngcanonical::oid, r.rngsubdiff::oid]) u(code)
)
select u.type, array_agg(u.code)
from used u join pg_proc p on p.oid = u.code join pg_language l on l.oid = p.prolang
where u.type is not null and p.oid >= 16384
  and not (l.lanname = 'c' and exists (select from pg_depend d where d.classid = 'pg_proc'::regclass
                                       and d.objid = p.oid and d.deptype = 'e'))
group by u.type
"""

CHECKS: Final = f"""
select conrelid, contypid, conbin::text, coalesce(conexclop, '{{}}')
from pg_constraint
where contype in ('c', 'x') and conrelid not in {_TEMPORARY} and contypid not in {_TEMPORARY_TYPE}
"""

FOREIGN_KEYS: Final = f"""
select oid, conname, conrelid, confrelid, confupdtype, confdeltype
from pg_constraint
where contype = 'f' and conrelid not in {_TEMPORARY}
"""

TRIGGERS: Final = f"""
select oid, tgname, tgrelid, tgfoid, tgtype, tgqual::text
from pg_trigger
where not tgisinternal and tgenabled <> 'D' and tgrelid not in {_TEMPORARY}
"""

RULES: Final = f"""
select oid, rulename, ev_class, ev_type, is_instead, ev_qual::text, ev_action::text
from pg_rewrite
where ev_enabled <> 'D' and ev_class not in {_TEMPORARY}
"""

POLICIES: Final = f"""
select polname, polrelid, polcmd, polroles, polqual::text, polwithcheck::text
from pg_policy
where polrelid not in {_TEMPORARY}
"""

FUNCTIONS: Final = f"""
select p.oid, p.pronamespace, p.proname, p.prokind, p.provolatile, l.lanname, p.proowner, p.proargtypes::oid[],
  p.pronargdefaults, p.provariadic <> 0, p.prorettype, p.prosecdef, p.proconfig, p.proretset,
  coalesce((select e.extname from pg_depend d join pg_extension e on e.oid = d.refobjid
            where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'), ''),
  array[p.prosupport::oid] || array[a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn, a.aggdeserialfn,
        a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn]::oid[],
  p.proargnames, p.proargmodes::text[], p.proallargtypes, p.proargdefaults::text, p.prosqlbody::text,
  case when p.oid >= 16384 and l.lanname not in ('c', 'internal') then p.prosrc end
from pg_proc p
join pg_language l on l.oid = p.prolang
left join pg_aggregate a on a.aggfnoid = p.oid
where p.oid >= 16384 and p.pronamespace not in {_TEMPORARY_SCHEMA}
"""

SYSTEM_FUNCTIONS: Final = """
select p.oid, p.pronamespace, p.proname, p.prokind, p.provolatile, l.lanname, p.proowner, p.proargtypes::oid[],
  p.pronargdefaults, p.provariadic <> 0, p.prorettype, p.prosecdef, p.proconfig, p.proretset
from pg_proc p
join pg_language l on l.oid = p.prolang
where p.oid < 16384
"""

OPERATORS: Final = f"""
select oid, oprnamespace, oprname, oprleft, oprright, oprcode::oid
from pg_operator
where oprnamespace not in {_TEMPORARY_SCHEMA}
"""

CASTS: Final = "select oid, castsource, casttarget, castfunc, castcontext from pg_cast"

TYPES: Final = f"""
select t.oid, t.typnamespace, t.typname, t.typtype, t.typbasetype, t.typelem, t.typrelid
from pg_type t
where (t.typrelid = 0 or t.typrelid in (select oid from pg_class where {_KNOWN_RELATION}))
  and t.typnamespace not in {_TEMPORARY_SCHEMA}
"""

QUESTIONS: Final = {
    "schemas": SCHEMAS,
    "roles": ROLES,
    "database": DATABASE,
    "relations": RELATIONS,
    "inheritance": INHERITANCE,
    "defaults": DEFAULTS,
    "indexes": INDEXES,
    "statistics": STATISTICS,
    "comparisons": COMPARISONS,
    "checks": CHECKS,
    "foreign_keys": FOREIGN_KEYS,
    "triggers": TRIGGERS,
    "rules": RULES,
    "policies": POLICIES,
    "system_functions": SYSTEM_FUNCTIONS,
    "functions": FUNCTIONS,
    "operators": OPERATORS,
    "casts": CASTS,
    "types": TYPES,
}
"""Every question of a load, by the name of its decoder."""


# Why it is right. Every change of a row makes a new row version, whose xmin is a transaction that no row version seen
# before has, or takes one away: so the collection of all xmins changes with every change, and a sum of their 64-bit
# hashes tells collections apart. max(xmin) would not do: of two transactions the one with the lower number may commit
# last. What is updated in place (statistics, freezing) keeps its xmin, and is nothing that we hold. TRUNCATE, REINDEX
# and the like change it without need; the content is compared after the load.
# pg_authid may not be read by everybody, so roles are compared by what pg_roles shows.
def _sum(catalogue: str, where: str = "") -> str:
    return f"(select coalesce(sum(hashtextextended(xmin::text, 0)), 0) from {catalogue}{where and f' where {where}'})"


_SUMS: Final = (
    _sum("pg_class", _KNOWN_RELATION),
    _sum("pg_attribute", f"attnum > 0 and attrelid not in {_TEMPORARY}"),
    _sum("pg_attrdef", f"adrelid not in {_TEMPORARY}"),
    _sum("pg_constraint", f"conrelid not in {_TEMPORARY} and contypid not in {_TEMPORARY_TYPE}"),
    _sum("pg_index", f"indrelid not in {_TEMPORARY}"),
    _sum("pg_trigger", f"tgrelid not in {_TEMPORARY}"),
    _sum("pg_rewrite", f"ev_class not in {_TEMPORARY}"),
    _sum("pg_policy", f"polrelid not in {_TEMPORARY}"),
    _sum("pg_inherits", f"inhrelid not in {_TEMPORARY}"),
    _sum("pg_partitioned_table", f"partrelid not in {_TEMPORARY}"),
    _sum("pg_proc", f"pronamespace not in {_TEMPORARY_SCHEMA}"),
    _sum("pg_aggregate"),
    _sum("pg_operator", f"oprnamespace not in {_TEMPORARY_SCHEMA}"),
    _sum("pg_amproc"),
    _sum("pg_amop"),
    _sum("pg_opclass"),
    _sum("pg_range"),
    _sum("pg_statistic_ext", f"stxrelid not in {_TEMPORARY}"),
    _sum("pg_cast"),
    _sum("pg_type", f"typnamespace not in {_TEMPORARY_SCHEMA}"),
    _sum("pg_namespace", "nspname !~ '^pg_(toast_)?temp_'"),
    _sum("pg_language"),
    _sum("pg_extension"),
    _sum("pg_event_trigger"),
    _sum("pg_db_role_setting"),
    _sum("pg_auth_members"),
    _sum("pg_database", "datname = current_database()"),
    "(select coalesce(sum(hashtextextended(concat_ws(' ', oid, rolsuper, rolbypassrls, rolinherit, rolname), 0)), 0)"
    " from pg_roles)",
)

# Which transactions a query sees is told by its snapshot: while that stays the same, so does all that can be seen, and
# nothing needs to be summed up. The caller's own transaction isn't in the text of a snapshot, for it has no number.
DIGEST: Final = f"""
select s.now, case when s.now is distinct from $1 then concat_ws(' ', {", ".join(_SUMS)}) end
from (select pg_current_snapshot()::text as now) s
"""
"""The state of the catalogue. ``$1``: the snapshot of the last answer, or NULL. Answers: the snapshot now, and the sums
or, where nothing can have changed, NULL."""

UNCHANGED: Final = None
"""In the place of the sums: the same as at the last answer."""
