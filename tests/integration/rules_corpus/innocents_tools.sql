-- What frameworks, clients and tools send all day. The fourth field of a head names the profiles that refuse the entry,
-- which is right: "read-only" for what writes, "safe-migrations" for changes of tables that hold up everybody else.

--! psql: relations of the path | none | app
SELECT n.nspname as "Schema", c.relname as "Name", CASE c.relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' END as "Type", pg_catalog.pg_get_userbyid(c.relowner) as "Owner" FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam WHERE c.relkind IN ('r','p','v','m','S','f','') AND n.nspname <> 'pg_catalog' AND n.nspname !~ '^pg_toast' AND pg_catalog.pg_table_is_visible(c.oid) ORDER BY 1,2
--! psql: the oid of a table | none | app
SELECT c.oid, n.nspname, c.relname FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relname OPERATOR(pg_catalog.~) '^(orders)$' COLLATE pg_catalog.default AND pg_catalog.pg_table_is_visible(c.oid) ORDER BY 2, 3
--! psql: columns | none | app
SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), (SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid, true) FROM pg_catalog.pg_attrdef d WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.atthasdef), a.attnotnull, (SELECT c.collname FROM pg_catalog.pg_collation c, pg_catalog.pg_type t WHERE c.oid = a.attcollation AND t.oid = a.atttypid AND a.attcollation <> t.typcollation) AS attcollation FROM pg_catalog.pg_attribute a WHERE a.attrelid = 'public.orders'::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
--! psql: foreign keys | none | app
SELECT true as sametable, conname, pg_catalog.pg_get_constraintdef(r.oid, true) as condef, conrelid::pg_catalog.regclass AS ontable FROM pg_catalog.pg_constraint r WHERE r.conrelid = 'public.lines'::regclass AND r.contype = 'f' ORDER BY conname
--! psql: functions | none | app
SELECT n.nspname as "Schema", p.proname as "Name", pg_catalog.pg_get_function_result(p.oid), pg_catalog.pg_get_function_arguments(p.oid) FROM pg_catalog.pg_proc p LEFT JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE pg_catalog.pg_function_is_visible(p.oid) AND n.nspname <> 'pg_catalog' AND n.nspname <> 'information_schema' ORDER BY 1, 2, 4
--! psql: privileges | none | app
SELECT n.nspname, c.relname, pg_catalog.array_to_string(c.relacl, E'\n'), pg_catalog.array_to_string(ARRAY(SELECT attname || E':\n  ' || pg_catalog.array_to_string(attacl, E'\n  ') FROM pg_catalog.pg_attribute a WHERE attrelid = c.oid AND NOT attisdropped AND attacl IS NOT NULL), E'\n') FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r','v') AND n.nspname = 'public'
--! psql: completion of a name | none | app
SELECT pg_catalog.quote_ident(c.relname) FROM pg_catalog.pg_class c WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p') AND substring(pg_catalog.quote_ident(c.relname),1,3)='ord' AND pg_catalog.pg_table_is_visible(c.oid) AND c.relnamespace <> (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = 'pg_catalog') UNION SELECT pg_catalog.quote_ident(n.nspname) || '.' FROM pg_catalog.pg_namespace n LIMIT 1000
--! pgadmin: settings of a connection | none | app
SET DateStyle=ISO; SET client_min_messages=notice; SELECT set_config('bytea_output','hex',false) FROM pg_show_all_settings() WHERE name = 'bytea_output'; SET client_encoding='utf-8'
--! pgadmin: who am I | none | app
SELECT roles.oid as id, roles.rolname as name, roles.rolsuper as is_superuser, CASE WHEN roles.rolsuper THEN true ELSE roles.rolcreaterole END as can_create_role, CASE WHEN 'pg_signal_backend'=ANY(ARRAY(WITH RECURSIVE cte AS (SELECT pg_roles.oid, pg_roles.rolname FROM pg_roles WHERE pg_roles.oid = roles.oid UNION ALL SELECT m.roleid, pgr.rolname FROM cte cte_1 JOIN pg_auth_members m ON m.member = cte_1.oid JOIN pg_roles pgr ON pgr.oid = m.roleid) SELECT rolname FROM cte)) THEN True ELSE False END as can_signal_backend FROM pg_catalog.pg_roles as roles WHERE rolname = current_user
--! pgadmin: databases | none | app
SELECT db.oid as did, db.datname as name, db.datallowconn, pg_encoding_to_char(db.encoding) AS serverencoding, has_database_privilege(db.oid, 'CREATE') as cancreate, datlastsysoid FROM (SELECT *, 0 as datlastsysoid FROM pg_database) db WHERE db.datname = current_database()
--! pgadmin: dashboard | none | app
SELECT 'session_stats' AS chart_name, pg_catalog.row_to_json(t) AS chart_data FROM (SELECT (SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE datname = current_database()) AS "Total", (SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE state = 'active') AS "Active") t UNION ALL SELECT 'tps_stats', pg_catalog.row_to_json(t) FROM (SELECT (SELECT sum(xact_commit) + sum(xact_rollback) FROM pg_catalog.pg_stat_database) AS "Transactions") t
--! pgadmin: sessions | none | app
SELECT pid, datname, usename, application_name, client_addr, pg_catalog.to_char(backend_start, 'YYYY-MM-DD HH24:MI:SS TZ') AS backend_start, state, wait_event_type || ': ' || wait_event AS wait_event, array_to_string(pg_catalog.pg_blocking_pids(pid), ', ') AS blocking_pids, query, pg_catalog.to_char(state_change, 'YYYY-MM-DD HH24:MI:SS TZ'), backend_type, CASE WHEN state = 'active' THEN ROUND((extract(epoch from now() - query_start) / 60)::numeric, 2) ELSE 0 END AS active_since FROM pg_catalog.pg_stat_activity ORDER BY pid
--! pgadmin: rows of a table | none | app
SELECT * FROM public.orders ORDER BY id ASC LIMIT 1000
--! pgadmin: keys of a table | none | app
SELECT at.attname, at.attnum, ty.typname FROM pg_catalog.pg_attribute at LEFT JOIN pg_catalog.pg_type ty ON (ty.oid = at.atttypid) WHERE attrelid='public.orders'::regclass::oid AND attnum = ANY ((SELECT con.conkey FROM pg_catalog.pg_class rel LEFT OUTER JOIN pg_catalog.pg_constraint con ON con.conrelid=rel.oid AND con.contype='p' WHERE rel.relkind IN ('r','s','t', 'p') AND rel.oid = 'public.orders'::regclass::oid)::oid[])
--! dbeaver: session | none | app
SELECT current_schema(), session_user
--! dbeaver: database | none | app
SELECT db.oid, db.* FROM pg_catalog.pg_database db WHERE datname = 'world'
--! dbeaver: settings | none | app
select * from pg_catalog.pg_settings where name = 'standard_conforming_strings'
--! dbeaver: types | none | app
SELECT t.oid, t.*, c.relkind, format_type(nullif(t.typbasetype, 0), t.typtypmod) as base_type_name, d.description FROM pg_catalog.pg_type t LEFT OUTER JOIN pg_catalog.pg_type et ON et.oid = t.typelem LEFT OUTER JOIN pg_catalog.pg_class c ON c.oid = t.typrelid LEFT OUTER JOIN pg_catalog.pg_description d ON t.oid = d.objoid WHERE t.typname IS NOT NULL AND (c.relkind IS NULL OR c.relkind = 'c') AND (et.typcategory IS NULL OR et.typcategory <> 'C')
--! dbeaver: schemas | none | app
SELECT n.oid, n.*, d.description FROM pg_catalog.pg_namespace n LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid = n.oid AND d.objsubid = 0 AND d.classoid = 'pg_namespace'::regclass ORDER BY nspname
--! dbeaver: tables of a schema | none | app
SELECT c.oid, c.*, d.description, pg_catalog.pg_get_expr(c.relpartbound, c.oid) as partition_expr, pg_catalog.pg_get_partkeydef(c.oid) as partition_key FROM pg_catalog.pg_class c LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid = c.oid AND d.objsubid = 0 AND d.classoid = 'pg_class'::regclass WHERE c.relnamespace = 2200 AND c.relkind not in ('i','I','c')
--! dbeaver: sizes | none | app
select c.oid, pg_catalog.pg_total_relation_size(c.oid) as total_rel_size, pg_catalog.pg_relation_size(c.oid) as rel_size FROM pg_class c WHERE c.relnamespace = 2200
--! dbeaver: columns of tables | none | app
SELECT c.relname, a.*, pg_catalog.pg_get_expr(ad.adbin, ad.adrelid, true) as def_value, dsc.description, dep.objid FROM pg_catalog.pg_attribute a INNER JOIN pg_catalog.pg_class c ON (a.attrelid=c.oid) LEFT OUTER JOIN pg_catalog.pg_attrdef ad ON (a.attrelid=ad.adrelid AND a.attnum = ad.adnum) LEFT OUTER JOIN pg_catalog.pg_description dsc ON (c.oid=dsc.objoid AND a.attnum = dsc.objsubid) LEFT OUTER JOIN pg_depend dep on dep.refobjid = a.attrelid AND dep.deptype = 'i' and dep.refobjsubid = a.attnum and dep.classid = dep.refclassid WHERE NOT a.attisdropped AND c.relkind not in ('i','I','c') AND c.oid='public.orders'::regclass ORDER BY a.attnum
--! dbeaver: a grid that is edited | none | app | read-only
UPDATE public.customers SET email='new@x' WHERE id=1
--! jdbc: begin of a session | none | app
SET extra_float_digits = 3; SET application_name = 'PostgreSQL JDBC Driver'
--! jdbc: tables | none | app
SELECT NULL AS TABLE_CAT, n.nspname AS TABLE_SCHEM, c.relname AS TABLE_NAME, CASE n.nspname ~ '^pg_' OR n.nspname = 'information_schema' WHEN true THEN CASE WHEN n.nspname = 'pg_catalog' OR n.nspname = 'information_schema' THEN CASE c.relkind WHEN 'r' THEN 'SYSTEM TABLE' WHEN 'v' THEN 'SYSTEM VIEW' ELSE NULL END ELSE NULL END WHEN false THEN CASE c.relkind WHEN 'r' THEN 'TABLE' WHEN 'p' THEN 'PARTITIONED TABLE' WHEN 'v' THEN 'VIEW' ELSE NULL END ELSE NULL END AS TABLE_TYPE, d.description AS REMARKS, '' as TYPE_CAT FROM pg_catalog.pg_namespace n, pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_description d ON (c.oid = d.objoid AND d.objsubid = 0 and d.classoid = 'pg_class'::regclass) WHERE c.relnamespace = n.oid AND c.relname LIKE 'orders' AND (false OR ( c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' )) ORDER BY TABLE_TYPE,TABLE_SCHEM,TABLE_NAME
--! jdbc: primary keys | none | app
SELECT result.TABLE_NAME, result.COLUMN_NAME, result.KEY_SEQ FROM (SELECT n.nspname AS TABLE_SCHEM, ct.relname AS TABLE_NAME, a.attname AS COLUMN_NAME, (information_schema._pg_expandarray(i.indkey)).n AS KEY_SEQ, ci.relname AS PK_NAME, information_schema._pg_expandarray(i.indkey) AS KEYS, a.attnum AS A_ATTNUM FROM pg_catalog.pg_class ct JOIN pg_catalog.pg_attribute a ON (ct.oid = a.attrelid) JOIN pg_catalog.pg_namespace n ON (ct.relnamespace = n.oid) JOIN pg_catalog.pg_index i ON ( a.attrelid = i.indrelid) JOIN pg_catalog.pg_class ci ON (ci.oid = i.indexrelid) WHERE true AND ct.relname = 'orders' AND i.indisprimary) result where result.A_ATTNUM = (result.KEYS).x ORDER BY result.table_name, result.PK_NAME, result.KEY_SEQ
--! hibernate: next value | none | app | read-only
select nextval('numbers')
--! hibernate: entity by key | none | app
select o1_0.id,o1_0.amount,o1_0."at",c1_0.id,c1_0.email,c1_0.name,o1_0.paid from orders o1_0 left join customers c1_0 on c1_0.id=o1_0.customer where o1_0.id=1
--! hibernate: page | none | app
select o1_0.id,o1_0.amount from orders o1_0 where o1_0.customer in (1,2) order by o1_0.id offset 1 rows fetch first 5 rows only
--! hibernate: lock | none | app
select o1_0.id from orders o1_0 where o1_0.id=1 for no key update skip locked
--! hibernate: versioned update | none | app | read-only
update orders set amount=5,paid=true where id=1 and amount=100
--! hibernate: insert | none | app | read-only
insert into customers (email,name,id) values ('x@y','x',50)
--! hibernate: criteria | none | app
select count(distinct o1_0.id),coalesce(sum(o1_0.amount),0) from orders o1_0 join customers c1_0 on c1_0.id=o1_0.customer where lower(c1_0.name) like '%a%' escape '' and (o1_0.paid or o1_0.amount>5) group by c1_0.id having count(*)>0
--! hibernate: bulk by a table of keys | none | app | read-only
create temporary table HT_orders (id int not null) on commit drop
--;
insert into HT_orders (id) select id from orders where amount > 1000
--;
delete from orders where (id) in (select id from HT_orders)
--! flyway: history | none | app | read-only, safe-migrations
SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'public' AND c.relname = 'flyway_schema_history' AND c.relkind = 'r')
--;
CREATE TABLE "public"."flyway_schema_history" ("installed_rank" INT NOT NULL, "version" VARCHAR(50), "script" VARCHAR(1000) NOT NULL, "checksum" INTEGER, "installed_by" VARCHAR(100) NOT NULL, "installed_on" TIMESTAMP NOT NULL DEFAULT now(), "success" BOOLEAN NOT NULL) WITHOUT OIDS
--;
ALTER TABLE "public"."flyway_schema_history" ADD CONSTRAINT "flyway_schema_history_pk" PRIMARY KEY ("installed_rank")
--;
CREATE INDEX "flyway_schema_history_s_idx" ON "public"."flyway_schema_history" ("success")
--;
LOCK TABLE "public"."flyway_schema_history" IN SHARE ROW EXCLUSIVE MODE
--;
INSERT INTO "public"."flyway_schema_history" ("installed_rank", "version", "script", "checksum", "installed_by", "success") VALUES (1, '1', 'V1__a.sql', 5, 'postgres', true)
--;
SELECT "installed_rank","version","script" FROM "public"."flyway_schema_history" WHERE "installed_rank" > 0 ORDER BY "installed_rank"
--! liquibase: lock | none | app | read-only
CREATE TABLE public.databasechangeloglock (ID INTEGER NOT NULL, LOCKED BOOLEAN NOT NULL, LOCKGRANTED TIMESTAMP WITHOUT TIME ZONE, LOCKEDBY VARCHAR(255), CONSTRAINT databasechangeloglock_pkey PRIMARY KEY (ID))
--;
INSERT INTO public.databasechangeloglock (ID, LOCKED) VALUES (1, FALSE)
--;
UPDATE public.databasechangeloglock SET LOCKED = TRUE, LOCKEDBY = 'h', LOCKGRANTED = NOW() WHERE ID = 1 AND LOCKED = FALSE
--;
UPDATE public.databasechangeloglock SET LOCKED = FALSE, LOCKEDBY = NULL, LOCKGRANTED = NULL WHERE ID = 1
--! django: tables | none | app
SELECT c.relname, CASE WHEN c.relispartition THEN 'p' WHEN c.relkind IN ('m', 'v') THEN 'v' ELSE 't' END, obj_description(c.oid, 'pg_class') FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('f', 'm', 'p', 'r', 'v') AND n.nspname NOT IN ('pg_catalog', 'pg_toast') AND pg_catalog.pg_table_is_visible(c.oid)
--! django: constraints | none | app
SELECT c.conname, array(SELECT attname FROM unnest(c.conkey) WITH ORDINALITY cols(colid, arridx) JOIN pg_attribute AS ca ON cols.colid = ca.attnum WHERE ca.attrelid = c.conrelid ORDER BY cols.arridx), c.contype, (SELECT fkc.relname || '.' || fka.attname FROM pg_attribute AS fka JOIN pg_class AS fkc ON fka.attrelid = fkc.oid WHERE fka.attrelid = c.confrelid AND fka.attnum = c.confkey[1]), cl.reloptions FROM pg_constraint AS c JOIN pg_class AS cl ON c.conrelid = cl.oid WHERE cl.relname = 'lines' AND pg_catalog.pg_table_is_visible(cl.oid)
--! django: indexes | none | app
SELECT indexname, array_agg(attname ORDER BY arridx), indisunique, indisprimary, array_agg(ordering ORDER BY arridx), amname, exprdef, s2.attoptions FROM (SELECT c2.relname as indexname, idx.*, attr.attname, am.amname, CASE WHEN idx.indexprs IS NOT NULL THEN pg_get_indexdef(idx.indexrelid) END AS exprdef, CASE am.amname WHEN 'btree' THEN CASE (option & 1) WHEN 1 THEN 'DESC' ELSE 'ASC' END END as ordering, c2.reloptions as attoptions FROM (SELECT * FROM pg_index i, unnest(i.indkey, i.indoption) WITH ORDINALITY koi(key, option, arridx)) idx LEFT JOIN pg_class c ON idx.indrelid = c.oid LEFT JOIN pg_class c2 ON idx.indexrelid = c2.oid LEFT JOIN pg_am am ON c2.relam = am.oid LEFT JOIN pg_attribute attr ON attr.attrelid = c.oid AND attr.attnum = idx.key WHERE c.relname = 'orders' AND pg_catalog.pg_table_is_visible(c.oid)) s2 GROUP BY indexname, indisunique, indisprimary, amname, exprdef, attoptions
--! django: sequences | none | app
SELECT s.relname AS sequence_name, a.attname AS colname FROM pg_class s JOIN pg_depend d ON d.objid = s.oid AND d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass JOIN pg_attribute a ON d.refobjid = a.attrelid AND d.refobjsubid = a.attnum JOIN pg_class tbl ON tbl.oid = d.refobjid AND tbl.relname = 'orders' AND pg_catalog.pg_table_is_visible(tbl.oid) WHERE s.relkind = 'S'
--! django: flush of sequences | none | app | read-only
SELECT setval('numbers', coalesce(max("id"), 1), max("id") IS NOT null) FROM "orders"
--! django: does it exist | none | app
SELECT 1 AS "a" FROM "orders" WHERE ("orders"."customer" = 1 AND NOT "orders"."paid") LIMIT 1
--! django: bulk update | none | app | read-only
UPDATE "orders" SET "amount" = (CASE WHEN ("orders"."id" = 1) THEN 5 WHEN ("orders"."id" = 2) THEN 6 ELSE NULL END)::integer WHERE "orders"."id" IN (1, 2)
--! django: bulk create | none | app | read-only
INSERT INTO "customers" ("id", "name", "email") VALUES (60, 'a', ''), (61, 'b', '') ON CONFLICT("id") DO UPDATE SET "name" = EXCLUDED."name" RETURNING "customers"."id"
--! django: delete by keys | none | app | read-only
DELETE FROM "lines" WHERE "lines"."order_id" IN (1, 2, 3)
--! django: annotate | none | app
SELECT "customers"."id", COUNT("orders"."id") FILTER (WHERE "orders"."paid") AS "paid", (SELECT U0."amount" FROM "orders" U0 WHERE U0."customer" = ("customers"."id") ORDER BY U0."at" DESC LIMIT 1) AS "latest", EXISTS(SELECT 1 AS "a" FROM "orders" U0 WHERE U0."customer" = ("customers"."id") LIMIT 1) AS "has" FROM "customers" LEFT OUTER JOIN "orders" ON ("customers"."id" = "orders"."customer") GROUP BY "customers"."id", 3, 4 ORDER BY "paid" DESC
--! django: dates | none | app
SELECT DISTINCT DATE_TRUNC('day', "orders"."at" AT TIME ZONE 'UTC')::date AS "datefield" FROM "orders" WHERE ("orders"."at" AT TIME ZONE 'UTC') IS NOT NULL ORDER BY 1 ASC
--! django: savepoints | none | app
SAVEPOINT "s1_x1"
--;
SELECT "orders"."id" FROM "orders" WHERE "orders"."id" = 1 FOR UPDATE OF "orders"
--;
RELEASE SAVEPOINT "s1_x1"
--! django: migration of a table | none | app | read-only, safe-migrations
CREATE TABLE "shop_item" ("id" bigint NOT NULL PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY, "name" varchar(80) NOT NULL, "order_id" integer NOT NULL)
--;
ALTER TABLE "shop_item" ADD COLUMN "price" numeric(10, 2) DEFAULT 0 NOT NULL
--;
ALTER TABLE "shop_item" ALTER COLUMN "price" DROP DEFAULT
--;
ALTER TABLE "shop_item" ADD CONSTRAINT "shop_item_order_fk" FOREIGN KEY ("order_id") REFERENCES "orders" ("id") DEFERRABLE INITIALLY DEFERRED
--;
CREATE INDEX "shop_item_name_like" ON "shop_item" ("name" varchar_pattern_ops)
--;
SET CONSTRAINTS "shop_item_order_fk" IMMEDIATE
--! django: function and trigger of a migration | none | app | read-only
CREATE FUNCTION shop_touch() RETURNS trigger AS $$ BEGIN NEW.at = now(); RETURN NEW; END $$ LANGUAGE plpgsql; CREATE TRIGGER shop_touch BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION shop_touch()
--;
UPDATE "orders" SET "paid" = true WHERE "orders"."id" = 3
--! sqlalchemy: connect | none | app
select pg_catalog.version()
--;
select current_schema()
--;
show standard_conforming_strings
--! sqlalchemy: has a table | none | app
SELECT pg_catalog.pg_class.relname FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace ON pg_catalog.pg_namespace.oid = pg_catalog.pg_class.relnamespace WHERE pg_catalog.pg_class.relname = 'orders'::VARCHAR AND pg_catalog.pg_class.relkind = ANY (ARRAY['r'::VARCHAR, 'p'::VARCHAR, 'f'::VARCHAR, 'v'::VARCHAR, 'm'::VARCHAR]) AND pg_catalog.pg_table_is_visible(pg_catalog.pg_class.oid) AND pg_catalog.pg_namespace.nspname != 'pg_catalog'::VARCHAR
--! sqlalchemy: columns | none | app
SELECT pg_catalog.pg_attribute.attname AS name, pg_catalog.format_type(pg_catalog.pg_attribute.atttypid, pg_catalog.pg_attribute.atttypmod) AS format_type, (SELECT pg_catalog.pg_get_expr(pg_catalog.pg_attrdef.adbin, pg_catalog.pg_attrdef.adrelid) AS pg_get_expr_1 FROM pg_catalog.pg_attrdef WHERE pg_catalog.pg_attrdef.adrelid = pg_catalog.pg_attribute.attrelid AND pg_catalog.pg_attrdef.adnum = pg_catalog.pg_attribute.attnum AND pg_catalog.pg_attribute.atthasdef) AS "default", pg_catalog.pg_attribute.attidentity, (SELECT json_build_object('always', pg_catalog.pg_attribute.attidentity = 'a', 'start', pg_catalog.pg_sequence.seqstart, 'increment', pg_catalog.pg_sequence.seqincrement) FROM pg_catalog.pg_sequence WHERE pg_catalog.pg_attribute.attidentity != '' AND pg_catalog.pg_sequence.seqrelid = CAST(CAST(pg_catalog.pg_get_serial_sequence(CAST(CAST(pg_catalog.pg_attribute.attrelid AS REGCLASS) AS TEXT), pg_catalog.pg_attribute.attname) AS REGCLASS) AS OID)) AS identity_options FROM pg_catalog.pg_class LEFT OUTER JOIN pg_catalog.pg_attribute ON pg_catalog.pg_class.oid = pg_catalog.pg_attribute.attrelid AND pg_catalog.pg_attribute.attnum > 0 AND NOT pg_catalog.pg_attribute.attisdropped WHERE pg_catalog.pg_class.relname IN ('orders')
--! sqlalchemy: enums | none | app
SELECT pg_catalog.pg_type.typname AS name, pg_catalog.pg_type_is_visible(pg_catalog.pg_type.oid) AS visible, pg_catalog.pg_namespace.nspname AS schema, lbl_agg.labels AS labels FROM pg_catalog.pg_type JOIN pg_catalog.pg_namespace ON pg_catalog.pg_namespace.oid = pg_catalog.pg_type.typnamespace LEFT OUTER JOIN (SELECT pg_catalog.pg_enum.enumtypid AS enumtypid, array_agg(CAST(pg_catalog.pg_enum.enumlabel AS TEXT) ORDER BY pg_catalog.pg_enum.enumsortorder) AS labels FROM pg_catalog.pg_enum GROUP BY pg_catalog.pg_enum.enumtypid) AS lbl_agg ON pg_catalog.pg_type.oid = lbl_agg.enumtypid WHERE pg_catalog.pg_type.typtype = 'e'
--! sqlalchemy: many values | none | app | read-only
INSERT INTO customers (id, name) SELECT p0::INTEGER, p1::VARCHAR FROM (VALUES (71, 'a', 0), (72, 'b', 1)) AS imp_sen(p0, p1, sen_counter) ORDER BY sen_counter RETURNING customers.id, customers.id AS id__1
--! sqlalchemy: load in a list | none | app
SELECT orders.customer AS orders_customer, orders.id AS orders_id FROM orders WHERE orders.customer IN (0, 1, 2) ORDER BY orders.id
--! sqlalchemy: joined load of a page | none | app
SELECT anon_1.id, anon_1.name, orders_1.id AS id_1 FROM (SELECT customers.id AS id, customers.name AS name FROM customers ORDER BY customers.id LIMIT 2 OFFSET 0) AS anon_1 LEFT OUTER JOIN orders AS orders_1 ON anon_1.id = orders_1.customer ORDER BY anon_1.id
--! alembic: version table | none | app | read-only
CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))
--;
INSERT INTO alembic_version (version_num) VALUES ('a1') RETURNING alembic_version.version_num
--;
UPDATE alembic_version SET version_num='b2' WHERE alembic_version.version_num = 'a1'
--! alembic: an operation of SQL | none | app | read-only
CREATE OR REPLACE FUNCTION total_of(c int) RETURNS bigint LANGUAGE sql STABLE AS $$ SELECT sum(amount) FROM orders WHERE customer = c $$
--;
CREATE VIEW totals AS SELECT id, total_of(id) AS total FROM customers
--;
SELECT * FROM totals
--! activerecord: connect | none | app
SET client_min_messages TO 'warning'; SET standard_conforming_strings = on; SET SESSION timezone TO 'UTC'; SET intervalstyle = iso_8601
--;
SHOW max_identifier_length
--! activerecord: types | none | app
SELECT t.oid, t.typname, t.typelem, t.typdelim, t.typinput, r.rngsubtype, t.typtype, t.typbasetype FROM pg_type as t LEFT JOIN pg_range as r ON oid = rngtypid WHERE t.typname IN ('int2', 'int4', 'int8', 'oid', 'float4', 'bool') OR t.typtype IN ('r', 'e', 'd') OR t.typelem IN (16, 17, 20)
--! activerecord: columns | none | app
SELECT a.attname, format_type(a.atttypid, a.atttypmod), pg_get_expr(d.adbin, d.adrelid), a.attnotnull, a.atttypid, a.atttypmod, c.collname, col_description(a.attrelid, a.attnum) AS comment, attidentity AS identity, attgenerated as attgenerated FROM pg_attribute a LEFT JOIN pg_attrdef d ON a.attrelid = d.adrelid AND a.attnum = d.adnum LEFT JOIN pg_type t ON a.atttypid = t.oid LEFT JOIN pg_collation c ON a.attcollation = c.oid AND a.attcollation <> t.typcollation WHERE a.attrelid = '"orders"'::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
--! activerecord: primary key | none | app
SELECT a.attname FROM (SELECT indrelid, indkey, generate_subscripts(indkey, 1) idx FROM pg_index WHERE indrelid = '"orders"'::regclass AND indisprimary) i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[i.idx] ORDER BY i.idx
--! activerecord: data sources | none | app
SELECT c.relname FROM pg_class c LEFT JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = ANY (current_schemas(false)) AND c.relname = 'orders' AND c.relkind IN ('r','v','m','p','f')
--! activerecord: lock of migrations | none | app | read-only
SELECT pg_try_advisory_lock(4919472648531)
--;
SELECT pg_advisory_unlock(4919472648531)
--! activerecord: migrations | none | app | read-only, safe-migrations
CREATE TABLE "schema_migrations" ("version" character varying NOT NULL PRIMARY KEY)
--;
CREATE TABLE "ar_internal_metadata" ("key" character varying NOT NULL PRIMARY KEY, "value" character varying, "created_at" timestamp(6) NOT NULL, "updated_at" timestamp(6) NOT NULL)
--;
INSERT INTO "ar_internal_metadata" ("key", "value", "created_at", "updated_at") VALUES ('environment', 'test', '2026-01-01 00:00:00', '2026-01-01 00:00:00') RETURNING "key"
--;
ALTER TABLE "customers" ADD "phone" character varying
--;
INSERT INTO "schema_migrations" ("version") VALUES ('20260101000000') ON CONFLICT DO NOTHING RETURNING "version"
--! activerecord: is it unique | none | app
SELECT 1 AS one FROM "customers" WHERE "customers"."email" = 'a@x' AND "customers"."id" != 5 LIMIT 1
--! activerecord: update all by a subquery | none | app | read-only
UPDATE "orders" SET "paid" = TRUE WHERE "orders"."id" IN (SELECT "orders"."id" FROM "orders" INNER JOIN "customers" ON "customers"."id" = "orders"."customer" WHERE "customers"."name" = 'a')
--! activerecord: counter | none | app | read-only
UPDATE "orders" SET "amount" = COALESCE("orders"."amount", 0) + 1 WHERE "orders"."id" = 1
--! activerecord: upsert all | none | app | read-only
INSERT INTO "customers" ("id","name","email") VALUES (80, 'x', 'x@x') ON CONFLICT ("id") DO UPDATE SET "name"=excluded."name","email"=excluded."email" WHERE "customers"."name" IS DISTINCT FROM excluded."name" RETURNING "id"
--! activerecord: trigger of a migration | none | app | read-only
CREATE OR REPLACE FUNCTION search_of_customers() RETURNS trigger LANGUAGE plpgsql AS $$ begin new.email := lower(coalesce(new.email, '')); return new; end $$;
--;
CREATE TRIGGER search_of_customers BEFORE INSERT OR UPDATE ON "customers" FOR EACH ROW EXECUTE PROCEDURE search_of_customers()
--;
INSERT INTO "customers" ("id", "name", "email") VALUES (81, 'y', 'Y@X') RETURNING "email"
--! prisma: lock and history | none | app | read-only
SELECT pg_advisory_xact_lock(72707369)
--;
CREATE TABLE _prisma_migrations (id VARCHAR(36) PRIMARY KEY NOT NULL, checksum VARCHAR(64) NOT NULL, finished_at TIMESTAMPTZ, migration_name VARCHAR(255) NOT NULL, logs TEXT, rolled_back_at TIMESTAMPTZ, started_at TIMESTAMPTZ NOT NULL DEFAULT now(), applied_steps_count INTEGER NOT NULL DEFAULT 0)
--;
SELECT "id", "checksum", "finished_at", "migration_name" FROM "_prisma_migrations" ORDER BY "started_at" ASC
--! prisma: find many | none | app
SELECT "public"."orders"."id", "public"."orders"."amount", "public"."orders"."paid" FROM "public"."orders" WHERE ("public"."orders"."paid" = false AND 1=1) ORDER BY "public"."orders"."id" ASC OFFSET 0
--! prisma: find many without a filter | none | app
SELECT "public"."orders"."id" FROM "public"."orders" WHERE 1=1 ORDER BY "public"."orders"."id" ASC LIMIT 10 OFFSET 0
--! prisma: joins | none | app
SELECT "t0"."id", "orders_customer"."__prisma_data__" AS "orders" FROM "public"."customers" AS "t0" LEFT JOIN LATERAL (SELECT COALESCE(JSONB_AGG("__prisma_data__"), '[]') AS "__prisma_data__" FROM (SELECT "t3"."__prisma_data__" FROM (SELECT JSONB_BUILD_OBJECT('id', "t2"."id", 'amount', "t2"."amount") AS "__prisma_data__" FROM (SELECT "t1".* FROM "public"."orders" AS "t1" WHERE "t0"."id" = "t1"."customer" /* root select */) AS "t2" /* inner select */) AS "t3" /* middle select */) AS "t4" /* outer select */) AS "orders_customer" ON TRUE
--! prisma: update many | none | app | read-only
UPDATE "public"."orders" SET "amount" = 7 WHERE ("public"."orders"."id" IN (1,2) AND 1=1)
--! prisma: delete many | none | app | read-only
DELETE FROM "public"."lines" WHERE ("public"."lines"."n" = 5 AND 1=1)
--! prisma: introspection of indexes | none | app
WITH rawindex AS (SELECT indrelid, indexrelid, indisunique, indisprimary, unnest(indkey) AS indkeyid, generate_subscripts(indkey, 1) AS indkeyidx, unnest(indclass) AS indclass, unnest(indoption) AS indoption FROM pg_index WHERE indpred IS NULL AND NOT indisexclusion) SELECT schemainfo.nspname AS namespace, indexinfo.relname AS index_name, tableinfo.relname AS table_name, columninfo.attname AS column_name, rawindex.indisunique AS is_unique, CASE rawindex.indoption & 1 WHEN 1 THEN 'DESC' ELSE 'ASC' END AS column_order, indexaccess.amname FROM rawindex INNER JOIN pg_class AS tableinfo ON tableinfo.oid = rawindex.indrelid INNER JOIN pg_class AS indexinfo ON indexinfo.oid = rawindex.indexrelid INNER JOIN pg_namespace AS schemainfo ON schemainfo.oid = tableinfo.relnamespace LEFT JOIN pg_attribute AS columninfo ON columninfo.attrelid = tableinfo.oid AND columninfo.attnum = rawindex.indkeyid INNER JOIN pg_am AS indexaccess ON indexaccess.oid = indexinfo.relam WHERE schemainfo.nspname = ANY ('{public}') ORDER BY namespace, table_name, index_name, rawindex.indkeyidx
--! typeorm: page of entities with relations | none | app
SELECT DISTINCT "distinctAlias"."o_id" AS "ids_o_id", "distinctAlias"."o_id" FROM (SELECT "o"."id" AS "o_id", "o"."amount" AS "o_amount", "c"."name" AS "c_name" FROM "orders" "o" LEFT JOIN "customers" "c" ON "c"."id"="o"."customer") "distinctAlias" ORDER BY "distinctAlias"."o_id" ASC, "o_id" ASC LIMIT 5
--! sequelize: include | none | app
SELECT "Customer"."id", "Customer"."name", "Orders"."id" AS "Orders.id", "Orders"."amount" AS "Orders.amount" FROM "customers" AS "Customer" LEFT OUTER JOIN "orders" AS "Orders" ON "Customer"."id" = "Orders"."customer" AND "Orders"."paid" = false
--! knex: columns | none | app
select * from information_schema.columns where table_name = 'orders' and table_catalog = current_database() and table_schema = current_schema()
--! drizzle: relations as json | none | app
select "customers"."id", "customers_orders"."data" as "orders" from "customers" left join lateral (select coalesce(json_agg(json_build_array("customers_orders"."id", "customers_orders"."amount")), '[]'::json) as "data" from (select * from "orders" "customers_orders" where "customers_orders"."customer" = "customers"."id" order by "customers_orders"."id" limit 3) "customers_orders") "customers_orders" on true
--! ecto: preload | none | app
SELECT o0."id", o0."amount", o0."customer", o0."customer" FROM "orders" AS o0 WHERE (o0."customer" = ANY('{1,2}')) ORDER BY o0."customer"
--! gorm: has a column | none | app
SELECT count(*) FROM INFORMATION_SCHEMA.columns WHERE table_schema = CURRENT_SCHEMA() AND table_name = 'orders' AND column_name = 'amount'
--! laravel: tables | none | app
select c.relname as name, n.nspname as schema, pg_total_relation_size(c.oid) as size, obj_description(c.oid, 'pg_class') as comment from pg_class c, pg_namespace n where c.relkind in ('r', 'p') and n.oid = c.relnamespace and n.nspname not in ('pg_catalog', 'information_schema') order by n.nspname, c.relname
--! entity framework: insert | none | app | read-only
INSERT INTO customers (id, email, name) VALUES (90, NULL, 'n'); SELECT c.id FROM customers AS c WHERE c.id = 90
--! npgsql: types | none | app
SELECT ns.nspname, t.oid, t.typname, t.typtype, t.typnotnull, t.elemtypoid FROM (SELECT typ.oid, typ.typnamespace, typ.typname, typ.typtype, typ.typrelid, typ.typnotnull, typ.relkind, elemtyp.oid AS elemtypoid, elemtyp.typname AS elemtypname, CASE WHEN elemproc.proname='array_recv' THEN 'a' ELSE elemtyp.typtype END AS elemtyptype FROM (SELECT typ.oid, typnamespace, typname, typrelid, typnotnull, relkind, typelem AS elemoid, CASE WHEN proc.proname='array_recv' THEN 'a' ELSE typ.typtype END AS typtype FROM pg_type AS typ LEFT JOIN pg_class AS cls ON (cls.oid = typ.typrelid) LEFT JOIN pg_proc AS proc ON proc.oid = typ.typreceive LEFT JOIN pg_range ON (pg_range.rngtypid = typ.oid)) AS typ LEFT JOIN pg_type AS elemtyp ON elemtyp.oid = elemoid LEFT JOIN pg_proc AS elemproc ON elemproc.oid = elemtyp.typreceive) AS t JOIN pg_namespace AS ns ON (ns.oid = typnamespace) WHERE typtype IN ('b', 'r', 'm', 'e', 'd') OR (typtype = 'c' AND relkind='c')
--! asyncpg: a type | none | app
WITH RECURSIVE typeinfo_tree(oid, ns, name, kind, basetype, elemtype, depth) AS (SELECT t.oid, ns.nspname, t.typname, t.typtype, t.typbasetype, t.typelem, 0 FROM pg_catalog.pg_type t INNER JOIN pg_catalog.pg_namespace ns ON ns.oid = t.typnamespace WHERE t.oid = any('{16,23}'::oid[]) UNION ALL SELECT t.oid, ns.nspname, t.typname, t.typtype, t.typbasetype, t.typelem, tt.depth + 1 FROM pg_catalog.pg_type t INNER JOIN pg_catalog.pg_namespace ns ON ns.oid = t.typnamespace, typeinfo_tree tt WHERE tt.elemtype <> 0 AND t.oid = tt.elemtype) SELECT DISTINCT *, basetype::regtype::text AS basetype_name, elemtype::regtype::text AS elemtype_name FROM typeinfo_tree ORDER BY depth DESC
--! asyncpg: reset | none | app | read-only
SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL
--! psycopg: a server's cursor | none | app
DECLARE "names" CURSOR FOR SELECT id, name FROM customers ORDER BY id
--;
FETCH FORWARD 2 FROM "names"
--;
CLOSE "names"
--! pg_dump: begin | none | app
SET TRANSACTION READ ONLY
--;
SELECT pg_catalog.set_config('search_path', '', false)
--;
SELECT pg_catalog.pg_get_viewdef('public.v_plain'::pg_catalog.regclass)
--;
COPY public.orders (id, customer, amount) TO stdout
--! pg_dump: lock | none | app | read-only
LOCK TABLE public.orders IN ACCESS SHARE MODE
--! pg_dump: a dump that is restored | none | app | read-only, safe-migrations
SET statement_timeout = 0; SET lock_timeout = 0; SET client_encoding = 'UTF8'; SET standard_conforming_strings = on; SELECT pg_catalog.set_config('search_path', '', false); SET check_function_bodies = false; SET xmloption = content; SET row_security = off; SET default_tablespace = ''; SET default_table_access_method = heap
--;
CREATE FUNCTION public.restored(n integer) RETURNS integer LANGUAGE plpgsql AS $$ begin return public.restored_too(n); end $$
--;
CREATE FUNCTION public.restored_too(n integer) RETURNS integer LANGUAGE sql AS $_$ select $1 + 1 $_$
--;
CREATE TABLE public.restored_table (id integer NOT NULL, twice integer DEFAULT public.restored(1))
--;
ALTER TABLE public.restored_table OWNER TO postgres
--;
CREATE SEQUENCE public.restored_seq AS integer START WITH 1 INCREMENT BY 1 NO MINVALUE NO MAXVALUE CACHE 1
--;
ALTER TABLE ONLY public.restored_table ALTER COLUMN id SET DEFAULT nextval('public.restored_seq'::regclass)
--;
COPY public.restored_table (id) FROM stdin
--;
SELECT pg_catalog.setval('public.restored_seq', 5, true)
--;
ALTER TABLE ONLY public.restored_table ADD CONSTRAINT restored_pkey PRIMARY KEY (id)
--! pgbench: tables | none | app | read-only, safe-migrations
create table pgbench_branches(bid int not null,bbalance int,filler char(88)) with (fillfactor=100)
--;
create table pgbench_tellers(tid int not null,bid int,tbalance int,filler char(84)) with (fillfactor=100)
--;
truncate table pgbench_branches, pgbench_tellers
--;
insert into pgbench_branches(bid,bbalance) values(1,0)
--;
copy pgbench_tellers (tid) from stdin with (freeze off)
--;
alter table pgbench_branches add primary key (bid)
--! pgbench: a transaction | none | app | read-only
create table pgbench_accounts(aid int primary key, abalance int); create table pgbench_history(tid int, aid int, delta int, mtime timestamp)
--;
UPDATE pgbench_accounts SET abalance = abalance + -2500 WHERE aid = 7
--;
SELECT abalance FROM pgbench_accounts WHERE aid = 7
--;
INSERT INTO pgbench_history (tid, aid, delta, mtime) VALUES (3, 7, -2500, CURRENT_TIMESTAMP)
--! postgrest: settings of a request | none | app
select set_config('search_path', '"public"', true), set_config('role', 'reader', true), set_config('request.jwt.claims', '{"role":"reader"}', true), set_config('request.method', 'GET', true), set_config('request.path', '/orders', true), set_config('request.headers', '{"host":"x"}', true), set_config('request.cookies', '{}', true)
--;
WITH pgrst_source AS ( SELECT "public"."orders"."id", "public"."orders"."amount" FROM "public"."orders" WHERE "public"."orders"."paid" = false ORDER BY "public"."orders"."id" ASC LIMIT 10 OFFSET 0 ) SELECT null::bigint AS total_result_set, pg_catalog.count(_postgrest_t) AS page_total, coalesce(json_agg(_postgrest_t), '[]') AS body, nullif(current_setting('response.headers', true), '') AS response_headers, nullif(current_setting('response.status', true), '') AS response_status FROM ( SELECT * FROM pgrst_source ) _postgrest_t
--! postgrest: embedded resources | none | app
WITH pgrst_source AS ( SELECT "public"."orders"."id", row_to_json("orders_customers_1".*)::jsonb AS "customers" FROM "public"."orders" LEFT JOIN LATERAL ( SELECT "customers_1"."name" FROM "public"."customers" AS "customers_1" WHERE "customers_1"."id" = "public"."orders"."customer" ) AS "orders_customers_1" ON TRUE ) SELECT null::bigint AS total_result_set, pg_catalog.count(_postgrest_t) AS page_total, coalesce(json_agg(_postgrest_t), '[]') AS body FROM ( SELECT * FROM pgrst_source ) _postgrest_t
--! postgrest: many to one, as a list | none | app
SELECT "public"."customers"."id", COALESCE( "customers_orders_1"."customers_orders_1", '[]') AS "orders" FROM "public"."customers" LEFT JOIN LATERAL ( SELECT json_agg("customers_orders_1")::jsonb AS "customers_orders_1" FROM (SELECT "orders_1"."id", "orders_1"."amount" FROM "public"."orders" AS "orders_1" WHERE "orders_1"."customer" = "public"."customers"."id" ) AS "customers_orders_1" ) AS "customers_orders_1" ON TRUE
--! postgrest: some columns of a table with a secret one | none | app
WITH pgrst_source AS ( SELECT "hr"."employees"."id", "hr"."employees"."name" FROM "hr"."employees" ) SELECT coalesce(json_agg(_postgrest_t), '[]') AS body FROM ( SELECT * FROM pgrst_source ) _postgrest_t
--! postgrest: insert | none | app | read-only
WITH pgrst_source AS (INSERT INTO "public"."customers"("id", "name") SELECT "pgrst_body"."id", "pgrst_body"."name" FROM (SELECT '[{"id":77,"name":"x"}]'::json AS json_data) pgrst_payload, LATERAL (SELECT "id", "name" FROM json_to_recordset(pgrst_payload.json_data) AS _("id" integer, "name" text)) pgrst_body RETURNING "public"."customers".*) SELECT '' AS total_result_set, pg_catalog.count(_postgrest_t) AS page_total, coalesce(json_agg(_postgrest_t), '[]') AS body FROM (SELECT * FROM pgrst_source) _postgrest_t
--! postgrest: patch | none | app | read-only
WITH pgrst_source AS (UPDATE "public"."customers" SET "name" = "pgrst_body"."name" FROM (SELECT '{"name":"z"}'::json AS json_data) pgrst_payload, LATERAL (SELECT "name" FROM json_to_record(pgrst_payload.json_data) AS _("name" text)) pgrst_body WHERE "public"."customers"."id" = 1 RETURNING 1) SELECT '' AS total_result_set, pg_catalog.count(_postgrest_t) AS page_total FROM (SELECT * FROM pgrst_source) _postgrest_t
--! postgrest: call | none | app
WITH pgrst_source AS (SELECT pgrst_call.pgrst_scalar FROM (SELECT '{"a":1,"b":2}'::json AS json_data) pgrst_payload, LATERAL (SELECT "a", "b" FROM json_to_record(pgrst_payload.json_data) AS _("a" integer, "b" integer) LIMIT 1) pgrst_body, LATERAL (SELECT "public"."f_add"("a" := pgrst_body.a, "b" := pgrst_body.b) pgrst_scalar) pgrst_call) SELECT null::bigint AS total_result_set, 1 AS page_total, coalesce(json_agg(_postgrest_t.pgrst_scalar)->0, 'null') AS body FROM (SELECT * FROM pgrst_source) _postgrest_t
--! supabase: policies and claims | none | app
select coalesce(nullif(current_setting('request.jwt.claim.sub', true), ''), (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'))::uuid
--! metabase: sums by month | none | app
-- Metabase:: userID: 1 queryType: MBQL queryHash: 5c3a
SELECT CAST(DATE_TRUNC('month', "public"."orders"."at") AS date) AS "at", SUM("public"."orders"."amount") AS "sum", COUNT(*) AS "count" FROM "public"."orders" WHERE "public"."orders"."at" >= DATE_TRUNC('month', (NOW() + INTERVAL '-12 month')) GROUP BY CAST(DATE_TRUNC('month', "public"."orders"."at") AS date) ORDER BY 1 ASC
--! metabase: bins | none | app
SELECT (FLOOR((("public"."orders"."amount" - 0.0) / 25.0)) * 25.0) + 0.0 AS "amount", COUNT(*) FROM "public"."orders" GROUP BY 1 ORDER BY 1
--! metabase: fingerprints | none | app
SELECT SUBSTRING("public"."customers"."name", 1, 1234) AS "substring1", "public"."customers"."id" AS "id" FROM "public"."customers" LIMIT 10000
--! metabase: privileges | none | app
with table_privileges as (select NULL as role, t.schemaname as schema, t.objectname as table, pg_catalog.has_any_column_privilege(current_user, '"' || replace(t.schemaname, '"', '""') || '"' || '.' || '"' || replace(t.objectname, '"', '""') || '"', 'select') as select from (select schemaname, tablename as objectname from pg_catalog.pg_tables union select schemaname, viewname as objectname from pg_views) t where t.schemaname !~ '^pg_' and t.schemaname <> 'information_schema' and pg_catalog.has_schema_privilege(current_user, t.schemaname, 'usage')) select t.* from table_privileges t where t.select
--! grafana: a series | none | app
SELECT floor(extract(epoch from at)/300)*300 AS "time", avg(amount) AS amount FROM orders WHERE at BETWEEN '2020-01-01T00:00:00Z' AND '2099-01-01T00:00:00Z' GROUP BY 1 ORDER BY 1
--! grafana: tables of the path | none | app
SELECT CASE WHEN quote_ident(table_schema) IN (SELECT CASE WHEN trim(s[i]) = '"$user"' THEN user ELSE trim(s[i]) END FROM generate_series(array_lower(string_to_array(current_setting('search_path'), ','), 1), array_upper(string_to_array(current_setting('search_path'), ','), 1)) as i, string_to_array(current_setting('search_path'), ',') s) THEN quote_ident(table_name) ELSE quote_ident(table_schema) || '.' || quote_ident(table_name) END AS "table" FROM information_schema.tables WHERE quote_ident(table_schema) NOT IN ('information_schema', 'pg_catalog')
--! superset: a chart | none | app
SELECT DATE_TRUNC('day', at) AS __timestamp, paid AS paid, sum(amount) AS "SUM(amount)" FROM public.orders JOIN (SELECT paid AS paid__, sum(amount) AS mme_inner__ FROM public.orders GROUP BY paid ORDER BY mme_inner__ DESC LIMIT 5) AS series_limit ON paid = paid__ GROUP BY DATE_TRUNC('day', at), paid ORDER BY "SUM(amount)" DESC LIMIT 1000
--! exporter: databases | none | app
SELECT datname, numbackends, xact_commit, blks_hit, tup_fetched, deadlocks, pg_database_size(datname), age(d.datfrozenxid) FROM pg_stat_database JOIN pg_database d USING (datname)
--! exporter: tables and locks | none | app
SELECT s.schemaname, s.relname, s.n_live_tup, s.n_dead_tup, s.last_autovacuum, pg_total_relation_size(s.relid) FROM pg_stat_user_tables s; SELECT pg_database.datname, tmp.mode, COALESCE(count, 0) as count FROM (VALUES ('accesssharelock'), ('rowexclusivelock')) AS tmp(mode) CROSS JOIN pg_database LEFT JOIN (SELECT database, lower(mode) AS mode, count(*) AS count FROM pg_locks WHERE database IS NOT NULL GROUP BY database, lower(mode)) AS tmp2 ON tmp.mode = tmp2.mode and pg_database.oid = tmp2.database
--! exporter: replication | none | app
SELECT CASE WHEN pg_is_in_recovery() THEN 0 ELSE pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0') END AS lsn, application_name, state, pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn) FROM pg_stat_replication
--! geometry: near by | none | app
select id, point(id, amount) <-> point(3, 100) as distance from orders where circle(point(3, 100), 5) @> point(id, amount) order by point(id, amount) <-> point(3, 100) limit 5
--! geometry: functions of its own | none | app | read-only
create function public.st_dwithin(a point, b point, d float8) returns bool language sql immutable as 'select (a <-> b) <= d'
--;
select id from orders where st_dwithin(point(id, 1), point(1, 1), 2.5)
--! queue: next job | none | app | read-only
WITH next AS (SELECT id FROM orders WHERE NOT paid ORDER BY id FOR UPDATE SKIP LOCKED LIMIT 1) UPDATE orders SET paid = true FROM next WHERE orders.id = next.id RETURNING orders.*
--! queue: tell | none | app | read-only
LISTEN jobs; NOTIFY jobs, 'x'; SELECT pg_notify('jobs', '{"id":1}')
--! search: full text | none | app
SELECT id, ts_rank(to_tsvector('simple', name), q) AS rank, ts_headline('simple', name, q) FROM customers, websearch_to_tsquery('simple', 'a or b') q WHERE to_tsvector('simple', name) @@ q ORDER BY rank DESC
--! documents: jsonb | none | app
SELECT d->>'a', d#>>'{b,0}', d @> '{"a":1}', d ? 'a', jsonb_set(d, '{a}', '2'), d || '{"c":1}', d - 'a', jsonb_path_query_first(d, '$.b[*] ? (@ > 1)') FROM (VALUES ('{"a":1,"b":[1,2]}'::jsonb)) t(d), jsonb_each(d) e, jsonb_array_elements(d->'b') x
--! reports: windows | none | app
SELECT customer, amount, rank() OVER w, lag(amount) OVER w, sum(amount) OVER (PARTITION BY customer ORDER BY at ROWS BETWEEN 2 PRECEDING AND CURRENT ROW), percentile_cont(0.5) WITHIN GROUP (ORDER BY amount) FROM orders GROUP BY customer, amount, at WINDOW w AS (PARTITION BY customer ORDER BY at DESC)
--! reports: rollup | none | app
SELECT customer, paid, grouping(customer, paid), count(*), string_agg(id::text, ',' ORDER BY id), array_agg(DISTINCT amount), max(at)::date, bool_or(paid) FROM orders GROUP BY ROLLUP (customer, paid) HAVING count(*) > 0
--! reports: calendar | none | app
SELECT d::date, coalesce(sum(o.amount), 0), to_char(d, 'IYYY-"W"IW') FROM generate_series(now() - interval '7 days', now(), '1 day') d LEFT JOIN orders o ON o.at::date = d::date GROUP BY d ORDER BY d
--! reports: latest of each | none | app
SELECT DISTINCT ON (customer) customer, id, at FROM orders WHERE amount BETWEEN 1 AND 1000 AND at > now() - '1 year'::interval ORDER BY customer, at DESC
--! keyset page | none | app
SELECT id, at FROM orders WHERE (at, id) < (now(), 5) ORDER BY at DESC, id DESC LIMIT 20
--! tree | none | app
WITH RECURSIVE tree AS (SELECT id, customer, ARRAY[id] AS path, 1 AS depth FROM orders WHERE id = 1 UNION ALL SELECT o.id, o.customer, t.path || o.id, t.depth + 1 FROM orders o JOIN tree t ON o.customer = t.id WHERE NOT o.id = ANY(t.path)) SEARCH DEPTH FIRST BY id SET ordered SELECT * FROM tree ORDER BY ordered
--! activerecord: a table with its indexes and keys | none | app | read-only
CREATE TABLE "comments" ("id" bigserial primary key, "order_id" integer NOT NULL, "body" text)
--;
CREATE INDEX "index_comments_on_order_id" ON "comments" ("order_id")
--;
CREATE UNIQUE INDEX "index_comments_on_body" ON "comments" (lower("body"))
--! ecto: a table with a constraint, and a lock_timeout | none | app | read-only
SET LOCAL lock_timeout = '5s'
--;
CREATE TABLE "tags" ("id" bigint, "name" varchar(255))
--;
ALTER TABLE "tags" ADD CONSTRAINT "tags_name_check" CHECK (length("name") > 0)
--;
ALTER TABLE "tags" ADD COLUMN "place" integer NOT NULL
--;
ALTER TABLE "tags" ADD CONSTRAINT "tags_orders" FOREIGN KEY ("id") REFERENCES "orders" ("id")
--! an index on a table that others use | none | app | read-only, safe-migrations
CREATE TABLE "marks" ("id" bigint)
--;
CREATE INDEX "orders_amount" ON "orders" ("amount")
--! django: an extension, and what it is for | none | app | read-only
CREATE EXTENSION IF NOT EXISTS "vector"
--;
CREATE TABLE public.items (id integer PRIMARY KEY, embedding public.vector(3))
--;
INSERT INTO public.items (id, embedding) VALUES (1, '[1,2,3]'), (2, '[3,2,1]')
--;
SELECT id FROM public.items WHERE id + 1 = 2 ORDER BY embedding <-> '[1,1,1]' LIMIT 1
--! documents: a row made of JSON | none | app
select (json_populate_record(p, '{"age":5,"name":"x"}')).name from public.people p
--! documents: rows of a type made of JSON | none | app
select * from jsonb_populate_recordset(null::public.customers, '[{"id":1,"name":"x"}]')
