#include "base/hash.h"

#include <gtest/gtest.h>
#include <sodium.h>

#include <thread>

#include "base/atomic_file.h"
#include "base/error.h"

namespace sotto {
namespace {

// FIPS 180-4, examples of NIST's cryptographic toolkit.
TEST(Hash, Sha256EqualsTheStandardsExamples) {
  EXPECT_EQ(to_hex(sha256("")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(to_hex(sha256("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(to_hex(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(to_hex(sha256(std::string(1000000, 'a'))),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

// One context a thread is used again and again: nothing of the last text may be left in it.
TEST(Hash, Sha256EqualsLibsodiumsAtEveryLengthOnEveryThread) {
  const auto compare = [] {
    std::string text;
    for (int length = 0; length <= 300; ++length, text += static_cast<char>(7 * length)) {
      Digest expected;
      crypto_hash_sha256(expected.data(), reinterpret_cast<const uint8_t*>(text.data()), text.size());
      EXPECT_EQ(sha256(text), expected) << length;
    }
  };
  std::thread first(compare), second(compare);
  compare();
  first.join();
  second.join();
}

TEST(Hash, FileHashIsThatOfItsBytes) {
  const std::string path = testing::TempDir() + "hash_test.bin";
  for (const size_t size : {0, 1, 65535, 65536, 65537, 200000}) {  // around the block that is read at once
    const std::string content(size, 'x');
    write_file(path, content);
    EXPECT_EQ(sha256_file(path), sha256(content)) << size;
  }
  EXPECT_THROW(sha256_file("/nowhere/at/all"), Error);
}

// RFC 7693 with the key 00 01 … 1f; the values come from Python's hashlib.blake2b.
TEST(Hash, KeyedHashEqualsBlake2b) {
  std::array<uint8_t, 32> key;
  for (size_t i = 0; i < key.size(); ++i) key[i] = static_cast<uint8_t>(i);
  EXPECT_EQ(to_hex(keyed_hash(key, "")), "4e51e7a913fc80137da52880fecca175bf81e117d5c68126dc2774033517ea0d");
  EXPECT_EQ(to_hex(keyed_hash(key, "abc")), "d63a32d3e44738d7907f964316c241adaba0abfeabc32349677578a15a203f7f");
  key[31] ^= 1;
  EXPECT_NE(to_hex(keyed_hash(key, "abc")), "d63a32d3e44738d7907f964316c241adaba0abfeabc32349677578a15a203f7f");
}

TEST(Hash, HexIsLowerCaseTwoDigitsAByte) {
  const uint8_t bytes[] = {0x00, 0x0f, 0xa0, 0xff};
  EXPECT_EQ(to_hex(bytes, 4), "000fa0ff");
}

}  // namespace
}  // namespace sotto
