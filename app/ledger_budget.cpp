#include <cmath>
#include <optional>

#include "accountants/ledger.h"
#include "accountants/ledger/calendar.h"
#include "accountants/ledger/payload.h"
#include "app/command.h"
#include "app/ledger.h"
#include "base/error.h"
#include "report/guarantee.h"
#include "report/numbers.h"

namespace sotto::app {
namespace {

using accountants::Budget;
using accountants::Ledger;
using report::exact;
using report::round_up;

struct BudgetOptions {
  std::string path, key, run_id, data_set, expires, note;
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
  const Ledger ledger = Ledger::open_existing(accountants::LedgerLocation::parse(options.path));
  Json all = Json::array();
  std::string text;
  for (const Budget& each : ledger.budgets()) {
    if (!accountants::concerns(options.scope, each.grant.scope)) continue;
    all.push_back(to_json(each));
    text += cat(accountants::to_text(each.grant.scope), ": ε ", round_up(each.spent, 4), " spent, ",
                round_up(each.claimed, 4), " held, of ", exact(each.grant.epsilon), " at δ = ", exact(each.grant.delta),
                "; ", each.run_ids.size(), " runs");
    if (each.expired)
      text += ", ended " + accountants::utc_text(*each.period_end);
    else if (each.period_end)
      text += cat(each.grant.renew_days ? ", renewed " : ", ends ", accountants::utc_text(*each.period_end));
    text += "\n";
  }
  if (text.empty()) text = "nothing is granted there\n";
  text.pop_back();
  print(options.json, {{"budgets", all}, {"signed", ledger.authority().has_owner()}}, text);
  return 0;
}

// What (ε, δ) means for one unit, with a worked example.
Json meaning(double epsilon, double delta, const std::string& unit) {
  const double guess = report::best_guess(epsilon, delta);
  const std::string text = cat(
      "ε = ", round_up(epsilon, 4), " at δ = ", exact(delta), " limits what can be learned of any one ", unit,
      " by somebody who sees all that was released and knows everybody else's data.\nSuppose this person would bet "
      "even money, 50 to 50, on whether that ",
      unit,
      " is in the data. After seeing the results the bet is won with a "
      "probability of at most ",
      round_up(100 * guess, 1),
      " %: ", epsilon < 0.1 ? "hardly better than a coin." : "50 % is a coin, 100 % is certainty.",
      "\nIn odds: e^ε = ", report::odds_factor(epsilon), ", so odds of 1 to 1 become at most ",
      report::odds_factor(epsilon), " to 1, and a belief of 1 % at most ",
      round_up(100 * report::belief_after(0.01, epsilon), 2),
      " %. This fails with a probability of at most δ = ", exact(delta), ", one in ",
      report::counted(static_cast<int64_t>(std::min(1 / delta * (1 + 1e-12), 1e18))), ".\n", report::rating(epsilon));
  return {{"epsilon", epsilon},
          {"delta", delta},
          {"unit_of_privacy", unit},
          {"best_guess", guess},
          {"odds_factor", std::exp(epsilon)},
          {"text", text}};
}

int explain(const BudgetOptions& options) {
  if (options.path.empty()) {
    require(std::isfinite(options.epsilon) && options.epsilon > 0,
            "name a LEDGER, or an --epsilon that is finite and above 0 and a --delta; got epsilon ", options.epsilon);
    require(options.delta > 0 && options.delta < 1, "--delta must be above 0 and below 1, got ", options.delta);
    const Json found = meaning(options.epsilon, options.delta, "person");
    print(options.json, found, found["text"]);
    return 0;
  }
  const Ledger ledger = Ledger::open_existing(accountants::LedgerLocation::parse(options.path));
  Json all = Json::array();
  std::string text;
  const auto add = [&](const std::string& title, double epsilon, double delta, const std::string& unit) {
    Json found =
        epsilon > 0 && std::isfinite(epsilon)
            ? meaning(epsilon, delta, unit)
            : Json{{"epsilon", epsilon}, {"delta", delta}, {"text", "Nothing was spent, so nothing can be learned."}};
    text += cat(text.empty() ? "" : "\n\n", title, "\n", found["text"].get<std::string>());
    found["about"] = title;
    all.push_back(std::move(found));
  };
  for (const std::string& id : ledger.run_ids()) {
    const auto state = ledger.run(id);
    const auto& entry = state->entry;
    if (options.run_id.empty() ? options.data_set.empty() || options.data_set != entry.data_set : options.run_id != id)
      continue;
    add(cat("The run ", id, " of ", entry.who, " on ", entry.data_set, ", ", state->charged_steps, " steps:"),
        state->epsilon, entry.delta, entry.unit_of_privacy);
    if (state->refused) {
      const std::string more = report::refusal_sentence(*state->refused, entry.epsilon_cap);
      text += "\n" + more;
      all.back()["refused"] = accountants::to_fields(*state->refused);
      all.back()["text"] = all.back()["text"].get<std::string>() + "\n" + more;
    }
  }
  if (options.run_id.empty())
    for (const std::string& name : ledger.data_sets()) {
      if (!options.data_set.empty() && options.data_set != name) continue;
      double delta = ledger.cap(name) ? ledger.cap(name)->delta : 0;
      std::string unit = "person";
      for (const std::string& id : ledger.run_ids())
        if (const auto state = ledger.run(id); state->entry.data_set == name)
          delta = delta > 0 ? delta : state->entry.delta, unit = state->entry.unit_of_privacy;
      add(cat("All runs on ", name, " together:"), ledger.spent(name, delta), delta, unit);
    }
  const std::string wanted = !options.run_id.empty()     ? " has no run " + options.run_id
                             : !options.data_set.empty() ? " has no data set " + options.data_set
                                                         : " has no runs yet";
  require(!all.empty(), options.path, wanted, "; `sotto ledger show` lists what it has");
  print(options.json, {{"explained", all}}, text);
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
      "  sotto ledger grant runs/ledger.sqlite --team cardiology/ml --epsilon 2 --delta 1e-6 --renew-days 365");
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

  auto* tell = add("explain", "what a spend means, in plain words", explain);
  tell->footer(
      "Examples:\n  sotto ledger explain runs/ledger.sqlite --data-set diabetes130\n"
      "  sotto ledger explain --epsilon 3 --delta 1e-5");
  tell->add_option("LEDGER", options->path, "ledger file; without it, explains --epsilon and --delta");
  tell->add_option("--run", options->run_id, "this run alone");
  tell->add_option("--data-set", options->data_set, "this data set and its runs");
  tell->add_option("--epsilon", options->epsilon, "without a ledger: this epsilon");
  tell->add_option("--delta", options->delta, "without a ledger: at this delta");
}

}  // namespace sotto::app
