#include "base/random_key.h"

#include <fcntl.h>
#include <sodium.h>
#include <unistd.h>

#include <cstring>
#include <fstream>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/hash.h"

namespace sotto {

RunKey RunKey::from_os() {
  if (sodium_init() < 0) throw Error(ErrorKind::internal, "the operating system's random generator is not available");
  std::array<uint8_t, 32> bytes;
  randombytes_buf(bytes.data(), bytes.size());
  return RunKey(bytes);
}

RunKey RunKey::from_seed(uint64_t seed) {
  return RunKey(sha256(cat("sotto fixed seed ", seed)));
}

namespace {

bool is_key(const std::string& digits, std::array<uint8_t, 32>& bytes) {
  size_t size = 0;
  return sodium_hex2bin(bytes.data(), bytes.size(), digits.data(), digits.size(), nullptr, &size, nullptr) == 0 &&
         size == bytes.size();
}

}  // namespace

RunKey RunKey::from_hex(const std::string& digits) {
  std::array<uint8_t, 32> bytes;
  // The digits are secret: they do not go into a message.
  require(is_key(digits, bytes), "a key has 64 hexadecimal digits, got ", digits.size(), " characters");
  return RunKey(bytes);
}

RunKey RunKey::read(const std::filesystem::path& path) {
  std::ifstream in(path);
  std::string text;
  std::array<uint8_t, 32> bytes;
  if (!(in >> text) || !is_key(text, bytes))
    throw Error(ErrorKind::io, cat("no run key in ", path.string(), " (64 hexadecimal digits)"));
  return RunKey(bytes);
}

void RunKey::write(const std::filesystem::path& path) const {
  write_file(path, to_hex(bytes_.data(), bytes_.size()) + "\n", 0600);
}

std::string RunKey::id() const {
  return to_hex(keyed_hash(bytes_, "sotto run key id")).substr(0, 16);
}

StreamKey RunKey::stream(Purpose purpose, uint64_t step, uint32_t tensor, Generator generator) const {
  require(tensor < (1u << 24), "a run has at most 2^24 tensors, got tensor ", tensor);
  StreamKey stream;
  std::memcpy(stream.key, bytes_.data(), sizeof stream.key);
  stream.nonce[0] = static_cast<uint32_t>(purpose) | tensor << 8;
  stream.nonce[1] = static_cast<uint32_t>(step);
  stream.nonce[2] = static_cast<uint32_t>(step >> 32);
  stream.generator = generator;
  return stream;
}

std::string RunKey::commit(const std::string& bytes) const {
  return to_hex(keyed_hash(bytes_, bytes));
}

void fill_words(const StreamKey& stream, uint64_t* words, int64_t count) {
  require(stream.generator == Generator::chacha20, "words are drawn from ChaCha20; Philox is for Gaussian noise alone");
  if (count == 0) return;
  const auto* nonce = reinterpret_cast<const uint8_t*>(stream.nonce);
  const auto* key = reinterpret_cast<const uint8_t*>(stream.key);
  crypto_stream_chacha20_ietf(reinterpret_cast<uint8_t*>(words), static_cast<size_t>(count) * sizeof(uint64_t), nonce,
                              key);
}

void destroy_file(const std::filesystem::path& path) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (file < 0) return;
  const std::string zeros(static_cast<size_t>(std::filesystem::file_size(path)), '0');
  const bool written = ::write(file, zeros.data(), zeros.size()) == static_cast<ssize_t>(zeros.size());
  const bool synced = ::fsync(file) == 0;
  ::close(file);
  std::filesystem::remove(path);
  if (!written || !synced)
    throw Error(ErrorKind::io, cat("could not overwrite ", path.string(), " before removing it"));
}

}  // namespace sotto
