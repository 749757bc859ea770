#pragma once
#include <filesystem>
#include <functional>
#include <string>

#include "base/error.h"
#include "report/certificate.h"
#include "report/run_folder.h"

namespace sotto::report {

// A run as the trainer leaves it: MedAI's readmission model, 400 steps, epsilon 2.735123… of 3.
Certificate fixture_certificate();

// Scores of a made-up classifier: `shift` separates the classes. Reproducible.
Evaluation fixture_evaluation(int64_t count, double shift, uint64_t seed);

struct FixtureOptions {
  Certificate certificate = fixture_certificate();
  bool baseline = true;
  bool auc_agrees = true;  // sets metrics.test_auc, if there are metrics, to the evaluation's
};

// Writes the run folder `run` and run.operator.
void write_fixture(const std::filesystem::path& run, const FixtureOptions& options = {});

// A fresh folder for the test that is running.
std::filesystem::path test_folder();

// The page without what plotly and the style say: what this project wrote.
std::string own_text(const std::string& page);

bool has(const std::string& text, const std::string& part);
size_t count_of(const std::string& text, const std::string& part);

// The message of the error that `work` must throw.
std::string message_of(const std::function<void()>& work, ErrorKind kind = ErrorKind::data);

}  // namespace sotto::report
