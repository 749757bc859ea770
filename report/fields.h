#pragma once
#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace sotto::report {

using Json = nlohmann::ordered_json;

// Parses one JSON object. Throws data naming `place` when the text is not one.
Json parse_object(const std::string& text, const std::string& place);
Json read_object(const std::filesystem::path& path);

// One line, or indented. Bytes that are not UTF-8 become U+FFFD.
std::string dump(const Json& value, int indent = -1);

// Typed access to the fields of a JSON object. Every failure is a data error that names the place (a file, or a file
// and a line), the field with its path (`dataset.name`), and what was found instead. Borrows the object.
class Fields {
 public:
  Fields(const Json& object, std::string place, std::string path = "");
  bool has(const std::string& name) const;  // present and not null
  double number(const std::string& name) const;
  int64_t integer(const std::string& name) const;
  bool boolean(const std::string& name) const;
  std::string text(const std::string& name) const;
  std::vector<double> numbers(const std::string& name) const;
  std::vector<int64_t> integers(const std::string& name) const;
  std::vector<std::string> texts(const std::string& name) const;
  std::optional<double> number_or_none(const std::string& name) const;
  Fields object(const std::string& name) const;
  std::vector<Fields> objects(const std::string& name) const;
  std::vector<std::string> names() const;
  [[noreturn]] void fail(const std::string& name, const std::string& problem) const;

 private:
  const Json& get(const std::string& name) const;
  const Json& array(const std::string& name) const;
  const Json* object_;
  std::string place_, path_;
};

}  // namespace sotto::report
