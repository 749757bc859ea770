#include "engine/tape/tape.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>

#include "base/error.h"
#include "kernels/clip/clip.h"
#include "tests/engine/non_finite.h"
#include "tests/engine/oracle.h"

namespace sotto {
namespace {

// Float32 forward and backward passes of a few layers, against double.
constexpr double kFloatPasses = 2e-5;
// Gradients that are stored in bfloat16: 8 bits of precision.
constexpr double kRounding = 0x1p-8;
// The ghost norms' bounds on their own rounding may raise a norm by this much (kernels/ghost_norms).
constexpr double kWorstRaise = 1e-3;

struct Group {
  const char* name;
  std::vector<Case> (*cases)();
};
void PrintTo(const Group& group, std::ostream* out) { *out << group.name; }

class TapeTest : public ::testing::TestWithParam<Group> {
 protected:
  TapeTest() { at::set_num_threads(1); }  // tensors this small only wait for each other's threads

  // Calls `check(case, subject, parameters, tape)` for every case, keeping gradients or factors as their shapes say, and
  // where there is a choice by each method. `rounding_` is what the method may move a gradient by, relative to it.
  template <class Check>
  void for_each(const Check& check) {
    for (const Case& c : GetParam().cases())
      for (const int64_t limit : {int64_t{1} << 30, int64_t{0}}) {
        SCOPED_TRACE(c.name + (limit > 0 ? ", gradients may be stored" : ", factors alone"));
        at::manual_seed(11);
        const Subject subject = c.make();
        const Parameters parameters(subject.named());
        Tape tape(Exec::cpu(1), parameters);
        tape.set_storage_limit(limit);
        rounding_ = 0;
        check(c, subject, parameters, tape);
        if (limit == 0) continue;
        const std::vector<ProductShape> products = tape.products();  // of the last pass
        for (const NormMethod method : kNormMethods) {
          NormMethods methods;
          for (const ProductShape& product : products) {
            const std::vector<NormMethod> possible = product.methods();
            const bool takes = std::ranges::find(possible, method) != possible.end();
            if (takes && method_by_shape(product, 5, limit) != method) methods[product.parameter] = method;
          }
          if (methods.empty()) continue;
          SCOPED_TRACE(to_string(method));
          tape.set_norm_methods(methods);
          rounding_ = method == NormMethod::stored_bf16 ? kRounding : 0;
          check(c, subject, parameters, tape);
        }
      }
  }

