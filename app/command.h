#pragma once
#include <CLI/CLI.hpp>
#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

namespace sotto::app {

using Json = nlohmann::json;

// What a sub-command does when it is chosen; returns the exit code.
using Action = std::function<int()>;

// A sub-command registers its options on `program` and puts its action into `chosen` when it is the one asked for.
void add_train(CLI::App& program, Action& chosen);
void add_account(CLI::App& program, Action& chosen);
void add_ledger(CLI::App& program, Action& chosen);
void add_eval(CLI::App& program, Action& chosen);
void add_predict(CLI::App& program, Action& chosen);
void add_export(CLI::App& program, Action& chosen);
void add_report(CLI::App& program, Action& chosen);
void add_doctor(CLI::App& program, Action& chosen);
void add_norms(CLI::App& program, Action& chosen);
void add_plan(CLI::App& program, Action& chosen);
void add_bench(CLI::App& program, Action& chosen);
void add_bench_kernels(CLI::App& bench, Action& chosen);

// Adds --json to a sub-command: one JSON object on standard output and nothing else there.
inline void add_json_flag(CLI::App& command, bool& json) {
  command.add_flag("--json", json, "print one JSON object on standard output");
}

// Adds --threads; resolve it with threads_of.
inline void add_threads(CLI::App& command, int& threads) {
  command.add_option("--threads", threads, "threads (0: all cores)")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
}
inline int threads_of(int wanted) {
  return wanted > 0 ? wanted : static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

// Adds --precision, of matrix products as a tape takes them; resolve it with product_type (engine/autocast.h).
inline void add_precision(CLI::App& command, std::string& precision) {
  command
      .add_option("--precision", precision,
                  "of the operands of matrix products: with bfloat16 passes run under LibTorch's autocast")
      ->check(CLI::IsMember({"float32", "bfloat16"}))
      ->capture_default_str();
}

// Prints the JSON object, or the text for people.
void print(bool json, const Json& object, const std::string& text);

}  // namespace sotto::app
