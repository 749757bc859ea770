#include "base/settings.h"

#include <toml++/toml.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <optional>
#include <set>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/nearest.h"

namespace sotto {

struct Settings::Document {
  toml::table root;
  std::string source;
  std::set<std::string> asked;
};

namespace {

constexpr std::string_view kOverride = "--set ";

[[noreturn]] void refuse(const std::string& message) {
  throw Error(ErrorKind::configuration, message);
}

// A step of a path: a name in a table, or an index in a list.
struct Step {
  std::string name;
  std::optional<size_t> index;
};

std::vector<Step> split(std::string_view path) {
  std::vector<Step> steps;
  size_t at = 0;
  while (at < path.size()) {
    if (path[at] == '[') {
      size_t index = 0;
      const auto [end, error] = std::from_chars(path.data() + at + 1, path.data() + path.size(), index);
      if (error != std::errc() || end == path.data() + path.size() || *end != ']')
        refuse(cat("\"", path, "\" is not a key; write list[0].key"));
      steps.push_back({"", index});
      at = static_cast<size_t>(end - path.data()) + 1;
    } else {
      const bool quoted = path[at] == '"';
      const size_t begin = at + quoted;
      const size_t end = std::min(quoted ? path.find('"', begin) : path.find_first_of(".[", begin), path.size());
      if (begin == end || (quoted && end == path.size())) refuse(cat("\"", path, "\" is not a key; write table.key"));
      steps.push_back({std::string(path.substr(begin, end - begin)), {}});
      at = end + quoted;
    }
    if (at == path.size() || path[at] == '[') continue;
    if (path[at] != '.' || ++at == path.size()) refuse(cat("\"", path, "\" is not a key; write table.key"));
  }
  if (steps.empty()) refuse("an empty key; write table.key");
  return steps;
}

std::string quote_name(std::string_view name) {
  const bool bare = !name.empty() && std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return std::isalnum(c) || c == '_' || c == '-';
  });
  return bare ? std::string(name) : cat('"', name, '"');
}

std::string join(std::string_view prefix, std::string_view key) {
  return prefix.empty() ? std::string(key) : key.empty() ? std::string(prefix) : cat(prefix, ".", key);
}

std::string join(const std::vector<Step>& steps) {
  std::string path;
  for (const Step& step : steps)
    path = step.index ? cat(path, "[", *step.index, "]") : join(path, quote_name(step.name));
  return path;
}

template <class Node>
Node* child(Node& node, const Step& step) {
  if (step.index) return node.is_array() ? node.as_array()->get(*step.index) : nullptr;
  return node.is_table() ? node.as_table()->get(step.name) : nullptr;
}

const toml::node* find(const toml::table& root, const std::vector<Step>& steps) {
  const toml::node* node = &root;
  for (const Step& step : steps)
    if (node) node = child(*node, step);
  return node;
}

bool is_list_of_tables(const toml::node& node) {
  const toml::array* list = node.as_array();
  return list && !list->empty() && list->is_homogeneous(toml::node_type::table);
}

// "in readmission.toml line 12", or "from --set a.b=c".
std::string place(const toml::node& node) {
  const toml::source_region& source = node.source();
  if (!source.path) return "";
  if (source.path->starts_with(kOverride)) return cat(" from ", *source.path);
  return cat(" in ", *source.path, " line ", source.begin.line);
}

std::string write_number(double value) {
  char digits[32];
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;  // the shortest that reads back the same
  std::string out(digits, end);
  return out.find_first_of(".e") == std::string::npos ? out + ".0" : out;
}

std::string write_text(const std::string& text) {
  std::ostringstream out;
  out << toml::toml_formatter{toml::value<std::string>(text), toml::format_flags::none};
  return std::move(out).str();
}

// A value on one line; tables inside lists become inline tables.
std::string write_value(const toml::node& node) {
  if (const auto* text = node.as_string()) return write_text(text->get());
  if (const auto* number = node.as_floating_point()) return write_number(number->get());
  if (const auto* number = node.as_integer()) return cat(number->get());
  if (const auto* flag = node.as_boolean()) return flag->get() ? "true" : "false";
  std::string out;
  if (const auto* list = node.as_array()) {
    for (const toml::node& item : *list) out += (out.empty() ? "" : ", ") + write_value(item);
    return cat("[", out, "]");
  }
  if (const auto* table = node.as_table()) {
    for (const auto& [key, value] : *table)
      out += cat(out.empty() ? "" : ", ", quote_name(key.str()), " = ", write_value(value));
    return cat("{", out, "}");
  }
  std::ostringstream date;
  node.visit([&](const auto& value) { date << value; });
  return std::move(date).str();
}

