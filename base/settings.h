#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace sotto {

// A TOML document read with types. Keys are dotted from here: "privacy.epsilon", "columns[2].name"; a part with other
// letters is quoted: `levels."250.83"`. Copies and sub-tables see the same document and the same record of what was
// asked. Every error is of kind configuration and says key, file and line. NaN and infinity are refused wherever they
// stand.
class Settings {
 public:
  static Settings parse_file(const std::filesystem::path& path);
  static Settings parse_text(std::string_view text, const std::string& source_name);

  // One override "a.b=value" of the command line; makes missing tables. A value that is not TOML is a text, so that
  // run.dir=runs/x needs no quotes.
  void set(std::string_view assignment);

  // Without a default the key must be there. A number may be written as an integer if a double holds it exactly; an
  // integer may not be written as 1e3.
  double number(std::string_view key) const;
  double number(std::string_view key, double otherwise) const;
  int64_t integer(std::string_view key) const;
  int64_t integer(std::string_view key, int64_t otherwise) const;
  bool flag(std::string_view key) const;
  bool flag(std::string_view key, bool otherwise) const;
  std::string text(std::string_view key) const;
  std::string text(std::string_view key, const std::string& otherwise) const;
  std::vector<double> numbers(std::string_view key) const;
  std::vector<double> numbers(std::string_view key, const std::vector<double>& otherwise) const;
  std::vector<int64_t> integers(std::string_view key) const;
  std::vector<int64_t> integers(std::string_view key, const std::vector<int64_t>& otherwise) const;
  std::vector<std::string> texts(std::string_view key) const;
  std::vector<std::string> texts(std::string_view key, const std::vector<std::string>& otherwise) const;

  // Whether the key is there; asking makes it a known key.
  bool has(std::string_view key) const;
  // A missing table is an empty one, a missing list of tables an empty list.
  Settings table(std::string_view key) const;
  std::vector<Settings> tables(std::string_view key) const;
  // The names in this table, sorted, quoted where a key needs it.
  std::vector<std::string> keys() const;

  // For messages about a value: "privacy.epsilon in readmission.toml line 12". Does not make the key known.
  std::string where(std::string_view key) const;
  // Throws unless every key of the whole document has been asked for; names each with the nearest known key.
  void reject_unknown() const;

  // Takes the value out, where it is there; the key stays known.
  void remove(std::string_view key);

  // This table with sorted keys, whatever order and notation it was written in; parse_text() gives back the same
  // values, doubles exactly. hash() is its SHA-256 in hexadecimal.
  std::string to_toml() const;
  std::string hash() const;

 private:
  struct Document;
  struct Reader;
  Settings(std::shared_ptr<Document> document, std::string prefix);

  std::shared_ptr<Document> document_;
  std::string prefix_;  // of this table in the document; empty for the root
};

}  // namespace sotto
