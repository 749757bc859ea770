#pragma once
#include <string>

#include "accountants/ledger.h"
#include "app/command.h"

namespace sotto::app {

// The sub-commands of `sotto ledger`, by what they are about.
void add_ledger_keys(CLI::App& ledger, Action& chosen);
void add_ledger_budgets(CLI::App& ledger, Action& chosen);
void add_ledger_exports(CLI::App& ledger, Action& chosen);

// As `budget`, `grant` and `export` print it.
Json to_json(const accountants::Budget& budget);

// An existing ledger; `key` is the file to sign with, or empty where SOTTO_LEDGER_KEY or no key is meant.
accountants::Ledger open_to_write(const std::string& path, const std::string& key);

// --organisation, --data-set, --purpose, --team, --group.
void add_scope(CLI::App& command, accountants::Scope& scope);

}  // namespace sotto::app
