#include "accountants/ledger/signing_key.h"

#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/hash.h"

namespace sotto::accountants {
namespace {

constexpr std::string_view kSecretTitle = "sotto ledger signing key, secret: ";
constexpr std::string_view kPublicTitle = "sotto ledger signing key, public: ";

void start_sodium() {
  if (sodium_init() < 0) throw Error(ErrorKind::internal, "the operating system's random generator is not available");
}

template <size_t N>
bool from_hex(std::string_view digits, std::array<uint8_t, N>& bytes) {
  size_t size = 0;
  for (const char c : digits)
    if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f')) return false;
  return sodium_hex2bin(bytes.data(), N, digits.data(), digits.size(), nullptr, &size, nullptr) == 0 && size == N;
}

// The digits after the title on the one line of a key file; empty where it is another file.
std::string_view digits_after(std::string_view text, std::string_view title) {
  if (!text.starts_with(title)) return {};
  text.remove_prefix(title.size());
  while (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  return text;
}

// Neither over another key nor through a link that somebody left there.
void write_new(const std::filesystem::path& path, const std::string& text, mode_t mode) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
  if (file < 0)
    throw Error(ErrorKind::io, cat("cannot write the key ", path.string(), ": ", std::strerror(errno),
                                   "; name a new file in a folder that is there"));
  const bool written = ::write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && fsync(file) == 0;
  const int reason = errno;
  ::close(file);
  if (written) return;
  ::unlink(path.c_str());
  throw Error(ErrorKind::io, cat("cannot write the key ", path.string(), ": ", std::strerror(reason)));
}

}  // namespace

SigningKey::SigningKey(const std::array<uint8_t, 32>& seed) {
  std::array<uint8_t, 32> open;
  crypto_sign_seed_keypair(open.data(), secret_.data(), seed.data());
  public_key_ = to_hex(open.data(), open.size());
}

SigningKey::~SigningKey() {
  sodium_memzero(secret_.data(), secret_.size());
}

SigningKey SigningKey::generate() {
  start_sodium();
  std::array<uint8_t, 32> seed;
  randombytes_buf(seed.data(), seed.size());
  SigningKey key(seed);
  sodium_memzero(seed.data(), seed.size());
  return key;
}

SigningKey SigningKey::read(const std::filesystem::path& path) {
  start_sodium();
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode))
    throw Error(ErrorKind::io, cat("there is no key file ", path.string(), "; make one with `sotto ledger key`"));
  if (info.st_mode & 077)
    throw Error(ErrorKind::io, cat("the key ", path.string(),
                                   " may be read by others; run chmod 600 on it, or make a "
                                   "new one if somebody did"));
  std::string text = read_file(path);
  std::array<uint8_t, 32> seed;
  const bool found = from_hex(digits_after(text, kSecretTitle), seed);
  sodium_memzero(text.data(), text.size());
  if (!found) throw Error(ErrorKind::data, cat(path.string(), " holds no signing key; was it the public half?"));
  SigningKey key(seed);
  sodium_memzero(seed.data(), seed.size());
  return key;
}

void SigningKey::write(const std::filesystem::path& path) const {
  std::string text = cat(kSecretTitle, to_hex(secret_.data(), 32), "\n");  // Ed25519 secrets begin with their seed
  const std::filesystem::path open_half = path.string() + ".pub";
  if (std::filesystem::exists(open_half))
    throw Error(ErrorKind::io, cat(open_half.string(), " is already there; name a new file"));
  write_new(path, text, 0600);
  sodium_memzero(text.data(), text.size());
  write_new(open_half, cat(kPublicTitle, public_key_, "\n"), 0644);
}

std::string SigningKey::id() const {
  return key_id(public_key_);
}

std::string SigningKey::sign(std::string_view message) const {
  std::array<uint8_t, crypto_sign_BYTES> signature;
  crypto_sign_detached(signature.data(), nullptr, reinterpret_cast<const uint8_t*>(message.data()), message.size(),
                       secret_.data());
  return to_hex(signature.data(), signature.size());
}

std::string key_id(const std::string& public_key) {
  std::array<uint8_t, 32> bytes;
  require(from_hex(public_key, bytes), "a public key has 64 hexadecimal digits, got \"", public_key, "\"");
  return to_hex(sha256(public_key)).substr(0, 16);
}

std::string read_public_key(const std::filesystem::path& path) {
  const std::string text = read_file(path);
  const std::string_view digits = digits_after(text, kPublicTitle);
  std::array<uint8_t, 32> bytes;
  if (!from_hex(digits, bytes))
    throw Error(ErrorKind::data, cat(path.string(), " holds no public key; name the .pub half of a key"));
  return std::string(digits);
}

bool signature_holds(const std::string& public_key, std::string_view message, std::string_view signature) {
  std::array<uint8_t, 32> key;
  std::array<uint8_t, crypto_sign_BYTES> bytes;
  if (!from_hex(public_key, key) || !from_hex(signature, bytes)) return false;
  return crypto_sign_verify_detached(bytes.data(), reinterpret_cast<const uint8_t*>(message.data()), message.size(),
                                     key.data()) == 0;
}

}  // namespace sotto::accountants
