#pragma once
#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace sotto::accountants {

// An Ed25519 key pair (RFC 8032) with which a member signs rows. The secret half leaves this class only for its file,
// which nobody but its owner may read; no message ever shows it.
class SigningKey {
 public:
  static SigningKey generate();  // from the operating system's random generator
  // Throws io when the file cannot be read or others may read or change it, data when it holds no key.
  static SigningKey read(const std::filesystem::path& path);
  // Mode 0600, and the public half beside it as PATH.pub. Throws io when one of the files is already there.
  void write(const std::filesystem::path& path) const;

  SigningKey(const SigningKey&) = default;
  SigningKey& operator=(const SigningKey&) = default;
  ~SigningKey();  // wipes the secret

  const std::string& public_key() const { return public_key_; }  // 64 hexadecimal digits
  std::string id() const;
  std::string sign(std::string_view message) const;  // 128 hexadecimal digits

 private:
  explicit SigningKey(const std::array<uint8_t, 32>& seed);
  std::array<uint8_t, 64> secret_;
  std::string public_key_;
};

// A short name for a public key: the first 16 digits of its SHA-256. Throws invalid_argument unless the key has 64
// hexadecimal digits in lower case.
std::string key_id(const std::string& public_key);

// Reads what write() put into PATH.pub. Throws io or data.
std::string read_public_key(const std::filesystem::path& path);

// False for anything that is not this key's signature of this message, malformed texts included.
bool signature_holds(const std::string& public_key, std::string_view message, std::string_view signature);

}  // namespace sotto::accountants
