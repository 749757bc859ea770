#pragma once
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "accountants/calibrate.h"
#include "accountants/ledger.h"
#include "accountants/ledger/backend.h"
#include "base/error.h"
#include "tests/accountants/postgres_server.h"

namespace sotto::accountants {

inline RunEntry entry_of(const std::string& run_id) {
  return {.run_id = run_id,
          .who = "auditor@clinic",
          .data_set = "diabetes130",
          .data_hash = "aa11",
          .unit_of_privacy = "patient_nbr",
          .relation = NeighbouringRelation::add_remove,
          .accountant = "rdp",
          .privacy_hash = "bb22",
          .event = {PoissonSampledGaussian{1.0, 0.01}},
          .epsilon_cap = 2.0,
          .delta = 1e-5,
          .planned_steps = 100000};
}

// A folder that goes away with the test.
class LedgerTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/sotto_ledger_XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    folder_ = name;
    path_ = folder_ / "ledger.sqlite";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  // The message of the Error of that kind; a failure when there is none.
  template <class Action>
  static std::string message(ErrorKind kind, const Action& action) {
    try {
      action();
    } catch (const Error& error) {
      EXPECT_EQ(static_cast<int>(error.kind()), static_cast<int>(kind)) << error.what();
      return error.what();
    }
    ADD_FAILURE() << "nothing was thrown";
    return "";
  }

  // Runs SQL on the file as an attacker who owns it would, behind the program's back.
  static void tamper(const std::filesystem::path& path, const std::string& sql) {
    sqlite3* handle = nullptr;
    ASSERT_EQ(sqlite3_open(path.c_str(), &handle), SQLITE_OK);
    char* reason = nullptr;
    EXPECT_EQ(sqlite3_exec(handle, sql.c_str(), nullptr, nullptr, &reason), SQLITE_OK)
        << sql << ": " << (reason ? reason : "");
    sqlite3_free(reason);
    sqlite3_close(handle);
  }

  static std::vector<std::pair<std::string, std::string>> triggers_of(const std::filesystem::path& path) {
    std::vector<std::pair<std::string, std::string>> found;
    sqlite3* handle = nullptr;
    sqlite3_open(path.c_str(), &handle);
    sqlite3_exec(
        handle, "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'",
        [](void* list, int, char** values, char**) {
          static_cast<decltype(found)*>(list)->emplace_back(values[0], values[1]);
          return 0;
        },
        &found, nullptr);
    sqlite3_close(handle);
    return found;
  }

  // The same with the triggers out of the way, and back in their place afterwards.
  static void tamper_past_triggers(const std::filesystem::path& path, const std::string& sql) {
    std::string drop, restore;
    for (const auto& [name, text] : triggers_of(path)) {
      drop += "DROP TRIGGER " + name + ";";
      restore += text + ";";
    }
    tamper(path, drop + sql + ";" + restore);
  }

  std::filesystem::path folder_, path_;
};

// The same on each backend: an SQLite file, and a real PostgreSQL server where there is one.
class LedgerOnEachBackend : public LedgerTest, public testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    LedgerTest::SetUp();
    location_ = path_;
    if (std::string(GetParam()) == "sqlite") return;
    if (!has_postgres()) GTEST_SKIP() << "this build has no PostgreSQL (Debian: libpq-dev)";
    PostgresServer* server = PostgresServer::shared();
    if (!server) GTEST_SKIP() << PostgresServer::why();
    location_ = another();
  }

  // A place of the same kind where no ledger is.
  LedgerLocation another() {
    if (std::string(GetParam()) == "sqlite") return folder_ / ("other" + std::to_string(++others_) + ".sqlite");
    return PostgresServer::shared()->fresh();
  }

  // Runs SQL on the ledger with the triggers out of the way, as who owns the tables can.
  void tamper_quietly(const std::string& sql) {
    if (location_.on_server()) {
      std::string off = "SET search_path TO " + location_.schema() + ";", on;
      for (const auto& [table, triggers] : {std::pair{"entry", std::vector{"in_order", "no_change"}},
                                            {"signature", std::vector{"signed_in_order", "no_signature_change"}}})
        for (const char* trigger : triggers) {
          off += std::string("ALTER TABLE ") + table + " DISABLE TRIGGER " + trigger + ";";
          on += std::string("ALTER TABLE ") + table + " ENABLE ALWAYS TRIGGER " + trigger + ";";
        }
      EXPECT_EQ(PostgresServer::shared()->sql(off + sql + ";" + on), "");
      return;
    }
    tamper_past_triggers(path_, sql);
  }

  LedgerLocation location_;

 private:
  int others_ = 0;
};

inline std::string backend_name(const testing::TestParamInfo<const char*>& info) {
  return info.param;
}

}  // namespace sotto::accountants
