#include "accountants/ledger/postgres_schema.h"

#include <charconv>
#include <map>

#include "accountants/ledger/backend.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

struct Object {
  const char *name, *sql;
};

// Written as PostgreSQL prints them to a session whose search path is the schema, so that what is there can be held to
// the same text; @ stands for the schema. run_id and kind sort by bytes: another machine's collation would leave its
// indexes out of order. The lock that writers take is taken before the rows come, so that one who does not know of it
// waits, too; the rows of a statement are looked at together afterwards, which costs half of a look at each. A
// session's search path decides what `=` is, and to set it in a function would take longer than the rest of it: so the
// trigger asks for the right one, again at the end, since the statement itself may have set another.
constexpr Object kTables[] = {
    {"entry", R"(CREATE TABLE @.entry (
  id bigint NOT NULL,
  payload text NOT NULL,
  hash text NOT NULL,
  commit_token text NOT NULL,
  kind text COLLATE "C" GENERATED ALWAYS AS (((payload)::jsonb ->> 'kind'::text)) STORED,
  run_id text COLLATE "C" GENERATED ALWAYS AS (((payload)::jsonb ->> 'run_id'::text)) STORED,
  first_step bigint GENERATED ALWAYS AS ((((payload)::jsonb ->> 'first_step'::text))::bigint) STORED,
  last_step bigint GENERATED ALWAYS AS ((((payload)::jsonb ->> 'last_step'::text))::bigint) STORED
))"},
    {"signature", R"(CREATE TABLE @.signature (
  id bigint NOT NULL,
  value text NOT NULL
))"},
};
constexpr Object kIndexes[] = {
    {"entry_id", "CREATE UNIQUE INDEX entry_id ON @.entry USING btree (id)"},
    {"one_reservation",
     "CREATE UNIQUE INDEX one_reservation ON @.entry USING btree (run_id) WHERE (kind = 'reserve'::text)"},
    {"one_release", "CREATE UNIQUE INDEX one_release ON @.entry USING btree (run_id) WHERE (kind = 'release'::text)"},
    {"one_charge_a_step",
     "CREATE UNIQUE INDEX one_charge_a_step ON @.entry USING btree (run_id, first_step) WHERE (kind = 'charge'::text)"},
    {"by_run", "CREATE INDEX by_run ON @.entry USING btree (run_id, kind, last_step)"},
    {"by_kind",
     "CREATE INDEX by_kind ON @.entry USING btree (kind, id) WHERE (kind = ANY (ARRAY['genesis'::text, 'cap'::text, "
     "'reserve'::text]))"},
    {"by_authority",
     "CREATE INDEX by_authority ON @.entry USING btree (id) WHERE (kind = ANY (ARRAY['owner'::text, 'member'::text, "
     "'grant'::text]))"},
    {"signature_id", "CREATE UNIQUE INDEX signature_id ON @.signature USING btree (id)"},
};
constexpr Object kFunctions[] = {
    {"refuse_change", R"(CREATE OR REPLACE FUNCTION @.refuse_change()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
  RAISE EXCEPTION 'the ledger is append-only' USING ERRCODE = 'integrity_constraint_violation';
END $function$
)"},
    {"await_turn", R"(CREATE OR REPLACE FUNCTION @.await_turn()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
  IF pg_catalog.current_setting('search_path') OPERATOR(pg_catalog.<>) '@' THEN
    RAISE EXCEPTION 'SET search_path TO @ first' USING ERRCODE = 'insufficient_privilege';
  END IF;
  PERFORM pg_advisory_xact_lock(1936684148, TG_RELID::integer);
  RETURN NULL;
END $function$
)"},
    {"check_entries", R"(CREATE OR REPLACE FUNCTION @.check_entries()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
DECLARE
  before record;
  wrong record;
BEGIN
  IF pg_catalog.current_setting('search_path') OPERATOR(pg_catalog.<>) '@' THEN
    RAISE EXCEPTION 'SET search_path TO @ first' USING ERRCODE = 'insufficient_privilege';
  END IF;
  SELECT id, hash INTO before FROM @.entry WHERE id < (SELECT min(id) FROM added) ORDER BY id DESC LIMIT 1;
  SELECT * INTO wrong FROM (
    SELECT id, id IS DISTINCT FROM coalesce(lag(id) OVER by_id, before.id, 0) + 1
        OR said -> 'id' IS DISTINCT FROM to_jsonb(id)
        OR said ->> 'previous' IS DISTINCT FROM coalesce(lag(hash) OVER by_id, before.hash, '')
        OR hash IS DISTINCT FROM encode(sha256(convert_to(payload, 'UTF8')), 'hex') AS order_is_wrong,
      kind = 'charge' AND (last_step >= first_step) IS NOT TRUE OR kind = 'charge'
        AND said -> 'first_step' IS DISTINCT FROM to_jsonb(1 + coalesce(lag(last_step) OVER of_run,
          (SELECT last_step FROM @.entry WHERE entry.run_id = fresh.run_id AND entry.kind = 'charge'
             AND entry.id <= before.id ORDER BY last_step DESC LIMIT 1), 0)) AS step_is_wrong
    FROM (SELECT *, payload::pg_catalog.jsonb AS said FROM added OFFSET 0) AS fresh
    WINDOW by_id AS (ORDER BY id), of_run AS (PARTITION BY run_id, kind ORDER BY id)) AS looked_at
  WHERE order_is_wrong OR step_is_wrong LIMIT 1;
  IF wrong.order_is_wrong OR (SELECT max(id) FROM added) IS DISTINCT FROM (SELECT max(id) FROM @.entry) THEN
    RAISE EXCEPTION 'a row must follow the last one' USING ERRCODE = 'integrity_constraint_violation';
  END IF;
  IF wrong.step_is_wrong THEN
    RAISE EXCEPTION 'a charge must continue after the highest charged step'
      USING ERRCODE = 'integrity_constraint_violation';
  END IF;
  RETURN NULL;
END $function$
)"},
    {"check_signature", R"(CREATE OR REPLACE FUNCTION @.check_signature()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
  IF pg_catalog.current_setting('search_path') OPERATOR(pg_catalog.<>) '@' THEN
    RAISE EXCEPTION 'SET search_path TO @ first' USING ERRCODE = 'insufficient_privilege';
  END IF;
  IF NEW.id IS DISTINCT FROM (SELECT max(id) FROM @.entry) THEN
    RAISE EXCEPTION 'only the last row is signed, and once' USING ERRCODE = 'integrity_constraint_violation';
  END IF;
  RETURN NEW;
END $function$
)"},
};
struct Trigger {
  const char *name, *table, *sql;
};
// Always: also in a session that replays another server's changes.
constexpr Trigger kTriggers[] = {
    {"one_writer", "entry",
     "CREATE TRIGGER one_writer BEFORE INSERT ON @.entry FOR EACH STATEMENT EXECUTE FUNCTION await_turn()"},
    {"in_order", "entry",
     "CREATE TRIGGER in_order AFTER INSERT ON @.entry REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE "
     "FUNCTION check_entries()"},
    {"no_change", "entry",
     "CREATE TRIGGER no_change BEFORE DELETE OR UPDATE OR TRUNCATE ON @.entry FOR EACH STATEMENT EXECUTE FUNCTION "
     "refuse_change()"},
    {"signed_in_order", "signature",
     "CREATE TRIGGER signed_in_order BEFORE INSERT ON @.signature FOR EACH ROW EXECUTE FUNCTION check_signature()"},
    {"no_signature_change", "signature",
     "CREATE TRIGGER no_signature_change BEFORE DELETE OR UPDATE OR TRUNCATE ON @.signature FOR EACH STATEMENT EXECUTE "
     "FUNCTION refuse_change()"},
};

