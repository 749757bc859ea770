#include <cmath>
#include <ranges>

#include "accountants/ledger.h"
#include "accountants/ledger/calendar.h"
#include "accountants/ledger/payload.h"
#include "app/command.h"
#include "app/ledger.h"
#include "base/error.h"
#include "base/nearest.h"
#include "report/guarantee.h"
#include "report/numbers.h"

namespace sotto::app {
namespace {

using accountants::Ledger;
using accountants::within;
using report::exact;
using report::round_up;

struct ExplainOptions {
  std::string path, run_id, data_set;
  double epsilon = 0, delta = 0;
  bool json = false;
};

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

// Nothing was spent; what may be: of all data sets where the name is empty.
Json nothing_spent(const Ledger& ledger, const std::string& data_set, double delta, const std::string& unit) {
  Json allowed = Json::array();
  std::string text = "Nothing was spent, so nothing can be learned.";
  if (const auto cap = data_set.empty() ? std::nullopt : ledger.cap(data_set))
    text += cat("\nAll runs on it together may spend ε = ", exact(cap->epsilon), " at δ = ", exact(cap->delta), ".");
  for (const accountants::Budget& budget : ledger.budgets()) {
    const accountants::Grant& grant = budget.grant;
    const std::string& there = grant.scope.data_set;
    if (budget.expired || !(within(data_set, there) || within(there, data_set))) continue;
    allowed.push_back(to_json(budget));
    text += cat("\nWhat is granted for ", accountants::to_text(grant.scope), " is ε = ", exact(grant.epsilon),
                " at δ = ", exact(grant.delta), grant.renew_days ? cat(" every ", *grant.renew_days, " days") : "",
                grant.expires ? " until " + accountants::utc_text(*grant.expires) : "",
                "; `sotto ledger explain --epsilon ", exact(grant.epsilon), " --delta ", exact(grant.delta),
                "` says what it means.");
  }
  return {{"epsilon", 0},
          {"delta", delta},
          {"unit_of_privacy", unit},
          {"best_guess", (1 + delta) / 2},
          {"odds_factor", 1.},
          {"allowed", allowed},
          {"text", text}};
}

// A data set is known by its cap, its runs, or a grant for it or a part of it.
void require_known(const Ledger& ledger, const ExplainOptions& options) {
  std::vector<std::string> names = options.run_id.empty() ? ledger.data_sets() : ledger.run_ids();
  if (options.run_id.empty())
    for (const accountants::Grant& grant : ledger.authority().grants()) {
      const std::string& there = grant.scope.data_set;
      if (!there.empty() && (within(options.data_set, there) || within(there, options.data_set))) return;
      if (!there.empty()) names.push_back(there);
    }
  const std::string& wanted = options.run_id.empty() ? options.data_set : options.run_id;
  if (std::ranges::find(names, wanted) != names.end()) return;
  const std::string near = nearest(wanted, names);
  require(false, options.path, " has no ", options.run_id.empty() ? "data set " : "run ", wanted,
          near.empty() ? "" : cat("; did you mean ", near, "?"), "; `sotto ledger show` and `budget` list what it has");
}

int explain(const ExplainOptions& options) {
  if (options.path.empty()) {
    require(std::isfinite(options.epsilon) && options.epsilon > 0,
            "name a LEDGER, or an --epsilon that is finite and above 0 and a --delta; got epsilon ", options.epsilon);
    require(options.delta > 0 && options.delta < 1, "--delta must be above 0 and below 1, got ", options.delta);
    const Json found = meaning(options.epsilon, options.delta, "person");
    print(options.json, found, found["text"]);
    return 0;
  }
  const Ledger ledger = open_to_tell(options.path);
  if (!options.run_id.empty() || !options.data_set.empty()) require_known(ledger, options);
  Json all = Json::array();
  std::string text;
  const auto add = [&](const std::string& title, Json found) {
    text += cat(text.empty() ? "" : "\n\n", title, "\n", found["text"].get<std::string>());
    found["about"] = title;
    all.push_back(std::move(found));
  };
  for (const std::string& id : ledger.run_ids()) {
    const auto state = ledger.run(id);
    const auto& entry = state->entry;
    if (options.run_id.empty() ? options.data_set.empty() || options.data_set != entry.data_set : options.run_id != id)
      continue;
    Json found = state->epsilon > 0 ? meaning(state->epsilon, entry.delta, entry.unit_of_privacy)
                                    : nothing_spent(ledger, entry.data_set, entry.delta, entry.unit_of_privacy);
    if (state->refused) {
      found["refused"] = accountants::to_fields(*state->refused);
      found["text"] =
          cat(found["text"].get<std::string>(), "\n", report::refusal_sentence(*state->refused, entry.epsilon_cap));
    }
    add(cat("The run ", id, " of ", entry.who, " on ", entry.data_set, ", ", state->charged_steps, " steps:"),
        std::move(found));
  }
  if (options.run_id.empty())
    for (const std::string& name : ledger.data_sets()) {
      if (!options.data_set.empty() && options.data_set != name) continue;
      double delta = ledger.cap(name) ? ledger.cap(name)->delta : 0;
      std::string unit = "person";
      for (const std::string& id : ledger.run_ids())
        if (const auto state = ledger.run(id); state->entry.data_set == name)
          delta = delta > 0 ? delta : state->entry.delta, unit = state->entry.unit_of_privacy;
      const double spent = ledger.spent(name, delta);
      add(cat("All runs on ", name, " together:"),
          spent > 0 ? meaning(spent, delta, unit) : nothing_spent(ledger, name, delta, unit));
    }
  if (all.empty())
    add(options.data_set.empty() ? "All runs together:" : cat("All runs on ", options.data_set, " together:"),
        nothing_spent(ledger, options.data_set, 0, "person"));
  print(options.json, {{"explained", all}}, text);
  return 0;
}

}  // namespace

void add_ledger_explain(CLI::App& ledger, Action& chosen) {
  auto options = std::make_shared<ExplainOptions>();
  auto* tell = add_verb(ledger, chosen, options, "explain", "what a spend means, in plain words", explain);
  tell->footer(
      "Examples:\n  sotto ledger explain runs/ledger.sqlite --data-set diabetes130\n"
      "  sotto ledger explain --epsilon 3 --delta 1e-5");
  auto* place = tell->add_option("LEDGER", options->path, "ledger file; without it, explains --epsilon and --delta");
  auto* run = tell->add_option("--run", options->run_id, "this run alone");
  tell->add_option("--data-set", options->data_set, "this data set and its runs")->excludes(run);
  tell->add_option("--epsilon", options->epsilon, "without a ledger: this epsilon")->excludes(place);
  tell->add_option("--delta", options->delta, "without a ledger: at this delta")->excludes(place);
}

}  // namespace sotto::app
