#pragma once
#include <CLI/CLI.hpp>

namespace sotto::app {

// What CLI11 lets pass or says too little of.

// Throws CLI::RequiredError or CLI::ExtrasError where the words name no sub-command, or stop
// before one that is needed: with the word, the nearest name and all that there are.
void refuse_unknown_command(const CLI::App& program, int count, const char* const* words);

// From here on every numeric option of the program and its sub-commands is a number that its type holds, or refused as
// it was typed: integers in decimal digits without leading zeros (CLI11 takes 010 for 8 and everything above 2^63 for
// 2^63 - 1), reals not beyond the range of a double (1e999 would be infinite, 1e-999 nothing). `inf` and `nan` pass.
void hold_numbers_to_their_words(CLI::App& program);

}  // namespace sotto::app