// Everything in the schema, as its definition, and what would change what a definition does.
constexpr const char* kCatalog = R"(
WITH place AS (SELECT oid FROM pg_namespace WHERE nspname = $1),
     relation AS (SELECT c.* FROM pg_class c JOIN place ON c.relnamespace = place.oid)
SELECT relname, format(E'CREATE %sTABLE %I.%I (\n%s\n)', CASE relpersistence WHEN 'p' THEN '' ELSE 'UNLOGGED ' END, $1,
    relname, (SELECT string_agg(format('  %s %s%s%s%s', attname, format_type(atttypid, atttypmod),
        CASE WHEN attcollation <> 0 AND attcollation <> 100 THEN format(' COLLATE %I', (SELECT collname FROM pg_collation
          WHERE oid = attcollation)) ELSE '' END,
        CASE attgenerated WHEN 's' THEN format(' GENERATED ALWAYS AS (%s) STORED', pg_get_expr(adbin, adrelid))
          ELSE ' DEFAULT ' || pg_get_expr(adbin, adrelid) END,
        CASE WHEN attnotnull THEN ' NOT NULL' ELSE '' END), E',\n' ORDER BY attnum)
      FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
      WHERE attrelid = relation.oid AND attnum > 0 AND NOT attisdropped))
    || CASE WHEN relrowsecurity THEN ' with row security' ELSE '' END
    || CASE WHEN EXISTS (SELECT FROM pg_inherits WHERE inhparent = relation.oid OR inhrelid = relation.oid)
         THEN ' with relatives' ELSE '' END FROM relation WHERE relkind = 'r'
UNION ALL SELECT relname, pg_get_indexdef(relation.oid)
    || CASE WHEN indisvalid AND indisready AND indislive THEN '' ELSE ' (not valid)' END
  FROM relation JOIN pg_index ON indexrelid = relation.oid
