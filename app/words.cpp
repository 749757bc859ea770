#include "app/words.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/nearest.h"

namespace sotto::app {
namespace {

std::vector<std::string> names_in(const CLI::App& group) {
  std::vector<std::string> names;
  for (const CLI::App* command : group.get_subcommands([](const CLI::App*) { return true; }))
    names.push_back(command->get_name());
  return names;
}

std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

bool is_decimal(std::string_view digits) {
  if (digits.starts_with('-')) digits.remove_prefix(1);
  return !digits.empty() && (digits[0] != '0' || digits == "0") &&
         std::ranges::all_of(digits, [](char c) { return c >= '0' && c <= '9'; });
}

// A validator's answer: empty where the word is good.
std::string wrong_with_integer(const std::string& word) {
  if (!is_decimal(word)) return cat("a whole number in decimal digits is needed, got ", word);
  errno = 0;
  std::strtoll(word.c_str(), nullptr, 10);
  return errno == ERANGE ? cat("at most 2^63 - 1 can be counted, got ", word) : "";
}

std::string wrong_with_real(const std::string& word) {
  errno = 0;
  const double value = std::strtod(word.c_str(), nullptr);
  if (errno != ERANGE || (std::isfinite(value) && value != 0)) return "";
  return cat("a number between 1e-308 and 1e308 is needed (or 0), got ", word);
}

}  // namespace

void refuse_unknown_command(const CLI::App& program, int count, const char* const* words) {
  const CLI::App* group = &program;
  std::string path = program.get_name().empty() ? "sotto" : program.get_name();
  for (int i = 1;; ++i) {
    const std::vector<std::string> names = names_in(*group);
    if (names.empty()) return;  // a command: what follows is its own
    while (i < count && words[i][0] == '-') {
      if (group->get_option_no_throw(words[i])) return;  // --help, --version
      ++i;
    }
    if (i >= count)
      throw CLI::RequiredError(cat("`", path, "` needs a subcommand: ", listed(names)), CLI::ExitCodes::RequiredError);
    const auto found = std::ranges::find(names, words[i]);
    if (found == names.end()) {
      const std::string near = nearest(words[i], names);
      throw CLI::ExtrasError(
          cat("`", path, "` has no subcommand ", words[i],
              near.empty() ? ". There are " : cat("; did you mean ", near, "? There are "), listed(names)),
          CLI::ExitCodes::ExtrasError);
    }
    group = group->get_subcommand(*found);
    path += " " + *found;
  }
}

void hold_numbers_to_their_words(CLI::App& program) {
  for (CLI::Option* option : program.get_options()) {
    const std::string type = option->get_type_name();
    if (type.starts_with("INT") || type.starts_with("UINT"))
      option->check(wrong_with_integer);
    else if (type.starts_with("FLOAT"))
      option->check(wrong_with_real);
  }
  for (CLI::App* command : program.get_subcommands([](CLI::App*) { return true; }))
    hold_numbers_to_their_words(*command);
}

}  // namespace sotto::app
