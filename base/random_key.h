#pragma once
#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace sotto {

// What a stream of random numbers is for. Streams of different purposes never overlap.
// The 128 numbers from lattice_noise on are its attempts.
enum class Purpose : uint8_t {
  sampling = 1,
  noise = 2,
  initialisation = 3,
  dropout = 4,
  clip_quantile = 5,
  lattice_noise = 128
};

// What turns a key and a position into random words. philox (Philox4x32-10) is faster and for Gaussian noise alone; it
// is no cipher: who sees some of its words can find the 64 bits of the key that it uses, and with them all the others.
enum class Generator : uint32_t { chacha20, philox };

// One stream of random numbers. For ChaCha20 (RFC 8439) a 256-bit key and a 96-bit nonce; the 32-bit block counter is
// the position inside. Philox takes the key's first two words. A plain value, so that a kernel can take it.
struct StreamKey {
  uint32_t key[8];
  uint32_t nonce[3];
  Generator generator = Generator::chacha20;
};

// The secret from which every random choice of a run is derived. Who holds it can subtract the noise.
class RunKey {
 public:
  static RunKey from_os();                 // getrandom(2)
  static RunKey from_seed(uint64_t seed);  // reproducible, therefore unsafe: marks the certificate "fixed_seed"
  static RunKey from_hex(const std::string& digits);  // 64 hexadecimal digits; throws invalid_argument for anything else
  // Reads or writes 64 hexadecimal digits, mode 0600. read() throws io when the file is missing or malformed.
  static RunKey read(const std::filesystem::path& path);
  void write(const std::filesystem::path& path) const;
  // A name for the key that does not reveal it: BLAKE2b of the key, 16 hexadecimal digits.
  std::string id() const;
  // The stream of (purpose, step, tensor). Distinct triples give distinct nonces; tensor < 2^24.
  StreamKey stream(Purpose purpose, uint64_t step, uint32_t tensor = 0,
                   Generator generator = Generator::chacha20) const;
  // A commitment to `bytes` that only the key's holder can check.
  std::string commit(const std::string& bytes) const;

 private:
  explicit RunKey(const std::array<uint8_t, 32>& bytes) : bytes_(bytes) {}
  std::array<uint8_t, 32> bytes_;
};

// The first `count` 64-bit words of a stream, little-endian. Throws invalid_argument for one of Philox.
void fill_words(const StreamKey& stream, uint64_t* words, int64_t count);

// Overwrites a file with zeros, syncs and removes it. On copy-on-write or journaling media old blocks may survive.
void destroy_file(const std::filesystem::path& path);

}  // namespace sotto
