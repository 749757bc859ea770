#include "base/atomic_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "base/error.h"
#include "base/fault_point.h"

namespace sotto {
namespace {

class AtomicFile : public testing::Test {
 protected:
  void SetUp() override {
    folder = testing::TempDir() + "atomic_file_" + std::to_string(::getpid());
    std::filesystem::remove_all(folder);
    make_folder(folder);
    path = folder / "file.txt";
  }
  void TearDown() override { std::filesystem::remove_all(folder); }
  std::filesystem::path folder, path;
};

unsigned mode_of(const std::filesystem::path& path) {
  struct stat status;
  EXPECT_EQ(::stat(path.c_str(), &status), 0);
  return status.st_mode & 0777;
}

// Runs `work` in a child that is told to die at `point`; returns how it ended.
template <class Work>
int status_of_child(const char* point, const Work& work) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::setenv("SOTTO_FAULT_POINT", point, 1);
    work();
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return status;
}

TEST_F(AtomicFile, WritesReplaceTheWholeFile) {
  const std::string binary("a\0b\r\n\xff", 6);
  write_file(path, std::string(100000, 'x'));
  write_file(path, binary);
  EXPECT_EQ(read_file(path), binary);
  write_file(path, "");
  EXPECT_EQ(read_file(path), "");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder), {}), 1);  // nothing is left beside it
}

TEST_F(AtomicFile, ModeIsTheOneAskedFor) {
  ::umask(022);
  write_file(path, "secret", 0600);
  EXPECT_EQ(mode_of(path), 0600u);
  make_folder(folder / "a" / "b", 0700);
  EXPECT_EQ(mode_of(folder / "a" / "b"), 0700u);
  EXPECT_NO_THROW(make_folder(folder / "a" / "b", 0700));
}

TEST_F(AtomicFile, KillBeforeTheRenameLeavesTheOldFile) {
  write_file(path, "old");
  const int status = status_of_child("write_file.before_rename:1", [&] { write_file(path, "new"); });
  ASSERT_TRUE(WIFSIGNALED(status));  // the kill did happen
  EXPECT_EQ(WTERMSIG(status), SIGKILL);
  EXPECT_EQ(read_file(path), "old");
  write_file(path, "newer");  // what the dead one left beside is in nobody's way
  EXPECT_EQ(read_file(path), "newer");
}

TEST_F(AtomicFile, KillAfterTheRenameLeavesTheNewFile) {
  write_file(path, "old");
  const int status = status_of_child("write_file.after_rename:1", [&] { write_file(path, "new"); });
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(read_file(path), "new");
}

TEST_F(AtomicFile, FaultPointKillsAtTheArrivalItNames) {
  const auto arrive = [&](const char* plan, const char* name) {
    return status_of_child(plan, [&] {
      for (int i = 1; i <= 3; ++i) append_line(path, std::to_string(i)), fault_point(name);
    });
  };
  EXPECT_TRUE(WIFSIGNALED(arrive("here:2", "here")));
  EXPECT_EQ(read_file(path), "1\n2\n");
  EXPECT_FALSE(WIFSIGNALED(arrive("here:4", "here")));
  EXPECT_FALSE(WIFSIGNALED(arrive("there:1", "here")));
}

TEST_F(AtomicFile, AppendedLinesFollowEachOther) {
  append_line(path, "{\"a\":1}");
  append_line(path, "");
  append_line(path, "{}");
  EXPECT_EQ(read_file(path), "{\"a\":1}\n\n{}\n");
}

TEST_F(AtomicFile, FailuresNameThePath) {
  const auto message = [](const auto& call) -> std::string {
    try {
      call();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::io);
      return error.what();
    }
    return "";
  };
  const std::filesystem::path nowhere = folder / "none" / "x";
  EXPECT_NE(message([&] { write_file(nowhere, "x"); }).find(nowhere.string()), std::string::npos);
  EXPECT_NE(message([&] { append_line(nowhere, "x"); }).find(nowhere.string()), std::string::npos);
  EXPECT_NE(message([&] { read_file(nowhere); }).find("No such file"), std::string::npos);
  EXPECT_NE(message([&] { read_file(folder); }), "");
  write_file(path, "x");
  EXPECT_NE(message([&] { make_folder(path / "below"); }), "");
}

}  // namespace
}  // namespace sotto