// toml++'s tables are sorted by key. Values come before tables: after a header, TOML would read them into that table.
void write_table(const toml::table& table, const std::string& path, std::string& out) {
  for (const auto& [key, value] : table)
    if (!value.is_table() && !is_list_of_tables(value))
      out += cat(quote_name(key.str()), " = ", write_value(value), "\n");
  for (const auto& [key, value] : table) {
    const std::string inner = join(path, quote_name(key.str()));
    if (value.is_table()) {
      out += cat("\n[", inner, "]\n");
      write_table(*value.as_table(), inner, out);
    } else if (is_list_of_tables(value)) {
      for (const toml::node& item : *value.as_array()) {
        out += cat("\n[[", inner, "]]\n");
        write_table(*item.as_table(), inner, out);
      }
    }
  }
}

std::string describe(const toml::node& node) {
  if (node.is_table()) return "a table";
  const char* kind = node.is_string()           ? "the text "
                     : node.is_boolean()        ? "the flag "
                     : node.is_integer()        ? "the integer "
                     : node.is_floating_point() ? "the number "
                     : node.is_array()          ? "the list "
                                                : "the date ";
  return kind + write_value(node);
}

// Calls visit(path, node) on every value and every empty table under `node`.
template <class Visit>
void walk(const toml::node& node, const std::string& path, const Visit& visit) {
  if (const auto* table = node.as_table(); table && (!table->empty() || path.empty())) {
    for (const auto& [key, value] : *table) walk(value, join(path, quote_name(key.str())), visit);
  } else if (is_list_of_tables(node)) {
    for (size_t i = 0; i < node.as_array()->size(); ++i) walk((*node.as_array())[i], cat(path, "[", i, "]"), visit);
  } else {
    visit(path, node);
  }
}

// NaN compares false with every limit a reader may check, and a key with a quote could not be named in a message.
void check(const toml::node& node, const std::string& path) {
  if (const auto* number = node.as_floating_point(); number && !std::isfinite(number->get()))
    refuse(cat(path, place(node), " must be a finite number, got ", write_value(node)));
  if (const auto* list = node.as_array())
    for (size_t i = 0; i < list->size(); ++i) check((*list)[i], cat(path, "[", i, "]"));
  if (const auto* table = node.as_table())
    for (const auto& [key, value] : *table) {
      if (key.str().empty() || key.str().find_first_of("\"\\\n\r\t") != std::string_view::npos)
        refuse(cat("a key", place(value), " has an empty name, or a quote, a backslash or a line break in it"));
      check(value, join(path, quote_name(key.str())));
    }
}

toml::table parse(std::string_view text, const std::string& source) {
  try {
    return toml::parse(text, source);
  } catch (const toml::parse_error& error) {
    refuse(cat(source, " line ", error.source().begin.line, " is not TOML: ", error.description()));
  }
}

std::string_view last_name(std::string_view path) {
  return path.substr(path.rfind('.') + 1);
}

std::string nearest_known(const std::string& key, const std::set<std::string>& known) {
  for (const std::string& candidate : known)  // the right name in the wrong table
    if (last_name(candidate) == last_name(key)) return candidate;
  return nearest(key, {known.begin(), known.end()});
}

}  // namespace

// Looks a key up, remembers that it was asked for, and converts it.
struct Settings::Reader {
  const Settings& settings;
  std::string path;
  const toml::node* node;

  Reader(const Settings& from, std::string_view key)
      : settings(from), path(join(split(join(from.prefix_, key)))), node(find(from.document_->root, split(path))) {
    from.document_->asked.insert(path);
  }

