#include "app/ledger.h"

#include "accountants/ledger/head_file.h"
#include "accountants/ledger/payload.h"
#include "accountants/ledger/signing_key.h"
#include "app/command.h"
#include "base/error.h"
#include "report/certificate.h"
#include "report/guarantee.h"
#include "report/numbers.h"

namespace sotto::app {
namespace {

using accountants::LedgerLocation;

struct Options {
  std::string path, certificate, head, data_set, key;
  double epsilon = 0, delta = 0;
  bool json = false;
};

int show(const Options& options) {
  const auto ledger = open_to_tell(options.path);
  Json runs = Json::array();
  std::string text;
  for (const std::string& id : ledger.run_ids()) {
    const auto state = ledger.run(id);
    const accountants::RunEntry& entry = state->entry;
    runs.push_back({{"run_id", id},
                    {"who", entry.who},
                    {"data_set", entry.data_set},
                    {"data_hash", entry.data_hash},
                    {"unit_of_privacy", entry.unit_of_privacy},
                    {"accountant", entry.accountant},
                    {"epsilon", state->epsilon},
                    {"epsilon_cap", entry.epsilon_cap},
                    {"delta", entry.delta},
                    {"charged_steps", state->charged_steps},
                    {"planned_steps", entry.planned_steps},
                    {"closed", state->closed}});
    if (state->refused) runs.back()["refused"] = accountants::to_fields(*state->refused);
    text += cat(id, "  ", entry.data_set, "  ", entry.who, "  ε ", report::round_up(state->epsilon, 4), " of ",
                report::exact(entry.epsilon_cap), "  steps ", state->charged_steps, " of ", entry.planned_steps, "  ",
                state->closed ? "closed" : "open", "\n");
    if (state->refused) text += cat("  ", report::refusal_sentence(*state->refused, entry.epsilon_cap), "\n");
  }
  Json sets = Json::array();
  for (const std::string& name : ledger.data_sets()) {
    const auto cap = ledger.cap(name);
    Json entry = {{"data_set", name}};
    if (cap) {
      const double spent = ledger.spent(name, cap->delta);
      entry.update({{"epsilon_cap", cap->epsilon}, {"delta", cap->delta}, {"epsilon", spent}});
      text += cat("data set ", name, ": ε ", report::round_up(spent, 4), " of ", report::exact(cap->epsilon),
                  " at δ = ", report::exact(cap->delta), "\n");
    }
    sets.push_back(entry);
  }
  const accountants::Head head = ledger.head();
  print(options.json, {{"runs", runs}, {"data_sets", sets}, {"head", {{"id", head.id}, {"hash", head.hash}}}},
        cat(text, "head: row ", head.id, ", ", head.hash));
  return 0;
}

int verify(const Options& options) {
  std::optional<accountants::Head> expected;
  if (!options.certificate.empty()) {
    const report::LedgerHead head = report::read_certificate(options.certificate).ledger_row;
    expected = {head.id, head.head_hash};
  }
  if (!options.head.empty()) expected = accountants::read_head(options.head).head;
  const auto found = accountants::Ledger::verify(LedgerLocation::parse(options.path), expected);
  std::string text = found.ok ? cat("the chain of ", found.head.id, " rows holds; head ", found.head.hash,
                                    found.signatures ? cat("\n", found.signatures, " signatures hold")
                                                     : "\nno row is signed: the ledger has no owner",
                                    expected ? cat("\nand row ", expected->id, " is the one expected") : "")
                              : "the ledger does not hold:";
  for (const std::string& finding : found.findings) text += "\n  " + finding;
  print(options.json,
        {{"ok", found.ok},
         {"findings", found.findings},
         {"signatures", found.signatures},
         {"head", {{"id", found.head.id}, {"hash", found.head.hash}}}},
        text);
  return found.ok ? 0 : 1;
}

int cap(const Options& options) {
  accountants::Ledger ledger = accountants::Ledger::open(LedgerLocation::parse(options.path));  // a first cap makes it
  if (!options.key.empty()) ledger.sign_with(accountants::SigningKey::read(options.key));
  ledger.set_cap(options.data_set, options.epsilon, options.delta);
  print(options.json, {{"data_set", options.data_set}, {"epsilon_cap", options.epsilon}, {"delta", options.delta}},
        cat("all runs on ", options.data_set, " together stay within ε = ", report::exact(options.epsilon),
            " at δ = ", report::exact(options.delta)));
  return 0;
}

}  // namespace

void add_ledger(CLI::App& program, Action& chosen) {
  auto* ledger = program.add_subcommand("ledger", "the record of privacy spent on a data set");
  ledger->require_subcommand(1);
  ledger->footer(
      "Examples:\n"
      "  sotto ledger show runs/ledger.sqlite\n"
      "  sotto ledger key owner.key && sotto ledger init runs/ledger.sqlite --owner-key owner.key --owner Olga\n"
      "  sotto ledger verify runs/ledger.sqlite --against runs/readmission/certificate.json\n"
      "  sotto ledger cap runs/ledger.sqlite --data-set diabetes130 --epsilon 8 --delta 1e-5 --key owner.key");
  auto options = std::make_shared<Options>();
  const auto add = [&](const char* name, const char* what, int (*act)(const Options&)) {
    auto* command = add_verb(*ledger, chosen, options, name, what, act);
    command->add_option("LEDGER", options->path, "ledger file")->required();
    return command;
  };
  add("show", "runs, what they may spend and what they spent", show);
  auto* verify_command =
      add("verify", "check the hash chain and the signatures; exit code 1 when it does not hold", verify);
  auto* against = verify_command->add_option("--against", options->certificate, "certificate whose row must be there");
  verify_command->add_option("--head", options->head, "head kept elsewhere (`head --out`), whose row must be there")
      ->excludes(against);
  auto* cap_command = add("cap", "limit what all runs on a data set may spend together, before its first run", cap);
  cap_command->add_option("--data-set", options->data_set, "name in the schema")->required();
  cap_command->add_option("--epsilon", options->epsilon, "the most that all runs on it may spend together")->required();
  cap_command->add_option("--delta", options->delta, "at this delta, in (0, 1)")->required();
  cap_command->add_option("--key", options->key, "an owner's key file (or SOTTO_LEDGER_KEY)");
  add_ledger_keys(*ledger, chosen);
  add_ledger_budgets(*ledger, chosen);
  add_ledger_explain(*ledger, chosen);
  add_ledger_exports(*ledger, chosen);
}

}  // namespace sotto::app
