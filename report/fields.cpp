#include "report/fields.h"

#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/error.h"

namespace sotto::report {

Json parse_object(const std::string& text, const std::string& place) {
  try {
    Json value = Json::parse(text);
    if (value.is_object()) return value;
  } catch (const Json::exception& error) {
    throw Error(ErrorKind::data, cat(place, ": not valid JSON: ", error.what()));
  }
  throw Error(ErrorKind::data, cat(place, ": must hold one JSON object"));
}

Json read_object(const std::filesystem::path& path) {
  return parse_object(read_file(path), path.string());
}

std::string dump(const Json& value, int indent) {
  return value.dump(indent, ' ', false, Json::error_handler_t::replace);
}

Fields::Fields(const Json& object, std::string place, std::string path)
    : object_(&object), place_(std::move(place)), path_(std::move(path)) {}

void Fields::fail(const std::string& name, const std::string& problem) const {
  throw Error(ErrorKind::data, cat(place_, ": field `", path_, name, "` ", problem));
}

const Json& Fields::get(const std::string& name) const {
  const auto found = object_->find(name);
  if (found == object_->end()) fail(name, "is missing");
  return *found;
}

bool Fields::has(const std::string& name) const {
  const auto found = object_->find(name);
  return found != object_->end() && !found->is_null();
}

double Fields::number(const std::string& name) const {
  const Json& value = get(name);
  if (!value.is_number()) fail(name, cat("must be a number and is ", value.type_name()));
  return value.get<double>();
}

int64_t Fields::integer(const std::string& name) const {
  const Json& value = get(name);
  // An unsigned value beyond int64 would wrap.
  if (!value.is_number_integer() || (value.is_number_unsigned() && value.get<uint64_t>() > uint64_t{INT64_MAX})) {
    fail(name, cat("must be an integer and is ", value.dump()));
  }
  return value.get<int64_t>();
}

bool Fields::boolean(const std::string& name) const {
  const Json& value = get(name);
  if (!value.is_boolean()) fail(name, cat("must be true or false and is ", value.type_name()));
  return value.get<bool>();
}

std::string Fields::text(const std::string& name) const {
  const Json& value = get(name);
  if (!value.is_string()) fail(name, cat("must be a string and is ", value.type_name()));
  return value.get<std::string>();
}

const Json& Fields::array(const std::string& name) const {
  const Json& value = get(name);
  if (!value.is_array()) fail(name, cat("must be a list and is ", value.type_name()));
  return value;
}

std::vector<double> Fields::numbers(const std::string& name) const {
  std::vector<double> out;
  for (const Json& value : array(name)) {
    if (!value.is_number()) fail(name, cat("must be a list of numbers and holds ", value.type_name()));
    out.push_back(value.get<double>());
  }
  return out;
}

std::vector<int64_t> Fields::integers(const std::string& name) const {
  std::vector<int64_t> out;
  for (const Json& value : array(name)) {
    if (!value.is_number_integer()) fail(name, cat("must be a list of integers and holds ", value.type_name()));
    out.push_back(value.get<int64_t>());
  }
  return out;
}

std::vector<std::string> Fields::texts(const std::string& name) const {
  std::vector<std::string> out;
  for (const Json& value : array(name)) {
    if (!value.is_string()) fail(name, cat("must be a list of strings and holds ", value.type_name()));
    out.push_back(value.get<std::string>());
  }
  return out;
}

std::optional<double> Fields::number_or_none(const std::string& name) const {
  return has(name) ? std::optional(number(name)) : std::nullopt;
}

Fields Fields::object(const std::string& name) const {
  const Json& value = get(name);
  if (!value.is_object()) fail(name, cat("must be an object and is ", value.type_name()));
  return {value, place_, path_ + name + "."};
}

std::vector<Fields> Fields::objects(const std::string& name) const {
  std::vector<Fields> out;
  for (const Json& value : array(name)) {
    if (!value.is_object()) fail(name, cat("must be a list of objects and holds ", value.type_name()));
    out.emplace_back(value, place_, cat(path_, name, "[", out.size(), "]."));
  }
  return out;
}

std::vector<std::string> Fields::names() const {
  std::vector<std::string> out;
  for (const auto& item : object_->items()) out.push_back(item.key());
  return out;
}

}  // namespace sotto::report