  [[noreturn]] void wrong(const std::string& wanted, const toml::node& got) const {
    refuse(cat(path, place(got), " must be ", wanted, ", got ", describe(got)));
  }
  const toml::node& present(const std::string& wanted) const {
    if (!node) refuse(cat(path, " is missing in ", settings.document_->source, "; it must be ", wanted, misspelt()));
    return *node;
  }
  // A key beside the missing one that nobody asked for may be it.
  std::string misspelt() const {
    const size_t dot = path.rfind('.');
    const std::string parent = dot == std::string::npos ? "" : path.substr(0, dot);
    std::vector<std::string> strangers;
    for (const std::string& key : Settings(settings.document_, parent).keys())
      if (!settings.document_->asked.count(parent.empty() ? key : cat(parent, ".", key))) strangers.push_back(key);
    const std::string near = nearest(path.substr(dot + 1), strangers);
    return near.empty() ? "" : cat(" (it has ", parent, parent.empty() ? "" : ".", near, ": is that it?)");
  }

  double as(const toml::node& value, double) const {
    if (const auto* number = value.as_floating_point()) return number->get();
    const auto* whole = value.as_integer();
    if (!whole || std::abs(whole->get()) > (int64_t{1} << 53)) wrong(name(double{}), value);
    return static_cast<double>(whole->get());
  }
  int64_t as(const toml::node& value, int64_t) const {
    if (!value.is_integer()) wrong(name(int64_t{}), value);
    return value.as_integer()->get();
  }
  bool as(const toml::node& value, bool) const {
    if (!value.is_boolean()) wrong(name(bool{}), value);
    return value.as_boolean()->get();
  }
  std::string as(const toml::node& value, const std::string&) const {
    if (!value.is_string()) wrong(name(std::string()), value);
    return value.as_string()->get();
  }
  template <class T>
  std::vector<T> as(const toml::node& value, const std::vector<T>& type) const {
    if (!value.is_array()) wrong(name(type), value);
    std::vector<T> out;
    for (const toml::node& item : *value.as_array()) out.push_back(as(item, T{}));
    return out;
  }

  static std::string name(double) { return "a number"; }
  static std::string name(int64_t) { return "a whole number"; }
  static std::string name(bool) { return "true or false"; }
  static std::string name(const std::string&) { return "a text"; }
  template <class T>
  static std::string name(const std::vector<T>&) {
    return cat("a list, each item ", name(T{}));
  }

  template <class T>
  T required() const {
    return as(present(name(T{})), T{});
  }
  template <class T>
  T optional(const T& otherwise) const {
    return node ? as(*node, T{}) : otherwise;
  }
};

Settings::Settings(std::shared_ptr<Document> document, std::string prefix)
    : document_(std::move(document)), prefix_(std::move(prefix)) {}

Settings Settings::parse_file(const std::filesystem::path& path) {
  std::string content;
  try {
    content = read_file(path);
  } catch (const Error& error) {
    refuse(error.what());
  }
  return parse_text(content, path.string());
}

Settings Settings::parse_text(std::string_view text, const std::string& source_name) {
  auto document = std::make_shared<Document>(Document{parse(text, source_name), source_name, {}});
  check(document->root, "");
  return Settings(std::move(document), "");
}

void Settings::set(std::string_view assignment) {
  const size_t equals = assignment.find('=');
  if (equals == std::string_view::npos || equals == 0) refuse(cat(kOverride, assignment, ": write key=value"));
  const std::string path = join(prefix_, assignment.substr(0, equals));
  const std::string value(assignment.substr(equals + 1)), source = cat(kOverride, assignment);
  toml::table parsed;
  try {
    parsed = toml::parse("value = " + value, source);
  } catch (const toml::parse_error&) {
  }
  // More than one key means that the value held a line break; none that it was not TOML.
  if (parsed.size() != 1) parsed = toml::parse("value = " + write_text(value), source);
  check(*parsed.get("value"), path);

  std::vector<Step> steps = split(path);
  const Step last = steps.back();
  steps.pop_back();
  toml::node* node = &document_->root;
  for (const Step& step : steps) {
    if (!node) break;
    if (!step.index && node->is_table()) node->as_table()->insert(step.name, toml::table{});  // keeps one that is there
    node = child(*node, step);
  }
  if (last.index || !node || !node->is_table()) refuse(cat(source, ": there is no table to set this in"));
  node->as_table()->insert_or_assign(last.name, std::move(*parsed.get("value")));
}

