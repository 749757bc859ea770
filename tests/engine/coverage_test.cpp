#include "engine/tape/coverage.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/engine/checked.h"
#include "tests/engine/oracle.h"

namespace sotto {
namespace {

using namespace torch::nn;
using Forward = std::function<at::Tensor(const at::Tensor&)>;

Factory with_scale(const Forward& between = [](const at::Tensor& y) { return y; }) {
  return eager([=](Net& net) -> Forward {
    auto a = net.add("a", Linear(6, 4));
    const at::Tensor scale = net.own("scale", at::rand({1}) + 0.5), shift = net.own("shift", at::randn({3, 4}));
    return [=](const at::Tensor& x) { return between(a.ptr()->forward(x)) * scale.square() + shift.sum(0) * x.sum(1, true); };
  });
}

TEST(Coverage, FindsTheParametersThatNoRuleTakes) {
  Checked bare(with_scale(), features({6}));
  EXPECT_EQ(bare.uncaptured(), (std::vector<std::string>{"scale", "shift"}));
  EXPECT_TRUE(bare.tape.uncaptured().empty()) << "finding out changes nothing";
  for (const auto& cases : {linear_cases(), embedding_cases(), norm_cases(), script_cases()})
    for (const Case& c : cases) EXPECT_TRUE(Checked(c.make, c.input).uncaptured().empty()) << c.name;
}

TEST(Coverage, FallsBackToSamplesAloneAndAgreesWithTheLoop) {
  const Case c = {"bare", with_scale([](const at::Tensor& y) { return y.tanh(); }), features({6})};
  Checked checked(c.make, c.input);
  const ModelStructure structure = check_model(checked.tape, checked.parameters, checked.probe);
  EXPECT_EQ(structure.parameter_elements, checked.parameters.elements());
  EXPECT_EQ(checked.tape.uncaptured().size(), 4u);
  const at::Tensor input = c.input(5), truth = one_at_a_time(c, checked.subject, input);
  const GradSamples grads = checked.tape.per_sample(5, [&](int64_t first, int64_t count) {
    return wavy_loss(checked.subject.forward(input.narrow(0, first, count)));
  });
  int64_t column = 0;
  for (int64_t k = 0; k < checked.parameters.size(); ++k) {
    const int64_t elements = checked.parameters.tensor(k).numel();
    const at::Tensor own = truth.narrow(1, column, elements);
    EXPECT_LE((gradient_rows(grads, k, elements).to(at::kDouble) - own).norm().item<double>(), 2e-5 * own.norm().item<double>());
    column += elements;
  }
}

TEST(Coverage, SamplesThatReachEachOtherAreRefusedThereToo) {
  const std::pair<const char*, Forward> mixers[] = {
      {"changing one sample", [](const at::Tensor& y) { return y - y.mean(0, true); }},
      {"changing one sample", [](const at::Tensor& y) { return y.flip(0); }},
      {"changing one sample", [](const at::Tensor& y) { return y + y.narrow(0, 0, 1); }},
      {"the number of samples", [](const at::Tensor& y) { return y / y.size(0); }}};
  for (const auto& [words, mixer] : mixers) {
    Checked checked(with_scale(mixer), features({6}));
    try {
      check_model(checked.tape, checked.parameters, checked.probe);
      ADD_FAILURE() << words;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::configuration);
      EXPECT_NE(std::string(error.what()).find(words), std::string::npos) << error.what();
      EXPECT_NE(std::string(error.what()).find("parameters scale and 3 more"), std::string::npos) << error.what();
    }
  }
  Checked with_dropout(with_scale([](const at::Tensor& y) { return at::dropout(y, 0.5, true); }), features({6}));
  EXPECT_NO_THROW(check_model(with_dropout.tape, with_dropout.parameters, with_dropout.probe));
}

}  // namespace
}  // namespace sotto
