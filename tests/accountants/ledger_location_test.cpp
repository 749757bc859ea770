#include "accountants/ledger/location.h"

#include <gtest/gtest.h>

#include "accountants/ledger/backend.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

std::string refusal(const std::string& text) {
  try {
    LedgerLocation::parse(text);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::configuration) << text;
    return error.what();
  }
  ADD_FAILURE() << text << " was taken";
  return "";
}

TEST(LedgerLocationTest, WaitsForOthersHalfAMinuteOrAsLongAsItIsTold) {
  using std::chrono::milliseconds;
  for (const char* text : {"ledger.sqlite", "postgresql://db.clinic/privacy"}) {
    const LedgerLocation location = LedgerLocation::parse(text);
    EXPECT_EQ(location.patience(), std::chrono::seconds(30));
    EXPECT_EQ(location.waiting(milliseconds(1)).patience(), milliseconds(1));
    EXPECT_EQ(location.waiting(milliseconds(1)).text(), location.text());
    for (const milliseconds wrong : {milliseconds(0), milliseconds(-1), milliseconds(int64_t{1} << 31)})
      EXPECT_THROW(location.waiting(wrong), Error) << wrong.count();
  }
}

TEST(LedgerLocationTest, WhatIsNoServerIsAPathAsItIs) {
  for (const std::string path : {"ledger.sqlite", "/a//b/ledger", "runs/a:b/ledger.sqlite", "./x?y=1&z", "a@b/c"}) {
    const LedgerLocation location = LedgerLocation::parse(path);
    EXPECT_FALSE(location.on_server()) << path;
    EXPECT_EQ(location.file().string(), path);
    EXPECT_EQ(location.text(), path);
  }
}

TEST(LedgerLocationTest, AServersLocationIsShownWithoutWhoConnectsAndHow) {
  struct Case {
    std::string text, shown, connection, schema;
  };
  const Case cases[] = {
      {"postgresql://db.clinic:5433/privacy", "postgresql://db.clinic:5433/privacy",
       "postgresql://db.clinic:5433/privacy", "sotto_ledger"},
      {"postgres://ann@db.clinic/privacy?sslmode=verify-full", "postgresql://db.clinic/privacy",
       "postgresql://ann@db.clinic/privacy?sslmode=verify-full", "sotto_ledger"},
      {"postgresql://ann@/privacy?host=/run/postgresql&schema=oncology&passfile=/home/ann/.pgpass",
       "postgresql:///privacy?host=/run/postgresql&schema=oncology",
       "postgresql://ann@/privacy?host=/run/postgresql&passfile=/home/ann/.pgpass", "oncology"},
      {"postgresql://a,[::1]:5432/x?user=ann&target_session_attrs=read-write", "postgresql://a,[::1]:5432/x",
       "postgresql://a,[::1]:5432/x?user=ann&target_session_attrs=read-write", "sotto_ledger"},
      {"postgresql:///x?schema=sotto_ledger", "postgresql:///x", "postgresql:///x", "sotto_ledger"},
  };
  for (const Case& each : cases) {
    const LedgerLocation location = LedgerLocation::parse(each.text);
    EXPECT_TRUE(location.on_server());
    EXPECT_EQ(location.text(), each.shown);
    EXPECT_EQ(location.connection(), each.connection);
    EXPECT_EQ(location.schema(), each.schema);
    EXPECT_TRUE(location.file().empty());
    EXPECT_EQ(LedgerLocation::parse(location.text()).text(), each.shown) << "what is shown can be used";
  }
}

TEST(LedgerLocationTest, APasswordIsRefusedWhereverItHidesAndNotRepeated) {
  for (const std::string text :
       {"postgresql://ann:hunter2@db/x", "postgres://ann:hunter2@db", "postgresql://ann:hun/ter2@db/x",
        "postgresql://:hunter2@db/x", "postgresql://db/x?password=hunter2", "postgresql://db/x?a=1&password=hunter2",
        "postgresql://db/x?%70assword=hunter2", "postgresql://db/x?pass%77ord=hunter2",
        "postgresql://db/x?sslpassword=hunter2", "postgresql://ann:hunter2", "postgresql://ann@hunter2@db/x"}) {
    const std::string why = refusal(text);
    EXPECT_EQ(why.find("hunter2"), std::string::npos) << why;
    EXPECT_EQ(why.find("hun"), std::string::npos) << why;
  }
  EXPECT_NE(refusal("postgresql://ann:hunter2@db/x").find("~/.pgpass"), std::string::npos) << "the way out";
}

TEST(LedgerLocationTest, WhatCannotBeMeantIsRefusedWithTheWayOut) {
  EXPECT_NE(refusal("postgresql:/db/x").find("two slashes"), std::string::npos) << "as a tidied path would be";
  EXPECT_NE(refusal("mysql://db/x").find("not mysql://"), std::string::npos);
  EXPECT_NE(refusal("https://db/x").find("not https://"), std::string::npos);
  EXPECT_NE(refusal("").find("empty"), std::string::npos);
  for (const std::string schema : {"", "Big", "a-b", "1st", "a\"; DROP TABLE entry; --", "pg_own", "é"})
    refusal("postgresql://db/x?schema=" + schema);
  refusal("postgresql://db/x?schema=" + std::string(64, 'a'));
  EXPECT_EQ(LedgerLocation::parse("postgresql://db/x?schema=" + std::string(63, 'a')).schema().size(), 63u);
}

TEST(LedgerLocationTest, ABuildWithoutPostgresSaysSoAndHowToGetIt) {
  if (has_postgres()) GTEST_SKIP() << "this build has PostgreSQL";
  const LedgerLocation location = LedgerLocation::parse("postgresql://ann@db/x");
  try {
    open_backend(location);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::configuration);
    const std::string why = error.what();
    EXPECT_NE(why.find("cannot open postgresql://db/x: this sotto was built without PostgreSQL"), std::string::npos);
    EXPECT_NE(why.find("libpq-dev"), std::string::npos) << "the way out";
  }
}

}  // namespace
}  // namespace sotto::accountants
