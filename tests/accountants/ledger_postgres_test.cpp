#include <algorithm>
#include <nlohmann/json.hpp>
#include <thread>

#include "accountants/ledger/backend.h"
#include "accountants/ledger/backup.h"
#include "accountants/ledger/payload.h"
#include "tests/accountants/ledger_child.h"
#include "tests/accountants/ledger_fixture.h"

namespace sotto::accountants {
namespace {

// What only a server has: roles, settings, tables that others may alter.
class LedgerPostgresTest : public LedgerOnEachBackend {
 protected:
  void SetUp() override {
    LedgerOnEachBackend::SetUp();
    if (!IsSkipped()) server_ = PostgresServer::shared();
  }
  // As the tables' owner, in the ledger's schema.
  std::string sql(const std::string& statement) {
    return server_->sql("SET search_path TO " + location_.schema() + "; " + statement);
  }
  void wait_until(const std::string& query, const std::string& expected) {
    for (int tries = 0; server_->sql(query) != expected; ++tries) {
      ASSERT_LT(tries, 1000) << query;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
  PostgresServer* server_ = nullptr;
};
INSTANTIATE_TEST_SUITE_P(On, LedgerPostgresTest, testing::Values("postgres"), backend_name);

TEST_P(LedgerPostgresTest, TheDatabaseItselfRefusesToForget) {
  Ledger::open(location_).reserve(entry_of("a"));
  const std::string row = "(id, payload, hash, commit_token) VALUES ";
  for (const std::string change : {"DELETE FROM entry WHERE id = 2", "UPDATE entry SET hash = 'x' WHERE id = 2",
                                   "TRUNCATE entry", "SET session_replication_role TO replica; DELETE FROM entry",
                                   "INSERT INTO entry SELECT 2, payload, hash, '' FROM entry WHERE id = 2 ON CONFLICT "
                                   "(id) DO UPDATE SET hash = 'x'",
                                   "DELETE FROM signature", "TRUNCATE signature"})
    EXPECT_NE(sql(change).find("ERROR"), std::string::npos) << change;
  for (const char* change : {"(9, '{\"id\":9}', 'x', '')", "(3, '{\"id\":3}', 'x', '')", "(2, '{\"id\":2}', 'x', '')",
                             "(3, 'no json', 'x', '')"})
    EXPECT_NE(sql("INSERT INTO entry " + row + change).find("ERROR"), std::string::npos) << change;
  EXPECT_NE(
      server_
          ->sql("CREATE SCHEMA evil; CREATE FUNCTION evil.no(bigint, bigint) RETURNS bool LANGUAGE sql AS 'SELECT "
                "true'; CREATE OPERATOR evil.= (FUNCTION = evil.no, LEFTARG = bigint, RIGHTARG = bigint); SET "
                "search_path TO evil, pg_catalog; INSERT INTO " +
                location_.schema() + ".entry " + row + "(9, '{\"id\":9}', 'x', '')")
          .find("search_path"),
      std::string::npos)
      << "who inserts does not say what = means";
  EXPECT_NE(sql("INSERT INTO signature VALUES (1, 'x')").find("only the last row"), std::string::npos);
  server_->sql("DROP SCHEMA evil CASCADE");
  EXPECT_EQ(Ledger::open(location_).rows().size(), 2u);
  EXPECT_TRUE(Ledger::verify(location_).ok);
}

TEST_P(LedgerPostgresTest, OfSeveralRowsInAStatementEachMustFollowTheOneBefore) {
  Ledger ledger = Ledger::open(location_);
  ledger.reserve(entry_of("a"));
  ledger.reserve(entry_of("b"));
  ledger.charge("a", 1, 2);
  const Head head = ledger.head();  // row 4
  struct Charge {
    int64_t id, said_id;
    std::string run_id, first_step, last_step;
    bool linked = true, hashed = true;
  };
  // As who may insert can write them, with the hashes that belong there.
  const auto insert = [&](const std::vector<Charge>& charges) {
    std::string previous = head.hash, values;
    for (const Charge& each : charges) {
      const std::string payload = cat("{\"first_step\":", each.first_step, ",\"id\":", each.said_id,
                                      ",\"kind\":\"charge\",\"last_step\":", each.last_step, ",\"previous\":\"",
                                      each.linked ? previous : head.hash + "0", "\",\"run_id\":\"", each.run_id, "\"}");
      previous = each.hashed ? row_hash(payload) : head.hash;
      values += cat(values.empty() ? "" : ",", "(", each.id, ",'", payload, "','", previous, "','')");
    }
    return sql("INSERT INTO entry (id, payload, hash, commit_token) VALUES " + values);
  };
  const std::vector<Charge> good = {{5, 5, "a", "3", "3"}, {6, 6, "b", "1", "4"}, {7, 7, "a", "4", "9"}};
  const auto with = [&](size_t at, const Charge& other) {
    std::vector<Charge> rows = good;
    rows[at] = other;
    return rows;
  };
  const std::pair<std::vector<Charge>, const char*> wrong[] = {
      {with(1, {6, 6, "b", "1", "4", false}), "follow the last"},
      {with(2, {7, 7, "a", "4", "9", true, false}), "follow the last"},
      {with(2, {8, 8, "a", "4", "9"}), "follow the last"},
      {with(2, {7, 8, "a", "4", "9"}), "follow the last"},
      {with(0, {3, 3, "a", "3", "3"}), "ERROR"},
      {with(0, {5, 5, "a", "2", "3"}), "must continue"},
      {with(0, {5, 5, "a", "7", "7"}), "must continue"},
      {with(1, {6, 6, "b", "3", "4"}), "must continue"},
      {with(1, {6, 6, "b", "\"1\"", "4"}), "must continue"},
      {with(2, {7, 7, "a", "5", "9"}), "must continue"},
      {with(2, {7, 7, "a", "4", "3"}), "must continue"},
      {with(2, {7, 7, "a", "4", "null"}), "must continue"},
  };
  for (size_t i = 0; i < std::size(wrong); ++i) {
    const std::string said = insert(wrong[i].first);
    EXPECT_NE(said.find(wrong[i].second), std::string::npos) << i << ": " << said;
    EXPECT_EQ(ledger.head(), head) << i;
  }
  EXPECT_NE(sql("INSERT INTO entry (id, payload, hash, commit_token) SELECT 5, payload, hash, "
                "set_config('search_path', 'pg_catalog', false) FROM entry "
                "WHERE id = 4")
                .find("ERROR"),
            std::string::npos);
  EXPECT_EQ(insert(good), "");
  EXPECT_EQ(ledger.head().id, 7);
}

TEST_P(LedgerPostgresTest, AChangedTableIsFoundAndTheLedgerNotOpened) {
  const char* changes[] = {
      "DROP TRIGGER no_change ON entry",
      "ALTER TABLE entry DISABLE TRIGGER in_order",
      "ALTER TABLE entry ENABLE TRIGGER in_order",
      "DROP INDEX one_charge_a_step",
      "DROP INDEX one_reservation; CREATE UNIQUE INDEX one_reservation ON entry (run_id) WHERE kind = 'none'",
      "ALTER TABLE entry DISABLE TRIGGER one_writer",
      "CREATE OR REPLACE FUNCTION check_entries() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
      "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
      "ALTER TABLE entry SET UNLOGGED",
      "ALTER TABLE entry ADD COLUMN more text",
      "ALTER TABLE entry ALTER COLUMN last_step DROP EXPRESSION",
      "ALTER TABLE entry ALTER COLUMN hash DROP NOT NULL",
      "CREATE RULE nothing AS ON INSERT TO signature DO INSTEAD NOTHING",
      "ALTER TABLE entry ENABLE ROW LEVEL SECURITY",
      "CREATE TABLE more (x int)",
      "CREATE TABLE more () INHERITS (entry)",
      "CREATE VIEW more AS SELECT 1",
      "CREATE FUNCTION more() RETURNS int LANGUAGE sql AS 'SELECT 1'",
      "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'by_run'::regclass",
      "DROP TABLE signature",
  };
  for (const char* change : changes) {
    location_ = another();
    Ledger::open(location_);
    ASSERT_EQ(sql(change), "") << change;
    EXPECT_NE(message(ErrorKind::data, [&] { Ledger::open(location_); }).find("altered"), std::string::npos) << change;
    EXPECT_FALSE(Ledger::verify(location_).ok) << change;
  }
}

TEST_P(LedgerPostgresTest, AnIndexThatHidesAChargeIsFound) {
  for (const LedgerIndex index : kLedgerIndexes) {
    const std::string name(to_string(index)), its = " WHERE indexrelid = '" + name + "'::regclass";
    location_ = another();
    Ledger ledger = Ledger::open(location_);
    ledger.reserve(entry_of("a"));
    ledger.charge("a", 1, 3);
    // As damage does it: the rows are there, and the index through which they would be found lacks them.
    ASSERT_EQ(sql("UPDATE pg_index SET indisready = false" + its), "");
    ledger.charge("a", 4, 4);
    ledger.reserve(entry_of("b"));
    ledger.release("a");
    ledger.grant({.scope = {.team = "t"}, .epsilon = 100, .delta = 1e-5});
    ASSERT_EQ(sql("UPDATE pg_index SET indisready = true" + its), "");
    const VerifyReport report = Ledger::verify(location_);
    const auto names_it = [&](const std::string& finding) { return finding.starts_with("the index " + name); };
    EXPECT_TRUE(std::ranges::any_of(report.findings, names_it)) << name;
  }
}

TEST_P(LedgerPostgresTest, AColumnThatIsNotItsPayloadsIsFound) {
  for (const char* change : {"last_step = 2 WHERE id = 3", "first_step = 2 WHERE id = 3", "run_id = 'b' WHERE id = 3",
                             "kind = 'charg' WHERE id = 3", "run_id = 'b' WHERE id = 2", "kind = 'cap' WHERE id = 1"}) {
    location_ = another();
    Ledger ledger = Ledger::open(location_);
    ledger.reserve(entry_of("a"));
    ledger.charge("a", 1, 3);
    // The server computes them from the payload; who may change its catalogue can tell it for a moment not to.
    ASSERT_EQ(sql("ALTER TABLE entry DISABLE TRIGGER no_change"), "");
    const std::string generated =
        " WHERE attrelid = 'entry'::regclass AND attname IN ('kind', 'run_id', 'first_step', "
        "'last_step')";
    ASSERT_EQ(sql("UPDATE pg_attribute SET attgenerated = ''" + generated), "");
    ASSERT_EQ(sql(std::string("UPDATE entry SET ") + change), "");
    ASSERT_EQ(sql("UPDATE pg_attribute SET attgenerated = 's'" + generated), "");
    ASSERT_EQ(sql("ALTER TABLE entry ENABLE ALWAYS TRIGGER no_change"), "");
    const VerifyReport report = Ledger::verify(location_);
    ASSERT_FALSE(report.ok) << change;
    EXPECT_NE(report.findings.at(0).find("is stored under"), std::string::npos) << report.findings[0];
  }
}

TEST_P(LedgerPostgresTest, AServerThatForgetsWhatItConfirmedIsRefused) {
  Ledger::open(location_);
  const LedgerLocation careless = server_->location(location_.schema(), "&options=-c%20synchronous_commit%3Doff");
  EXPECT_NE(message(ErrorKind::io, [&] { Ledger::open(careless); }).find("synchronous_commit off"), std::string::npos);
  EXPECT_TRUE(Ledger::verify(careless).ok) << "reading is no promise";
  server_->sql("ALTER SYSTEM SET fsync TO off");
  server_->sql("SELECT pg_reload_conf()");
  wait_until("SHOW fsync", "off");
  EXPECT_NE(message(ErrorKind::io, [&] { Ledger::open(location_); }).find("fsync off"), std::string::npos);
  server_->sql("ALTER SYSTEM RESET fsync");
  server_->sql("SELECT pg_reload_conf()");
  wait_until("SHOW fsync", "on");
  EXPECT_NO_THROW(Ledger::open(location_));
}

TEST_P(LedgerPostgresTest, AReloadOfTheServersSettingsDoesNotReachAnOpenLedger) {
  Ledger ledger = Ledger::open(location_);
  ledger.reserve(entry_of("a"));
  const std::string pid = "SELECT pid FROM pg_stat_activity WHERE application_name = 'sotto'";
  ASSERT_NE(server_->sql(pid), "");
  server_->sql("ALTER SYSTEM SET synchronous_commit TO off");
  server_->sql("SELECT pg_reload_conf()");
  wait_until("SHOW synchronous_commit", "off");
  const std::string before = server_->sql("SELECT pg_current_wal_flush_lsn()");
  ledger.charge("a", 1, 1);
  // Durable when it returns: the row's position in the log lies before what was flushed.
  EXPECT_EQ(server_->sql("SELECT pg_current_wal_flush_lsn() > '" + before + "'"), "t");
  server_->sql("ALTER SYSTEM RESET synchronous_commit");
  server_->sql("SELECT pg_reload_conf()");
  wait_until("SHOW synchronous_commit", "on");
}

TEST_P(LedgerPostgresTest, WhatIsNoLedgerIsRefusedAndUntouched) {
  message(ErrorKind::io, [&] { Ledger::open_existing(location_); });
  message(ErrorKind::io, [&] { Ledger::verify(location_); });
  EXPECT_EQ(server_->sql("SELECT count(*) FROM pg_namespace WHERE nspname = '" + location_.schema() + "'"), "0");
  server_->sql("CREATE SCHEMA " + location_.schema() + " CREATE TABLE entry (notes text)");
  EXPECT_NE(message(ErrorKind::data, [&] { Ledger::open(location_); }).find("something else"), std::string::npos);
  message(ErrorKind::data, [&] { Ledger::verify(location_); });
  EXPECT_EQ(sql("SELECT count(*) FROM entry"), "0");
  location_ = another();
  Ledger::open(location_);
  server_->sql("COMMENT ON SCHEMA " + location_.schema() + " IS 'sotto ledger, format 3'");
  EXPECT_NE(message(ErrorKind::data, [&] { Ledger::open(location_); }).find("use a newer sotto"), std::string::npos);
}

TEST_P(LedgerPostgresTest, ADatabaseOfAnotherEncodingIsRefused) {
  server_->sql("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
  const auto latin = LedgerLocation::parse("postgresql:///latin?host=" + server_->folder().string());
  EXPECT_NE(message(ErrorKind::io, [&] { Ledger::open(latin); }).find("LATIN1"), std::string::npos);
  server_->sql("DROP DATABASE latin");
}

TEST_P(LedgerPostgresTest, NobodyThereIsSaidWithoutAnythingSecret) {
  setenv("PGPASSWORD", "hunter2", 1);
  const auto nowhere = LedgerLocation::parse("postgresql://ann@/x?host=/nonexistent");
  const std::string why = message(ErrorKind::io, [&] { Ledger::open(nowhere); });
  unsetenv("PGPASSWORD");
  EXPECT_NE(why.find("cannot reach postgresql:///x?host=/nonexistent"), std::string::npos) << why;
  EXPECT_EQ(why.find("hunter2"), std::string::npos) << why;
}

TEST_P(LedgerPostgresTest, ARoleThatMayReadAndInsertIsEnoughToSpend) {
  Ledger::open(location_).reserve(entry_of("a"));
  server_->sql("CREATE ROLE spender LOGIN; CREATE ROLE stranger LOGIN; GRANT USAGE ON SCHEMA " + location_.schema() +
               " TO spender; GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA " + location_.schema() + " TO spender");
  const auto as = [&](const std::string& role) {
    return LedgerLocation::parse("postgresql://" + role + "@/postgres?host=" + server_->folder().string() +
                                 "&schema=" + location_.schema());
  };
  Ledger ledger = Ledger::open(as("spender"));
  EXPECT_EQ(ledger.charge("a", 1, 1).last_step, 1);
  EXPECT_TRUE(Ledger::verify(as("spender")).ok);
  EXPECT_NE(message(ErrorKind::io, [&] { Ledger::open(as("stranger")); }).find("not allowed"), std::string::npos);
  const auto elsewhere =
      LedgerLocation::parse("postgresql://stranger@/postgres?schema=none&host=" + server_->folder().string());
  EXPECT_NE(message(ErrorKind::io, [&] { Ledger::open(elsewhere); }).find("CREATE on the database"), std::string::npos);
  server_->sql("REVOKE ALL ON ALL TABLES IN SCHEMA " + location_.schema() + " FROM spender; REVOKE ALL ON SCHEMA " +
               location_.schema() + " FROM spender; DROP ROLE spender, stranger");
}

TEST_P(LedgerPostgresTest, AnEmptySchemaThatWasMadeForItBecomesTheLedger) {
  server_->sql("CREATE SCHEMA " + location_.schema());
  Ledger::open(location_).reserve(entry_of("a"));
  EXPECT_TRUE(Ledger::verify(location_).ok);
}

TEST_P(LedgerPostgresTest, ATextThatPostgresCannotKeepIsRefusedWithoutARow) {
  Ledger ledger = Ledger::open(location_);
  RunEntry entry = entry_of("a");
  entry.who = std::string("a\0b", 3);
  message(ErrorKind::invalid_argument, [&] { ledger.reserve(entry); });
  message(ErrorKind::invalid_argument, [&] { ledger.run(std::string("a\0b", 3)); });
  EXPECT_EQ(ledger.rows().size(), 1u);
  entry.who = "back\\slash, \"quote\", {brace}, 'tick', NULL";
  entry.run_id = entry.who;
  ledger.reserve(entry);
  EXPECT_EQ(ledger.charge(entry.run_id, 1, 1).last_step, 1);
  EXPECT_EQ(Ledger::open(location_).run(entry.run_id)->charged_steps, 1);
}

TEST_P(LedgerPostgresTest, AWriterWaitsForTheOneBefore) {
  Ledger::open(location_).reserve(entry_of("a"));
  const auto first = open_backend(location_);
  first->begin();
  const Child second = start_child({"charge", location_.text(), "a", "1"});
  wait_until("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory'", "1");
  EXPECT_FALSE(first->last_row_of("a")->kind == "charge") << "not before its turn";
  first->roll_back();
  const Ended ended = wait_for(second);
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(ended.out, "1\n");
}

TEST_P(LedgerPostgresTest, ProcessesMayMakeTheLedgerAtOnce) {
  std::vector<Child> children;
  for (int i = 0; i < 8; ++i) children.push_back(start_child({"reserve", location_.text(), "run" + std::to_string(i)}));
  for (const Child& each : children) {
    const Ended ended = wait_for(each);
    EXPECT_EQ(ended.code, 0) << ended.err;
  }
  EXPECT_EQ(Ledger::open(location_).rows().size(), 9u) << "one genesis, eight reservations";
  EXPECT_TRUE(Ledger::verify(location_).ok);
}

TEST_P(LedgerPostgresTest, ALedgerMovesToAServerAndBackWithEveryRowAndSignature) {
  const SigningKey owner = SigningKey::generate();
  {
    Ledger ledger = Ledger::open(path_);
    ledger.reserve(entry_of("before"));
    ledger.charge("before", 1, 4);
    ledger.sign_with(owner);
    ledger.set_owner("Olga");
    ledger.grant({.epsilon = 10, .delta = 1e-5});
    ledger.charge({{"before", 5, 5}, {"before", 6, 9}});
  }
  back_up(path_, location_);
  const auto same = [](const LedgerLocation& one, const LedgerLocation& other) {
    const auto rows = Ledger::open(one).rows(), copied = Ledger::open(other).rows();
    ASSERT_EQ(rows.size(), copied.size());
    for (size_t i = 0; i < rows.size(); ++i)
      EXPECT_EQ(std::tie(rows[i].id, rows[i].kind, rows[i].payload, rows[i].hash),
                std::tie(copied[i].id, copied[i].kind, copied[i].payload, copied[i].hash));
    const VerifyReport before = Ledger::verify(one), after = Ledger::verify(other);
    EXPECT_TRUE(before.ok && after.ok);
    EXPECT_EQ(before.signatures, after.signatures);
    EXPECT_EQ(before.signatures, 3);
  };
  same(path_, location_);
  const std::string why = message(ErrorKind::io, [&] { back_up(path_, location_); });
  EXPECT_NE(why.find("never goes over"), std::string::npos) << why;
  const LedgerLocation file = folder_ / "back.sqlite";
  back_up(location_, file);
  same(location_, file);
  message(ErrorKind::io, [&] { back_up(location_, file); });
  Ledger moved = Ledger::open(location_);
  moved.sign_with(owner);
  EXPECT_EQ(moved.charge("before", 10, 10).last_step, 10);
  EXPECT_TRUE(Ledger::verify(location_, Ledger::open(file).head()).ok) << "the copy is a beginning of the whole";
  tamper(path_, "DROP TRIGGER no_delete");
  location_ = another();
  message(ErrorKind::data, [&] { back_up(path_, location_); });
  message(ErrorKind::io, [&] { Ledger::open_existing(location_); });
}

}  // namespace
}  // namespace sotto::accountants
