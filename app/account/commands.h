#pragma once
#include "app/command.h"

namespace sotto::app {

// The sub-commands of `sotto account`, a file each.
void add_account_bounds(CLI::App& account, Action& chosen);       // epsilon, delta
void add_account_calibration(CLI::App& account, Action& chosen);  // noise, steps, batch
void add_account_curve(CLI::App& account, Action& chosen);
void add_account_compare(CLI::App& account, Action& chosen);
void add_account_table(CLI::App& account, Action& chosen);

}  // namespace sotto::app
