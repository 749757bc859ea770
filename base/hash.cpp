#include "base/hash.h"

#include <sodium.h>

#include <fstream>
#include <vector>

#include "base/error.h"

namespace sotto {

Digest sha256(std::string_view bytes) {
  Digest out;
  crypto_hash_sha256(out.data(), reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  return out;
}

Digest sha256_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in)
    throw Error(ErrorKind::io, cat("cannot read ", path.string(), "; check that the file exists and is readable"));
  crypto_hash_sha256_state state;
  crypto_hash_sha256_init(&state);
  std::vector<char> block(1 << 16);
  while (in.read(block.data(), static_cast<std::streamsize>(block.size())) || in.gcount() > 0)
    crypto_hash_sha256_update(&state, reinterpret_cast<const uint8_t*>(block.data()), static_cast<size_t>(in.gcount()));
  Digest out;
  crypto_hash_sha256_final(&state, out.data());
  return out;
}

Digest keyed_hash(const std::array<uint8_t, 32>& key, std::string_view bytes) {
  Digest out;
  crypto_generichash(out.data(), out.size(), reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), key.data(),
                     key.size());
  return out;
}

std::string to_hex(const uint8_t* bytes, size_t size) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string text;
  for (size_t i = 0; i < size; ++i) {
    text += digits[bytes[i] >> 4];
    text += digits[bytes[i] & 15];
  }
  return text;
}

}  // namespace sotto
