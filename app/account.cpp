#include "app/account/commands.h"

namespace sotto::app {

void add_account(CLI::App& program, Action& chosen) {
  auto* account =
      program.add_subcommand("account", "what a plan costs, and what noise, steps or batch a budget allows");
  account->require_subcommand(1);
  account->footer(
      "Examples:\n"
      "  sotto account epsilon --noise-multiplier 1.1 --sample-rate 0.01 --steps 1000 --delta 1e-5 --lower\n"
      "  sotto account epsilon --events events.json --delta 1e-5 --relation replace_one\n"
      "  sotto account delta --noise-multiplier 1.1 --sample-rate 0.01 --steps 1000 --epsilon 2\n"
      "  sotto account noise --epsilon 3 --sample-rate 0.01 --steps 1000 --delta 1e-5 --json\n"
      "  sotto account steps --epsilon 2 --noise-multiplier 1 --sample-rate 0.01 --delta 1e-5 --accountant pld\n"
      "  sotto account batch --epsilon 2 --noise-multiplier 1 --steps 1000 --units 60000 --delta 1e-5\n"
      "  sotto account curve --noise-multiplier 1 --sample-rate 0.01 --steps 1000 --plot curve.html\n"
      "  sotto account compare --noise-multiplier 1 --sample-rate 0.01 --steps 1000 --delta 1e-5\n"
      "  sotto account table --noise-multiplier 0.8,1,1.2 --sample-rate 0.01 --steps 100,1000,10000 --delta 1e-5\n"
      "A bracket of pld holds for a schedule that was fixed in advance, such as a run's steps; caps and grants, which "
      "add runs up, take rdp.");
  add_account_bounds(*account, chosen);
  add_account_calibration(*account, chosen);
  add_account_curve(*account, chosen);
  add_account_compare(*account, chosen);
  add_account_table(*account, chosen);
}

}  // namespace sotto::app
