#include "base/error.h"

#include <gtest/gtest.h>

namespace sotto {
namespace {

TEST(Error, ExitCodesAreThePublishedOnes) {
  EXPECT_EQ(exit_code(ErrorKind::invalid_argument), 2);
  EXPECT_EQ(exit_code(ErrorKind::configuration), 2);
  EXPECT_EQ(exit_code(ErrorKind::budget_exhausted), 3);
  EXPECT_EQ(exit_code(ErrorKind::interrupted), 130);
  for (const ErrorKind kind : {ErrorKind::data, ErrorKind::io, ErrorKind::cuda, ErrorKind::internal})
    EXPECT_EQ(exit_code(kind), 1);
}

TEST(Error, RequireThrowsWithMessageAndThrowersPlace) {
  EXPECT_NO_THROW(require(true, "fine"));
  const unsigned line = __LINE__ + 2;
  try {
    require(false, cat("need a norm a row: ", 3, " norms for ", 4, " rows"));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::invalid_argument);
    EXPECT_STREQ(error.what(), "need a norm a row: 3 norms for 4 rows");
    EXPECT_EQ(error.place().line(), line);
    EXPECT_NE(std::string(error.place().file_name()).find("error_test.cpp"), std::string::npos);
  }
}

}  // namespace
}  // namespace sotto
