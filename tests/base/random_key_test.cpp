#include "base/random_key.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <bit>
#include <fstream>
#include <set>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/hash.h"

namespace sotto {
namespace {

std::string temporary(const char* name) {
  return testing::TempDir() + name;
}

std::vector<uint64_t> words(const StreamKey& stream, int64_t count = 4) {
  std::vector<uint64_t> out(static_cast<size_t>(count));
  fill_words(stream, out.data(), count);
  return out;
}

// RFC 8439, appendix A.1, test vectors 1 and 2: the zero key and nonce at block counters 0 and 1.
TEST(RandomKey, WordsAreTheStandardsChaCha20) {
  const StreamKey zero = {};
  const std::vector<uint64_t> out = words(zero, 16);
  EXPECT_EQ(to_hex(reinterpret_cast<const uint8_t*>(out.data()), 128),
            "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"
            "da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586"
            "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed"
            "29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f");
}

TEST(RandomKey, FileIsReadableByItsOwnerOnlyAndReadsBack) {
  const std::string path = temporary("run.key");
  std::filesystem::remove(path);
  const RunKey key = RunKey::from_os();
  key.write(path);
  struct stat status;
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  const RunKey again = RunKey::read(path);
  EXPECT_EQ(again.id(), key.id());
  EXPECT_EQ(words(again.stream(Purpose::noise, 3)), words(key.stream(Purpose::noise, 3)));
}

TEST(RandomKey, DigitsAndFileAreTheSameKey) {
  const auto path = std::filesystem::temp_directory_path() / cat("sotto_hex_key_", ::getpid());
  const std::string digits = "00112233445566778899aabbccddeeff102132435465768798a9bacbdcedfe0f";
  RunKey::from_hex(digits).write(path);
  std::string written;
  std::ifstream(path) >> written;
  EXPECT_EQ(written, digits);
  EXPECT_EQ(RunKey::read(path).id(), RunKey::from_hex(digits).id());
  std::filesystem::remove(path);
  for (const std::string wrong : {"", "0011", "zz112233445566778899aabbccddeeff102132435465768798a9bacbdcedfe0f"})
    EXPECT_THROW(RunKey::from_hex(wrong), Error);
  EXPECT_THROW(RunKey::from_hex(digits + "00"), Error);
}

TEST(RandomKey, MalformedKeyFilesAreRefused) {
  const std::string path = temporary("bad.key");
  const std::string digits(64, 'a');
  for (const std::string& text :
       {std::string(), digits.substr(1), digits + "aa", "g" + digits.substr(1), std::string("\n")}) {
    write_file(path, text);
    EXPECT_THROW(RunKey::read(path), Error) << text;
  }
  EXPECT_THROW(RunKey::read(temporary("no.key")), Error);
  write_file(path, digits);
  EXPECT_NO_THROW(RunKey::read(path));
}

TEST(RandomKey, EveryStreamIsDistinct) {
  const RunKey key = RunKey::from_seed(1);
  std::set<std::vector<uint64_t>> seen;
  size_t streams = 0;
  for (const Purpose purpose : {Purpose::sampling, Purpose::noise, Purpose::initialisation, Purpose::dropout})
    for (const uint64_t step : {0ull, 1ull, 255ull, 256ull, 1ull << 24, 1ull << 32, (1ull << 32) + 1, ~0ull})
      for (const uint32_t tensor : {0u, 1u, 255u, 256u, (1u << 24) - 1}) {
        seen.insert(words(key.stream(purpose, step, tensor)));
        ++streams;
      }
  EXPECT_EQ(seen.size(), streams);
  EXPECT_THROW(key.stream(Purpose::noise, 0, 1u << 24), Error);  // its nonce would be another tensor's
}

TEST(RandomKey, StreamDependsOnNothingButKeyAndPlace) {
  EXPECT_EQ(words(RunKey::from_seed(5).stream(Purpose::noise, 7, 2)),
            words(RunKey::from_seed(5).stream(Purpose::noise, 7, 2)));
  EXPECT_NE(words(RunKey::from_seed(5).stream(Purpose::noise, 7, 2)),
            words(RunKey::from_seed(6).stream(Purpose::noise, 7, 2)));
  const std::vector<uint64_t> many = words(RunKey::from_seed(5).stream(Purpose::noise, 7, 2), 100);
  EXPECT_EQ(words(RunKey::from_seed(5).stream(Purpose::noise, 7, 2), 3),
            std::vector<uint64_t>(many.begin(), many.begin() + 3));
}

TEST(RandomKey, AStreamOfPhiloxHasTheSameKeyAndNonceAndNoWords) {
  const StreamKey one = RunKey::from_seed(5).stream(Purpose::noise, 7, 2);
  const StreamKey other = RunKey::from_seed(5).stream(Purpose::noise, 7, 2, Generator::philox);
  EXPECT_EQ(one.generator, Generator::chacha20);
  EXPECT_EQ(other.generator, Generator::philox);
  EXPECT_TRUE(std::equal(std::begin(one.key), std::end(one.key), other.key));
  EXPECT_TRUE(std::equal(std::begin(one.nonce), std::end(one.nonce), other.nonce));
  EXPECT_THROW(words(other), Error);  // sampling and initialisation never come from it
}

TEST(RandomKey, KeysOfTheOperatingSystemDiffer) {
  std::set<std::string> ids;
  for (int i = 0; i < 100; ++i) ids.insert(RunKey::from_os().id());
  EXPECT_EQ(ids.size(), 100u);
}

// 2 million bits of a fixed seed: the count of ones has σ = √(n)/2 ≈ 707; five σ would fail once in 1.7 million seeds.
TEST(RandomKey, BitsAreBalanced) {
  const std::vector<uint64_t> out = words(RunKey::from_seed(11).stream(Purpose::sampling, 0), 31250);
  int64_t ones = 0;
  for (const uint64_t word : out) ones += std::popcount(word);
  EXPECT_NEAR(static_cast<double>(ones), 1e6, 5 * 707.2);
}

TEST(RandomKey, IdAndCommitmentDoNotContainTheKey) {
  const std::string path = temporary("secret.key");
  const RunKey key = RunKey::from_seed(3);
  key.write(path);
  const std::string digits = read_file(path).substr(0, 64);
  EXPECT_EQ(key.id().size(), 16u);
  EXPECT_EQ(digits.find(key.id()), std::string::npos);
  EXPECT_NE(key.commit("data"), key.commit("Data"));
  EXPECT_NE(key.commit("data"), RunKey::from_seed(4).commit("data"));
}

TEST(RandomKey, DestroyedFileIsGone) {
  const std::string path = temporary("destroy.key");
  RunKey::from_os().write(path);
  destroy_file(path);
  EXPECT_FALSE(std::filesystem::exists(path));
  EXPECT_NO_THROW(destroy_file(path));  // already gone
}

}  // namespace
}  // namespace sotto
