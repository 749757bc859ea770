#pragma once
#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace sotto {

using Digest = std::array<uint8_t, 32>;

// SHA-256 (FIPS 180-4) of the bytes; of a file's content, read in blocks. Throws io when the file cannot be read.
Digest sha256(std::string_view bytes);
Digest sha256_file(const std::filesystem::path& path);

// BLAKE2b-256 with a key (RFC 7693): a commitment that nobody without the key can test guesses against.
Digest keyed_hash(const std::array<uint8_t, 32>& key, std::string_view bytes);

std::string to_hex(const uint8_t* bytes, size_t size);
inline std::string to_hex(const Digest& digest) {
  return to_hex(digest.data(), digest.size());
}

}  // namespace sotto
