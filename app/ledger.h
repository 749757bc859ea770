#pragma once
#include <memory>
#include <string>

#include "accountants/ledger.h"
#include "app/command.h"

namespace sotto::app {

// The sub-commands of `sotto ledger`, by what they are about.
void add_ledger_keys(CLI::App& ledger, Action& chosen);
void add_ledger_budgets(CLI::App& ledger, Action& chosen);
void add_ledger_explain(CLI::App& ledger, Action& chosen);
void add_ledger_exports(CLI::App& ledger, Action& chosen);

// As `budget`, `grant` and `export` print it.
Json to_json(const accountants::Budget& budget);

// An existing ledger; `key` is the file to sign with, or empty where SOTTO_LEDGER_KEY or no key is meant.
accountants::Ledger open_to_write(const std::string& path, const std::string& key);
// An existing ledger whose figures are to be shown: throws data unless every row of it holds. Figures that somebody
// edited would look like any others.
accountants::Ledger open_to_tell(const std::string& path);
void refuse_unless_it_holds(const accountants::VerifyReport& found, const accountants::LedgerLocation& location);

// A verb of `sotto ledger` with --json: `act` on the options, which must have a `json`.
template <class Options>
CLI::App* add_verb(CLI::App& ledger, Action& chosen, const std::shared_ptr<Options>& options, const char* name,
                   const char* what, int (*act)(const Options&)) {
  auto* command = ledger.add_subcommand(name, what);
  add_json_flag(*command, options->json);
  command->callback([options, act, &chosen] { chosen = [options, act] { return act(*options); }; });
  return command;
}

// --organisation, --data-set, --purpose, --team, --group.
void add_scope(CLI::App& command, accountants::Scope& scope);

}  // namespace sotto::app
