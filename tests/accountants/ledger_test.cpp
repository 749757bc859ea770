#include "accountants/ledger.h"

#include <sys/stat.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/accountants/ledger_child.h"
#include "tests/accountants/ledger_fixture.h"

namespace sotto::accountants {
namespace {

TEST_F(LedgerTest, OnlyItsOwnerCanReadIt) {
  Ledger ledger = Ledger::open(path_);
  ledger.reserve(entry_of("a"));
  for (const auto& file : std::filesystem::directory_iterator(folder_)) {
    struct stat info {};
    ASSERT_EQ(stat(file.path().c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600u) << file.path();
  }
}

TEST_F(LedgerTest, WhatIsNoLedgerIsRefusedAndUntouched) {
  const auto refused = [&](const std::string& content) {
    std::ofstream(path_, std::ios::binary) << content;
    const std::string why = message(ErrorKind::data, [&] { Ledger::open(path_); });
    EXPECT_NE(why.find(path_.string()), std::string::npos) << why;
    message(ErrorKind::data, [&] { Ledger::verify(path_); });
    std::ifstream in(path_, std::ios::binary);
    EXPECT_EQ(std::string(std::istreambuf_iterator<char>(in), {}), content);
    std::filesystem::remove(path_);
    return why;
  };
  EXPECT_NE(refused("these are the notes of the last meeting, not a database\n").find("not a ledger"),
            std::string::npos);
  EXPECT_NE(refused("").find("is empty"), std::string::npos) << "a ledger cut to nothing must not become a new one";
  tamper(path_, "CREATE TABLE t (x)");
  EXPECT_NE(message(ErrorKind::data, [&] { Ledger::open(path_); }).find("not a ledger"), std::string::npos);
}

TEST_F(LedgerTest, PathsThatCannotWorkSayWhy) {
  EXPECT_NE(message(ErrorKind::io, [&] { Ledger::open(folder_); }).find("is not a file"), std::string::npos);
  EXPECT_NE(message(ErrorKind::io, [&] { Ledger::open(folder_ / "none" / "ledger"); }).find("No such file"),
            std::string::npos);
  EXPECT_NE(message(ErrorKind::io, [&] { Ledger::open(std::filesystem::path("/proc/ledger.sqlite")); })
                .find("/proc/ledger.sqlite"),
            std::string::npos)
      << "not even root may write there";
  message(ErrorKind::io, [&] { Ledger::open_existing(path_); });
  message(ErrorKind::io, [&] { Ledger::verify(path_); });
  EXPECT_TRUE(std::filesystem::is_empty(folder_)) << "nothing may be left behind";
}

TEST_F(LedgerTest, ALogWithoutItsLedgerIsNotStartedAfresh) {
  std::ofstream(path_.string() + "-wal") << "log";
  EXPECT_NE(message(ErrorKind::io, [&] { Ledger::open(path_); }).find("is gone"), std::string::npos);
}

TEST_F(LedgerTest, AReadOnlyFolderIsReportedAndStillVerified) {
  Ledger::open(path_).reserve(entry_of("a"));
  std::filesystem::permissions(path_, std::filesystem::perms(0444));
  std::filesystem::permissions(folder_, std::filesystem::perms(0555));
  for (const auto& [verb, path] : {std::pair{"create", path_}, {"create", folder_ / "new"}}) {
    const Ended ended = wait_for(start_child({"as_nobody", path, verb}));
    EXPECT_EQ(ended.code, 1);
    EXPECT_NE(ended.err.find(path.string()), std::string::npos) << ended.err;
    EXPECT_NE(ended.err.find("ledger.path"), std::string::npos) << "the way out: " << ended.err;
  }
  const Ended ended = wait_for(start_child({"as_nobody", path_, "verify"}));
  EXPECT_EQ(ended.code, 0) << ended.err;
  std::filesystem::permissions(folder_, std::filesystem::perms(0755));
}

TEST_F(LedgerTest, ANewerFormatIsRefused) {
  Ledger::open(path_);
  tamper(path_, "PRAGMA user_version = 3");
  EXPECT_NE(message(ErrorKind::data, [&] { Ledger::open(path_); }).find("use a newer sotto"), std::string::npos);
}

TEST_F(LedgerTest, TheDatabaseItselfRefusesToForget) {
  Ledger::open(path_).reserve(entry_of("a"));
  sqlite3* handle = nullptr;
  ASSERT_EQ(sqlite3_open(path_.c_str(), &handle), SQLITE_OK);
  for (const char* sql : {"DELETE FROM entry WHERE id = 2", "UPDATE entry SET hash = 'x' WHERE id = 2",
                          "INSERT OR REPLACE INTO entry (id, payload, hash) VALUES (2, '{\"id\":2}', 'x')",
                          "INSERT INTO entry (id, payload, hash) VALUES (9, '{\"id\":9}', 'x')"})
    EXPECT_EQ(sqlite3_exec(handle, sql, nullptr, nullptr, nullptr), SQLITE_CONSTRAINT) << sql;
  sqlite3_close(handle);
  EXPECT_TRUE(Ledger::verify(path_).ok);
}

}  // namespace
}  // namespace sotto::accountants