UNION ALL SELECT relname, 'a relation of the kind ' || relkind::text FROM relation WHERE relkind NOT IN ('r', 'i')
UNION ALL SELECT tgname, pg_get_triggerdef(pg_trigger.oid) || CASE tgenabled WHEN 'A' THEN '' ELSE ' (not always)' END
  FROM pg_trigger JOIN relation ON tgrelid = relation.oid
UNION ALL SELECT proname, CASE WHEN prokind IN ('f', 'p') THEN pg_get_functiondef(pg_proc.oid) ELSE 'an aggregate' END
  FROM pg_proc JOIN place ON pronamespace = place.oid
UNION ALL SELECT conname, pg_get_constraintdef(pg_constraint.oid)
  FROM pg_constraint JOIN place ON connamespace = place.oid WHERE contype <> 'n'
UNION ALL SELECT rulename, pg_get_ruledef(pg_rewrite.oid) FROM pg_rewrite JOIN relation ON ev_class = relation.oid)";

std::string in_schema(std::string_view sql, const std::string& schema) {
  std::string text;
  for (const char c : sql) text += c == '@' ? schema : std::string(1, c);
  return text;
}

std::string comment() {
  return cat("sotto ledger, format ", kLedgerFormat);
}

}  // namespace

PostgresPlace look_for_ledger(PostgresConnection& connection) {
  const std::string& name = connection.location().text();
  const PostgresResult found = connection.query(
      {"SELECT coalesce(obj_description(oid, 'pg_namespace'), ''), EXISTS (SELECT FROM pg_class WHERE relnamespace = "
       "pg_namespace.oid), has_schema_privilege(oid, 'USAGE') FROM pg_namespace WHERE nspname = $1",
       {connection.location().schema()}});
  if (found.rows() == 0) return PostgresPlace::nothing;
  if (found.text(0, 2) == "f")
    throw Error(ErrorKind::io, cat("not allowed to use ", name, ": the role needs USAGE on the schema ",
                                   connection.location().schema(), " and SELECT and INSERT on its tables"));
  const std::string said = found.text(0, 0);
  constexpr std::string_view known = "sotto ledger, format ";
  if (!said.starts_with(known)) {
    if (found.text(0, 1) == "f") return PostgresPlace::empty_schema;
    throw Error(ErrorKind::data, cat("the schema ", connection.location().schema(), " of ", name,
                                     " holds something else, no ledger; name another with ?schema="));
  }
  int64_t format = 0;
  std::from_chars(said.data() + known.size(), said.data() + said.size(), format);
  if (format > kLedgerFormat)
    throw Error(ErrorKind::data, cat(name, " has ledger format ", format, ", this program knows up to ", kLedgerFormat,
                                     "; use a newer sotto"));
  if (format != kLedgerFormat) throw Error(ErrorKind::data, cat(name, " has the impossible ledger format ", format));
  return PostgresPlace::ledger;
}

void make_postgres_tables(PostgresConnection& connection, PostgresPlace place) {
  const std::string& schema = connection.location().schema();
  std::string sql;
  const auto add = [&](const auto&... parts) { sql += in_schema(cat(parts...), schema) + ";\n"; };
  if (place == PostgresPlace::nothing) add("CREATE SCHEMA @");
  for (const auto& object : kTables) add(object.sql);
  for (const auto& object : kIndexes) add(object.sql);
  for (const auto& object : kFunctions) add(object.sql);
  for (const auto& trigger : kTriggers) {
    add(trigger.sql);
    add("ALTER TABLE @.", trigger.table, " ENABLE ALWAYS TRIGGER ", trigger.name);
  }
  add("COMMENT ON SCHEMA @ IS '", comment(), "'");
  connection.run(sql);
}

std::string postgres_difference(PostgresConnection& connection) {
  const std::string& schema = connection.location().schema();
  std::map<std::string, std::string> expected;
  for (const auto& object : kTables) expected[object.name] = in_schema(object.sql, schema);
  for (const auto& object : kIndexes) expected[object.name] = in_schema(object.sql, schema);
  for (const auto& object : kFunctions) expected[object.name] = in_schema(object.sql, schema);
  for (const auto& trigger : kTriggers) expected[trigger.name] = in_schema(trigger.sql, schema);
  const PostgresResult there = connection.query({kCatalog, {schema}});
  for (int row = 0; row < there.rows(); ++row) {
    const auto found = expected.find(there.text(row, 0));
    if (found == expected.end()) return cat("\"", there.view(row, 0), "\" does not belong there");
    if (found->second != there.view(row, 1)) return cat("\"", there.view(row, 0), "\" was changed");
    expected.erase(found);
  }
  if (expected.empty()) return "";
  return cat(expected.size(), " of its tables, indexes and triggers are missing, \"", expected.begin()->first,
             "\" first");
}

}  // namespace sotto::accountants
