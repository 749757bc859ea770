#include "base/hash.h"

#include <openssl/evp.h>
#include <sodium.h>

#include <fstream>
#include <memory>
#include <vector>

#include "base/error.h"

namespace sotto {
namespace {

// libcrypto's SHA-256 uses the processor's own instructions for it, libsodium's does not: a quarter of the time.
class Sha256 {
 public:
  Sha256() : context_(of_this_thread()) {
    check(EVP_DigestInit_ex2(context_, nullptr, nullptr));  // starts again with the same algorithm
  }
  void add(const void* bytes, size_t size) { check(EVP_DigestUpdate(context_, bytes, size)); }
  Digest end() {
    Digest out;
    check(EVP_DigestFinal_ex(context_, out.data(), nullptr));
    return out;
  }

 private:
  static void check(int result) {
    if (result != 1) throw Error(ErrorKind::internal, "libcrypto cannot compute SHA-256");
  }
  // Looking the algorithm up costs more than hashing a ledger's row.
  static EVP_MD_CTX* of_this_thread() {
    struct Free {
      void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
    };
    thread_local const std::unique_ptr<EVP_MD_CTX, Free> context = [] {
      std::unique_ptr<EVP_MD_CTX, Free> made(EVP_MD_CTX_new());
      check(made && EVP_DigestInit_ex2(made.get(), EVP_sha256(), nullptr) == 1);
      return made;
    }();
    return context.get();
  }
  EVP_MD_CTX* context_;
};

}  // namespace

Digest sha256(std::string_view bytes) {
  Sha256 hash;
  hash.add(bytes.data(), bytes.size());
  return hash.end();
}

Digest sha256_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in)
    throw Error(ErrorKind::io, cat("cannot read ", path.string(), "; check that the file exists and is readable"));
  Sha256 hash;
  std::vector<char> block(1 << 16);
  while (in.read(block.data(), static_cast<std::streamsize>(block.size())) || in.gcount() > 0)
    hash.add(block.data(), static_cast<size_t>(in.gcount()));
  return hash.end();
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
