#include <c10/util/Exception.h>
#include <sodium.h>

#include <csignal>
#include <cstdio>
#include <cstring>

#include "app/command.h"
#include "app/words.h"
#include "base/error.h"
#include "engine/out_of_memory.h"

namespace sotto::app {

namespace {

// File names and arguments may be any bytes; JSON is UTF-8.
std::string dump(const Json& object) {
  return object.dump(2, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

void print(bool json, const Json& object, const std::string& text) {
  if (std::puts(json ? dump(object).c_str() : text.c_str()) < 0 || std::fflush(stdout) != 0)
    throw Error(ErrorKind::io, "cannot write to standard output; is the disk full?");
}

namespace {

const char* kind_name(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::invalid_argument:
    case ErrorKind::configuration:
      return "configuration";
    case ErrorKind::budget_exhausted:
      return "budget_exhausted";
    case ErrorKind::interrupted:
      return "interrupted";
    case ErrorKind::data:
      return "data";
    case ErrorKind::io:
      return "io";
    case ErrorKind::cuda:
      return "cuda";
    case ErrorKind::internal:
      break;
  }
  return "internal";
}

bool wants_json(int count, char** words) {
  for (int i = 1; i < count; ++i)
    if (std::strcmp(words[i], "--json") == 0) return true;
  return false;
}

int fail(bool json, const char* kind, const std::string& message, int code) {
  if (json) std::puts(dump({{"error", {{"kind", kind}, {"message", message}}}}).c_str());
  std::fprintf(stderr, "sotto: %s\n", message.c_str());
  return code;
}

// Of an error that is not ours. Memory that was not there is a matter of sizes, which the caller chose.
int fail_outside(bool json, const std::exception& error, const std::string& message) {
  if (!is_out_of_memory(error)) return fail(json, "internal", message, 1);
  const std::string asked = asked_for(error);
  return fail(json, "configuration",
              cat("memory ran out", asked.empty() ? "" : cat(" (", asked, " were asked for)"),
                  "; a smaller batch or micro-batch needs less"),
              exit_code(ErrorKind::configuration));
}

int run(int count, char** words) {
  CLI::App program("sotto: train models on personal data with a proof of what they can leak");
  program.set_version_flag("--version", SOTTO_VERSION);
  program.require_subcommand(1);
  program.footer(
      "Examples:\n"
      "  sotto train examples/medai/readmission.toml\n"
      "  sotto train examples/medai/readmission.toml --set privacy.epsilon=1 --set run.dir=runs/strict\n"
      "  sotto account noise --epsilon 3 --sample-rate 0.02 --steps 1000 --delta 1e-5\n"
      "  sotto report runs/strict\n"
      "Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 budget exhausted (state saved), 130 interrupted "
      "(state "
      "saved).");
  Action chosen;
  for (const auto add : {add_train, add_account, add_ledger, add_eval, add_predict, add_export, add_report, add_doctor,
                         add_norms, add_plan, add_bench})
    add(program, chosen);
  hold_numbers_to_their_words(program);
  const bool json = wants_json(count, words);
  try {
    refuse_unknown_command(program, count, words);
    program.parse(count, words);
    return chosen();
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return program.exit(error);  // --help, --version
    return fail(json, "usage", cat(error.what(), "\nRun with --help for usage and examples."), 2);
  } catch (const Error& error) {
    const bool ours = error.kind() == ErrorKind::internal;
    return fail(
        json, kind_name(error.kind()),
        ours ? cat(error.what(), " [", error.place().file_name(), ":", error.place().line(), "]") : error.what(),
        exit_code(error.kind()));
  } catch (const c10::Error& error) {
    return fail_outside(json, error, error.what_without_backtrace());
  } catch (const std::exception& error) {
    return fail_outside(json, error, error.what());
  }
}

}  // namespace
}  // namespace sotto::app

int main(int count, char** words) {
  std::signal(SIGXFSZ, SIG_IGN);  // a write beyond the limit of a file's size fails, and is reported, instead
  if (sodium_init() < 0) {
    std::fputs("sotto: the operating system's random generator is not available\n", stderr);
    return 1;
  }
  return sotto::app::run(count, words);
}