  double rounding_ = 0;
};

TEST_P(TapeTest, AgreesWithOneSampleAtATimeInDouble) {
  for_each([this](const Case& c, const Subject& subject, const Parameters& parameters, Tape& tape) {
    for (const int64_t batch : {1, 5}) {
      const at::Tensor input = c.input(batch);
      const at::Tensor truth = one_at_a_time(c, subject, input);
      const Measured got = measure(tape, parameters, batch, [&] { return wavy_loss(subject.forward(input)); });
      ASSERT_EQ(truth.sizes(), got.gradients.sizes());
      for (int64_t i = 0; i < batch; ++i) {
        const double norm = truth[i].norm().item<double>(), bound = std::sqrt(got.squared[i].item<double>());
        EXPECT_GE(bound, norm * (1 - kFloatPasses - rounding_)) << "sample " << i << " of " << batch;
        EXPECT_LE(bound, norm * (1 + kWorstRaise + rounding_)) << "sample " << i << " of " << batch;
        EXPECT_LE((got.gradients[i] - truth[i]).norm().item<double>(), (kFloatPasses + rounding_) * norm) << "sample " << i << " of " << batch;
        // As it is summed, three roundings above the bound at most; clip_factors leaves room for four.
        EXPECT_LE(got.gradients[i].norm().item<double>(), bound * (1 + 3 * 0x1p-24));
      }
    }
  });
}

TEST_P(TapeTest, ClippedSumIsTheSumOfClippedGradients) {
  for_each([this](const Case& c, const Subject& subject, const Parameters& parameters, Tape& tape) {
    constexpr int64_t batch = 6;
    const at::Tensor input = c.input(batch);
    const at::Tensor truth = one_at_a_time(c, subject, input);
    const at::Tensor norms = truth.norm(2, 1);
    const double clip_norm = norms.median().item<double>();
    const at::Tensor expected = truth.t().mv((clip_norm / norms).clamp_max(1.0));
    const Measured got = measure(tape, parameters, batch, [&] { return wavy_loss(subject.forward(input)); });
    at::Tensor factors = at::empty({batch});
    kernels::clip_factors(Exec::cpu(1), {got.squared.const_data_ptr<double>(), batch}, {}, clip_norm,
                          {factors.mutable_data_ptr<float>(), batch});
    const at::Tensor sum = clipped_sum(got.grads, parameters, factors).to(at::kDouble);
    EXPECT_LE((sum - expected).norm().item<double>(), (kWorstRaise + kFloatPasses + 2 * rounding_) * batch * clip_norm);
    // With its own factors, nothing but rounding is left: a few units of float32 a sample.
    const at::Tensor own = got.gradients.t().mv(factors.to(at::kDouble));
    EXPECT_LE((sum - own).norm().item<double>(), 16 * 0x1p-24 * batch * clip_norm);
  });
}

TEST_P(TapeTest, NonFiniteSampleIsDroppedAndTheOthersKeepTheirBits) {
  for_each([](const Case& c, const Subject& subject, const Parameters& parameters, Tape& tape) {
    expect_non_finite_sample_is_dropped(c, parameters, tape, [&](const at::Tensor& x) { return wavy_loss(subject.forward(x)); });
  });
}

INSTANTIATE_TEST_SUITE_P(Layers, TapeTest,
                         ::testing::Values(Group{"linear", linear_cases}, Group{"embedding", embedding_cases},
                                           Group{"norm", norm_cases}, Group{"script", script_cases},
                                           Group{"convolution", convolution_cases}, Group{"model", model_cases},
                                           Group{"recurrent", recurrent_cases},
                                           Group{"elementwise", elementwise_cases}, Group{"matmul", matmul_cases},
                                           Group{"group_norm", group_norm_cases}, Group{"embedding_bag", embedding_bag_cases}),
                         [](const auto& info) { return std::string(info.param.name); });

// .grad is where autograd would leave a gradient summed over the samples.
TEST(Tape, NeverFormsAnUnclippedGradientAndLeavesOrdinaryTrainingAlone) {
  for (const auto& cases : {linear_cases(), embedding_cases(), norm_cases(), script_cases(), convolution_cases(), recurrent_cases(), elementwise_cases(), matmul_cases(), group_norm_cases(), embedding_bag_cases(), model_cases()})
    for (const Case& c : cases) {
      SCOPED_TRACE(c.name);
      at::manual_seed(3);
      const Subject subject = c.make();
      const Parameters parameters(subject.named());
      const at::Tensor input = c.input(5);
      std::vector<at::Tensor> all;
      for (int64_t k = 0; k < parameters.size(); ++k) all.push_back(parameters.tensor(k));
      const auto plain = [&] { return torch::autograd::grad({wavy_loss(subject.forward(input)).sum()}, {all.begin(), all.end()}); };
      const auto before = plain();
      Tape tape(Exec::cpu(1), parameters);
      const Measured got = measure(tape, parameters, 5, [&] { return wavy_loss(subject.forward(input)); });
      for (const at::Tensor& parameter : all) {
        EXPECT_FALSE(parameter.grad().defined());
        EXPECT_TRUE(parameter.requires_grad() && parameter.is_leaf());
      }
      const auto after = plain();
      std::vector<at::Tensor> parts;
      for (size_t k = 0; k < all.size(); ++k) {
        // TorchScript's second run is an optimised one, hence not the same bits.
        EXPECT_TRUE(before[k].allclose(after[k], 1e-4, 1e-5)) << parameters.name(static_cast<int64_t>(k));
        parts.push_back(after[k].reshape({-1}));
      }
      // The samples' gradients add up to the ordinary one.
      const at::Tensor ordinary = at::cat(parts).to(at::kDouble);
      EXPECT_LE((got.gradients.sum(0) - ordinary).norm().item<double>(),
                kFloatPasses * got.gradients.norm(2, 1).sum().item<double>());
    }
}

// The interpreter specialises and fuses what it has run a few times; such operators are not captured, which must be found.
// engine/model.cpp therefore never lets it: see model_test.cpp.
TEST(Tape, RefusesAScriptThatTheInterpreterHasFused) {
  const Case c = script_cases().front();
  const Subject subject = c.make();
  const Parameters parameters(subject.named());
  const at::Tensor input = c.input(4);
  for (int i = 0; i < 5; ++i) wavy_loss(subject.forward(input)).sum().backward();
  Tape tape(Exec::cpu(1), parameters);
  EXPECT_THROW(tape.per_sample(4, [&] { return wavy_loss(subject.forward(input)); }), Error);
}

}  // namespace
}  // namespace sotto
