#include "engine/tape/coverage.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/engine/oracle.h"

namespace sotto {
namespace {

using namespace torch::nn;
using Forward = std::function<at::Tensor(const at::Tensor&)>;

struct Checked {
  Subject subject;
  Parameters parameters;
  Tape tape;
  Probe probe;

  explicit Checked(const Factory& make, const std::function<at::Tensor(int64_t)>& input)
      : subject(make()), parameters(subject.named()), tape(Exec::cpu(1), parameters) {
    probe = {[input](int64_t batch, uint64_t seed) {
               at::manual_seed(seed);
               return input(batch);
             },
             [this](const at::Tensor& x) { return wavy_loss(subject.forward(x)); }};
  }
  std::vector<std::string> uncaptured() {
    std::vector<std::string> names;
    for (const int64_t k : uncaptured_parameters(tape, parameters, probe)) names.push_back(parameters.name(k));
    return names;
  }
};

Factory with_scale(const Forward& between = [](const at::Tensor& y) { return y; }) {
  return eager([=](Net& net) -> Forward {
    auto a = net.add("a", Linear(6, 4));
    const at::Tensor scale = net.own("scale", at::rand({1}) + 0.5), shift = net.own("shift", at::randn({3, 4}));
    return [=](const at::Tensor& x) { return between(a.ptr()->forward(x)) * scale.square() + shift.sum(0) * x.sum(1, true); };
  });
}

// Tokens and a table of positions, whose ids `ids` gives without knowing the batch.
Factory with_places(int64_t rows, std::optional<int64_t> padding, std::function<at::Tensor()> ids) {
  return eager([=](Net& net) -> Forward {
    auto tokens = net.add("tokens", Embedding(7, 4)), places = net.add("places", Embedding(EmbeddingOptions(rows, 4).padding_idx(padding)));
    return [=](const at::Tensor& x) { return tokens.ptr()->forward(x) + places.ptr()->forward(ids()); };
  });
}

TEST(Coverage, FindsTheParametersThatNoRuleTakes) {
  Checked bare(with_scale(), features({6}));
  EXPECT_EQ(bare.uncaptured(), (std::vector<std::string>{"scale", "shift"}));
  EXPECT_TRUE(bare.tape.uncaptured().empty()) << "finding out changes nothing";
  for (const auto& cases : {linear_cases(), embedding_cases(), norm_cases(), script_cases()})
    for (const Case& c : cases) EXPECT_TRUE(Checked(c.make, c.input).uncaptured().empty()) << c.name;
  Checked repeated(with_places(9, {}, [] { return at::zeros({5}, at::kLong); }), tokens(5, 7));
  EXPECT_EQ(repeated.uncaptured(), (std::vector<std::string>{"places.weight"})) << "ids that are no run of rows";
}

// As models have position ids: [T], [1, T], a part of a buffer; all samples share them, and the table is still captured.
TEST(Coverage, PositionIdsThatAllSamplesShareAreRowsOfTheirTable) {
  const std::function<at::Tensor()> ids[] = {[] { return at::arange(5, at::kLong); },
                                             [] { return at::arange(5, at::kLong).unsqueeze(0); },
                                             [] { return at::arange(9, at::kLong).unsqueeze(0).slice(1, 3, 8); },
                                             [] { return at::arange(5, at::kInt); }};
  for (const auto& of : ids)
    for (const int64_t batch : {1, 4, 5}) {
      const Case c = {"shared", with_places(9, {}, of), tokens(5, 7)};
      Checked checked(c.make, c.input);
      check_model(checked.tape, checked.parameters, checked.probe);
      EXPECT_TRUE(checked.tape.uncaptured().empty());
      const at::Tensor input = c.input(batch), truth = one_at_a_time(c, checked.subject, input);
      const Measured got = measure(checked.tape, checked.parameters, batch, [&] { return wavy_loss(checked.subject.forward(input)); });
      for (int64_t i = 0; i < batch; ++i) {
        const double norm = truth[i].norm().item<double>();
        EXPECT_LE((got.gradients[i] - truth[i]).norm().item<double>(), 2e-5 * norm);
        EXPECT_GE(std::sqrt(got.squared[i].item<double>()), norm * (1 - 2e-5));
      }
    }
  // A padding row gets no gradient, for which no rule is: each sample passes alone, and the result is right.
  const Case padded = {"padded", with_places(9, 2, ids[0]), tokens(5, 7)};
  Checked checked(padded.make, padded.input);
  check_model(checked.tape, checked.parameters, checked.probe);
  EXPECT_FALSE(checked.tape.uncaptured().empty());
}

TEST(Coverage, SharedIdsThatChangeAfterTheCheckAreRefused) {
  const auto shift = std::make_shared<int64_t>(0);
  Checked checked(with_places(9, {}, [shift] { return *shift < 0 ? at::zeros({5}, at::kLong) : at::arange(*shift, *shift + 5); }), tokens(5, 7));
  check_model(checked.tape, checked.parameters, checked.probe);
  const at::Tensor input = checked.probe.input(4, 1);
  const auto losses = [&] { return checked.probe.losses(input); };
  *shift = 3;
  EXPECT_NO_THROW(checked.tape.per_sample(4, losses)) << "another run of rows is as good";
  *shift = -1;
  EXPECT_THROW(checked.tape.per_sample(4, losses), Error);
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