void Settings::remove(std::string_view key) {
  std::vector<Step> steps = split(join(prefix_, key));
  const Step last = steps.back();
  steps.pop_back();
  toml::node* node = &document_->root;
  for (const Step& step : steps)
    if (node) node = child(*node, step);
  if (node && node->is_table() && !last.index) node->as_table()->erase(last.name);
}

double Settings::number(std::string_view key) const {
  return Reader(*this, key).required<double>();
}
double Settings::number(std::string_view key, double otherwise) const {
  return Reader(*this, key).optional(otherwise);
}
int64_t Settings::integer(std::string_view key) const {
  return Reader(*this, key).required<int64_t>();
}
int64_t Settings::integer(std::string_view key, int64_t otherwise) const {
  return Reader(*this, key).optional(otherwise);
}
bool Settings::flag(std::string_view key) const {
  return Reader(*this, key).required<bool>();
}
bool Settings::flag(std::string_view key, bool otherwise) const {
  return Reader(*this, key).optional(otherwise);
}
std::string Settings::text(std::string_view key) const {
  return Reader(*this, key).required<std::string>();
}
std::string Settings::text(std::string_view key, const std::string& otherwise) const {
  return Reader(*this, key).optional(otherwise);
}
std::vector<double> Settings::numbers(std::string_view key) const {
  return Reader(*this, key).required<std::vector<double>>();
}
std::vector<double> Settings::numbers(std::string_view key, const std::vector<double>& otherwise) const {
  return Reader(*this, key).optional(otherwise);
}
std::vector<int64_t> Settings::integers(std::string_view key) const {
  return Reader(*this, key).required<std::vector<int64_t>>();
}
std::vector<int64_t> Settings::integers(std::string_view key, const std::vector<int64_t>& otherwise) const {
  return Reader(*this, key).optional(otherwise);
}
std::vector<std::string> Settings::texts(std::string_view key) const {
  return Reader(*this, key).required<std::vector<std::string>>();
}
std::vector<std::string> Settings::texts(std::string_view key, const std::vector<std::string>& otherwise) const {
  return Reader(*this, key).optional(otherwise);
}

bool Settings::has(std::string_view key) const {
  return Reader(*this, key).node;
}

Settings Settings::table(std::string_view key) const {
  const Reader reader(*this, key);
  if (reader.node && !reader.node->is_table()) reader.wrong("a table", *reader.node);
  return Settings(document_, reader.path);
}

std::vector<Settings> Settings::tables(std::string_view key) const {
  const Reader reader(*this, key);
  std::vector<Settings> out;
  if (!reader.node) return out;
  const toml::array* list = reader.node->as_array();
  if (!list || (!list->empty() && !is_list_of_tables(*list))) reader.wrong("a list of tables", *reader.node);
  for (size_t i = 0; i < list->size(); ++i) out.push_back(Settings(document_, cat(reader.path, "[", i, "]")));
  return out;
}

std::vector<std::string> Settings::keys() const {
  std::vector<std::string> out;
  const toml::node* node = prefix_.empty() ? &document_->root : find(document_->root, split(prefix_));
  if (node && node->is_table())
    for (const auto& [key, value] : *node->as_table()) out.push_back(quote_name(key.str()));
  return out;
}

std::string Settings::where(std::string_view key) const {
  const std::string path = join(prefix_, key);
  const toml::node* node = find(document_->root, split(path));
  return node ? path + place(*node) : cat(path, " (not set in ", document_->source, ")");
}

void Settings::reject_unknown() const {
  std::string message;
  walk(document_->root, "", [&](const std::string& key, const toml::node& value) {
    if (document_->asked.count(key)) return;
    const std::string near = nearest_known(key, document_->asked);
    message += cat(message.empty() ? "" : "\n", key, place(value), " is not a known key",
                   near.empty() ? std::string() : cat("; did you mean ", near, "?"));
  });
  if (!message.empty()) refuse(message);
}

std::string Settings::to_toml() const {
  std::string out;
  const toml::node* node = prefix_.empty() ? &document_->root : find(document_->root, split(prefix_));
  if (node && node->is_table()) write_table(*node->as_table(), "", out);
  return out.starts_with('\n') ? out.substr(1) : out;
}

std::string Settings::hash() const {
  return to_hex(sha256(to_toml()));
}

}  // namespace sotto
