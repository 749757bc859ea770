#pragma once
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "accountants/calibrate.h"
#include "accountants/ledger.h"
#include "base/error.h"

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

  std::filesystem::path folder_, path_;
};

}  // namespace sotto::accountants
