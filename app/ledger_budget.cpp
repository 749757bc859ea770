#include <optional>

#include "accountants/ledger.h"
#include "accountants/ledger/calendar.h"
#include "app/command.h"
#include "app/ledger.h"
#include "base/error.h"
#include "report/numbers.h"

namespace sotto::app {
namespace {

using accountants::Budget;
using accountants::Ledger;
using report::exact;
using report::round_up;

struct BudgetOptions {
  std::string path, key, expires, note;
  accountants::Scope scope;
  double epsilon = 0, delta = 0;
  std::optional<int64_t> renew_days;
  bool json = false;
};

int grant(const BudgetOptions& options) {
  accountants::Grant wanted{
      .scope = options.scope, .epsilon = options.epsilon, .delta = options.delta, .note = options.note};
  wanted.renew_days = options.renew_days;
  try {
    if (!options.expires.empty()) wanted.expires = accountants::utc_seconds(options.expires);
  } catch (const Error& error) {
    throw Error(ErrorKind::configuration, cat("--expires: ", error.what()));
  }
  Ledger ledger = open_to_write(options.path, options.key);
  ledger.grant(wanted);
  const Budget given = ledger.budgets().back();
  print(options.json, to_json(given),
        cat(accountants::to_text(given.grant.scope), " may spend ε = ", exact(options.epsilon),
            " at δ = ", exact(options.delta), options.renew_days ? cat(" every ", *options.renew_days, " days") : "",
            given.grant.expires ? " until " + accountants::utc_text(*given.grant.expires) : ""));
  return 0;
}

int budget(const BudgetOptions& options) {
  const Ledger ledger = open_to_tell(options.path);
  Json all = Json::array();
  std::string text;
  for (const Budget& each : ledger.budgets()) {
    // What a run there would draw on, and what lies within.
    if (!concerns(options.scope, each.grant.scope) && !concerns(each.grant.scope, options.scope)) continue;
    all.push_back(to_json(each));
    text += cat(accountants::to_text(each.grant.scope), ": ε ", round_up(each.spent, 4), " spent, ",
                round_up(each.claimed, 4), " held, of ", exact(each.grant.epsilon), " at δ = ", exact(each.grant.delta),
                "; ", each.run_ids.size(), " runs");
    if (each.expired)
      text += ", ended on " + accountants::utc_text(*each.period_end);
    else if (each.period_end)
      text += cat(each.grant.renew_days ? ", renewed on " : ", ends on ", accountants::utc_text(*each.period_end));
    text += "\n";
  }
  if (text.empty())
    text = ledger.authority().grants().empty() && !ledger.authority().has_owner()
               ? "nothing is granted, and without an owner and a grant the ledger limits no run beyond its own ε and "
                 "caps\n"
               : "nothing is granted there\n";
  text.pop_back();
  print(options.json, {{"budgets", all}, {"signed", ledger.authority().has_owner()}}, text);
  return 0;
}

}  // namespace

Json to_json(const Budget& budget) {
  const accountants::Grant& grant = budget.grant;
  Json object = {{"scope", accountants::to_fields(grant.scope)},
                 {"epsilon", grant.epsilon},
                 {"delta", grant.delta},
                 {"spent", budget.spent},
                 {"held", budget.claimed},
                 {"period_start", accountants::utc_text(budget.period_start)},
                 {"expired", budget.expired},
                 {"runs", budget.run_ids},
                 {"row", grant.row_id}};
  if (budget.period_end) object["period_end"] = accountants::utc_text(*budget.period_end);
  if (grant.renew_days) object["renew_days"] = *grant.renew_days;
  if (!grant.note.empty()) object["note"] = grant.note;
  return object;
}

void add_ledger_budgets(CLI::App& ledger, Action& chosen) {
  auto options = std::make_shared<BudgetOptions>();
  const auto add = [&](const char* name, const char* what, int (*act)(const BudgetOptions&)) {
    return add_verb(ledger, chosen, options, name, what, act);
  };
  auto* give = add("grant", "allow spending within a scope, and nothing beyond it", grant);
  give->add_option("LEDGER", options->path, "ledger file")->required();
  give->add_option("--key", options->key, "an owner's key file (or SOTTO_LEDGER_KEY)");
  give->footer(
      "Examples:\n  sotto ledger grant runs/ledger.sqlite --data-set diabetes130 --epsilon 8 --delta 1e-5 --key "
      "owner.key\n"
      "  sotto ledger grant runs/ledger.sqlite --team cardiology/ml --epsilon 2 --delta 1e-6 --renew-days 365 --key "
      "owner.key");
  give->add_option("--epsilon", options->epsilon, "the most that all runs within the scope may spend together")
      ->required();
  give->add_option("--delta", options->delta, "at this delta, in (0, 1)")->required();
  give->add_option("--renew-days", options->renew_days, "start anew every so many days");
  give->add_option("--expires", options->expires, "day or time (UTC) from which nothing can be spent, 2027-01-31");
  give->add_option("--note", options->note, "why, for the auditor");
  add_scope(*give, options->scope);

  auto* look = add("budget", "what was granted, and what is spent and held of it", budget);
  look->footer(
      "Examples:\n  sotto ledger budget runs/ledger.sqlite\n"
      "  sotto ledger budget runs/ledger.sqlite --team cardiology --json");
  look->add_option("LEDGER", options->path, "ledger file")->required();
  add_scope(*look, options->scope);
}

}  // namespace sotto::app
