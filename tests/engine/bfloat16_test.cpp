#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/jit/runtime/graph_executor.h>

#include <algorithm>
#include <optional>
#include <set>

#include "base/error.h"
#include "engine/tape/by_unit.h"
#include "engine/tape/norms_beside.h"
#include "tests/engine/checked.h"
#include "tests/engine/non_finite.h"
#include "tests/engine/oracle.h"
#include "tests/engine/private_fixture.h"

namespace sotto {
namespace {

using namespace torch::nn;
using Forward = std::function<at::Tensor(const at::Tensor&)>;

constexpr double kUnit = 0x1p-8;  // of bfloat16
// A pass rounds each factor and each output once: by half a unit, a few deep.
constexpr double kPasses = 4 * kUnit;
// fp32 sums of at most some hundred products of bfloat16, each exact.
constexpr double kFloatSums = 1e-5;
constexpr double kWorstRaise = 5e-3;  // of a norm by its own bound: 2e-3 (kernels/ghost_norms), more where a table and its head cancel

const std::vector<std::vector<Case> (*)()> kTables = {linear_cases, embedding_cases, norm_cases, script_cases, convolution_cases, recurrent_cases,
                                                      elementwise_cases, matmul_cases, group_norm_cases, embedding_bag_cases, model_cases};
// LibTorch's autocast itself gives these operators two types, and they refuse: held against double.
const std::set<std::string> kRefusedByAutocast = {"mv", "bag with weights from a layer"};

at::Tensor loss_of(const Subject& subject, const at::Tensor& input) { return wavy_loss(subject.forward(input).to(at::kFloat)); }

struct InAutocast {
  InAutocast() {
    at::autocast::set_autocast_enabled(at::kCPU, true);
    at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
  }
  ~InAutocast() {
    at::autocast::set_autocast_enabled(at::kCPU, false);
    at::autocast::clear_cache();
  }
};

// LibTorch's own: autocast with its cache, autograd, one sample at a time. Nothing of the engine but the parameters' order.
// None where this processor has no code for it: oneDNN's recurrent layers in bfloat16 need AVX-512.
std::optional<at::Tensor> autocast_alone(const Subject& subject, const Parameters& parameters, const at::Tensor& input) {
  const torch::jit::GraphOptimizerEnabledGuard plain_interpreter(false);
  std::vector<at::Tensor> trained, rows;
  for (int64_t k = 0; k < parameters.size(); ++k) trained.push_back(parameters.tensor(k));
  for (int64_t i = 0; i < input.size(0); ++i) {
    at::Tensor loss;
    try {
      const InAutocast autocast;
      loss = loss_of(subject, input.narrow(0, i, 1)).sum();
    } catch (const std::exception& error) {
      if (std::string(error.what()).find("could not create a primitive descriptor") == std::string::npos) throw;
      return std::nullopt;
    }
    std::vector<at::Tensor> parts;
    for (const at::Tensor& gradient : torch::autograd::grad({loss}, {trained.begin(), trained.end()}, {}, {}, false, true)) {
      const at::Tensor& like = trained[parts.size()];
      parts.push_back(gradient.defined() ? gradient.reshape({-1}).to(at::kDouble) : at::zeros({like.numel()}, at::kDouble));
    }
    rows.push_back(at::cat(parts));
  }
  return at::stack(rows);
}

class Bfloat16 : public ::testing::Test {
 protected:
  Bfloat16() { at::set_num_threads(1); }  // tensors this small only wait for each other's threads

  // Calls `check(case, subject, parameters, tape)` for every rule's cases, with factors and by each method that a product has.
  template <class Check>
  static void for_each(const Check& check) {
    for (const auto& table : kTables)
      for (const Case& c : table())
        for (const int64_t limit : {int64_t{1} << 30, int64_t{0}}) {
          SCOPED_TRACE(c.name + (limit > 0 ? ", gradients may be stored" : ", factors alone"));
          at::manual_seed(11);
          const Subject subject = c.make();
          const Parameters parameters(subject.named());
          Tape tape(Exec::cpu(1), parameters);
          tape.set_product_type(at::kBFloat16);
          tape.set_storage_limit(limit);
          check(c, subject, parameters, tape);
          if (limit == 0) continue;
          const std::vector<ProductShape> products = tape.products();  // of the last pass
          for (const NormMethod method : {NormMethod::direct, NormMethod::stored, NormMethod::recomputed, NormMethod::stored_bf16}) {
            NormMethods methods;
            for (const ProductShape& product : products)
              if (const auto possible = product.methods(); !product.convolution && std::ranges::find(possible, method) != possible.end())
                methods[product.parameter] = method;
            if (methods.empty()) continue;
            SCOPED_TRACE(to_string(method));
            tape.set_norm_methods(methods);
            check(c, subject, parameters, tape);
          }
        }
  }
};

TEST_F(Bfloat16, GradientsAreThoseOfAutocastOneSampleAtATimeAndWithinTheirNorms) {
  int64_t narrow = 0;
  for_each([&](const Case& c, const Subject& subject, const Parameters& parameters, Tape& tape) {
    constexpr int64_t batch = 5;
    const at::Tensor input = c.input(batch);
    const at::Tensor truth = one_at_a_time(c, subject, input);
    const at::Tensor autocast =
        kRefusedByAutocast.contains(c.name) ? truth : autocast_alone(subject, parameters, input).value_or(truth);
    const Measured got = measure(tape, parameters, batch, [&] { return loss_of(subject, input); });
    // Its rectifiers and maxima are many: noise of 0.3 % on the input moves a gradient by up to a quarter.
    const double kinks = c.name == "resnet" ? 0.3 : 0;
    for (int64_t i = 0; i < batch; ++i) {
      // No further from the true gradient than LibTorch's own autocast, but for places where the two round apart: a
      // normalisation's output, a gradient before or after it is added up.
      const double error = (got.gradients[i] - truth[i]).norm().item<double>(), usual = (autocast[i] - truth[i]).norm().item<double>();
      EXPECT_LE(error, 2 * usual + (kPasses + kinks) * truth[i].norm().item<double>()) << "sample " << i;
      const double norm = got.gradients[i].norm().item<double>(), bound = std::sqrt(got.squared[i].item<double>());
      EXPECT_LE(norm, bound * (1 + 3 * 0x1p-24)) << "sample " << i;
      EXPECT_GE(norm * (1 + kWorstRaise), bound) << "sample " << i;
    }
    for (const ParameterSamples& samples : got.grads.parameters)
      for (const FactoredUse& use : samples.factored) narrow += use.gradient.scalar_type() == at::kBFloat16;
  });
  EXPECT_GE(narrow, 100) << "sequences keep their factors in bfloat16";
}

// Of what the tape kept, in double: the rounded rows are the gradient, and nothing rounds them again.
TEST_F(Bfloat16, NormsAndSumsAreOfTheRoundedRowsExactly) {
  constexpr int64_t batch = 4, length = 24, inputs = 12, outputs = 10;
  for (const double scale : {1e-18, 1e-6, 1.0, 1e6, 1e15}) {
    at::manual_seed(4);
    const at::Tensor weight = at::randn({outputs, inputs}).set_requires_grad(true), bias = at::randn({outputs}).set_requires_grad(true);
    const Parameters parameters({{"weight", weight}, {"bias", bias}});
    Tape tape(Exec::cpu(1), parameters);
    tape.set_product_type(at::kBFloat16);
    tape.set_storage_limit(0);
    at::Tensor x = at::randn({batch, length, inputs}), g = at::randn({batch, length, outputs}).mul_(scale);
    x[1].copy_(x[1].abs() * at::tensor({1.0f, -1.0f}).repeat({inputs / 2}));  // sample 1: its rows cancel in pairs
    for (int64_t t = 0; t < length; t += 2) {
      g[1][t + 1].copy_(g[1][t]);
      x[1][t + 1].copy_(x[1][t].neg());
    }
    g[1][0].mul_(1.01);
    x[2].mul_(at::logspace(-12, 12, length).view({-1, 1}));  // sample 2: rows of all magnitudes
    const Measured got = measure(tape, parameters, batch, [&] { return (at::linear(x, weight, bias) * g).to(at::kFloat).flatten(1).sum(1); });
    const auto rounded = [](const at::Tensor& rows) { return rows.to(at::kBFloat16).to(at::kDouble); };
    // ∂loss/∂output is g itself, and autograd's cast makes it bfloat16.
    const at::Tensor exact = at::bmm(rounded(g).transpose(1, 2), rounded(x)).flatten(1), of_bias = rounded(g).sum(1);
    const at::Tensor mass = (rounded(g).norm(2, 2) * rounded(x).norm(2, 2)).sum(1), bias_mass = rounded(g).norm(2, 2).sum(1);
    for (int64_t i = 0; i < batch; ++i) {
      SCOPED_TRACE(cat("scale ", scale, ", sample ", i));
      const at::Tensor sum = got.gradients[i].narrow(0, 0, outputs * inputs), bias_sum = got.gradients[i].narrow(0, outputs * inputs, outputs);
      EXPECT_LE((sum - exact[i]).norm().item<double>(), kFloatSums * mass[i].item<double>());
      EXPECT_LE((bias_sum - of_bias[i]).norm().item<double>(), 1e-6 * bias_mass[i].item<double>());
      const double true_norm = std::hypot(exact[i].norm().item<double>(), of_bias[i].norm().item<double>()), bound = std::sqrt(got.squared[i].item<double>());
      EXPECT_GE(bound, true_norm * (1 - 1e-6));
      EXPECT_GE(bound * (1 + 3 * 0x1p-24), got.gradients[i].norm().item<double>());
      EXPECT_LE(bound, true_norm + 1e-4 * mass[i].item<double>()) << "kTensorSampleRounding of Σ‖g‖‖a‖, and the norm's own error";
      const at::Tensor rows = gradient_rows(got.grads, 0, outputs * inputs, i, 1)[0].to(at::kDouble);
      EXPECT_LE((rows - exact[i]).norm().item<double>(), kFloatSums * mass[i].item<double>()) << "as a lattice takes them";
    }
  }
}

TEST_F(Bfloat16, NonFiniteSampleIsDroppedAndTheOthersKeepTheirBits) {
  for_each([](const Case& c, const Subject& subject, const Parameters& parameters, Tape& tape) {
    expect_non_finite_sample_is_dropped(c, parameters, tape, [&](const at::Tensor& x) { return loss_of(subject, x); });
  });
}

// Attention over a sequence and a head: linear layers, products without parameters, a normalisation, a bias.
Case attention() {
  return {"attention", eager([](Net& net) -> Forward {
            auto q = net.add("q", Linear(8, 8)), k = net.add("k", Linear(8, 8)), v = net.add("v", Linear(8, 8)), head = net.add("head", Linear(8, 2));
            auto norm = net.add("norm", LayerNorm(LayerNormOptions({8})));
            return [=](const at::Tensor& x) {
              const at::Tensor y = norm.ptr()->forward(x);
              const at::Tensor mixed = at::scaled_dot_product_attention(q.ptr()->forward(y), k.ptr()->forward(y), v.ptr()->forward(y));
              return head.ptr()->forward((x + mixed).mean(1));
            };
          }), features({12, 8})};
}

TEST_F(Bfloat16, NoUnitMovesAClippedSumByMoreThanTheSensitivity) {
  const Case c = attention();
  at::manual_seed(5);
  const Subject subject = c.make();
  const Parameters parameters(subject.named());
  constexpr int64_t units = 24;
  at::Tensor input = c.input(units);
  const at::Tensor loss_scales = at::exp(at::randn({units}).mul_(6));  // gradients of all lengths
  for (const std::string noise : {"gaussian", "discrete_gaussian"})
    for (const int64_t microbatch : {1, 7, 24}) {
      SCOPED_TRACE(cat(noise, ", micro-batches of ", microbatch));
      Tape tape(Exec::cpu(1), parameters);
      tape.set_product_type(at::kBFloat16);
      tape.set_storage_limit(0);
      PrivacyConfig config = private_config();
      config.noise = noise;
      config.sample_rate = 1;
      config.public_size = units;
      const Clipping clipping = PrivacyPlan(config, microbatch, RunKey::from_seed(5), {.parameter_elements = parameters.elements(), .rows_per_unit = 12}).clipping();
      const auto sum_of = [&](const std::vector<int64_t>& drawn) {
        StepTrace trace;
        const ClippedSum sum = clip(Exec::cpu(1), parameters, clipping, {drawn}, [&](const std::vector<int64_t>& some) {
          const at::Tensor index = at::tensor(at::ArrayRef<int64_t>(some), at::kLong);
          return tape.per_sample(std::ssize(some), [&] { return loss_of(subject, input.index_select(0, index)) * loss_scales.index_select(0, index); });
        }, trace);
        std::vector<at::Tensor> parts;
        for (const at::Tensor& part : PlanPartsForTests::sums(sum))
          parts.push_back(part.reshape({-1}).to(at::kDouble) * (sum.on_lattice() ? sum.lattice().step : 1.0));
        return at::cat(parts);
      };
      double longest = 0;
      for (int64_t unit = 0; unit < units; ++unit) {
        const double alone = sum_of({unit}).norm().item<double>();
        EXPECT_LE(alone, kClipNorm * (noise == "gaussian" ? 1 : 1 + 0x1p-40)) << "unit " << unit;
        longest = std::max(longest, alone);
      }
      EXPECT_GE(longest, kClipNorm * (1 - kWorstRaise)) << "clipped further than needed";
      if (microbatch != units || noise != "gaussian") continue;
      EXPECT_LT(clipping.l2_sensitivity(), kClipNorm * 1.01) << "rounding should not cost noise";
      // One batch with each unit and with its gradient dropped: the passes are the same bits, so nothing else moves.
      const auto all = first_units(units);
      const at::Tensor with = sum_of(all);
      for (int64_t unit = 0; unit < units; unit += 5) {
        const at::Tensor kept = input.select(0, unit).clone();
        input.select(0, unit).fill_(NAN);
        EXPECT_LE((with - sum_of(all)).norm().item<double>(), clipping.l2_sensitivity()) << "unit " << unit;
        input.select(0, unit).copy_(kept);
      }
    }
}

// Units of several records: their rows stay in bfloat16, in segments of a table.
TEST_F(Bfloat16, UnitsHaveTheSumOfTheirRecordsAndNormsBesideThePassAreTheSame) {
  const Case c = attention();
  at::manual_seed(6);
  const Subject subject = c.make();
  const Parameters parameters(subject.named());
  const at::Tensor input = c.input(6);
  Tape tape(Exec::cpu(1), parameters);
  tape.set_product_type(at::kBFloat16);
  tape.set_storage_limit(0);
  const auto losses = [&] { return loss_of(subject, input); };
  const Measured records = measure(tape, parameters, 6, losses);
  const std::vector<int64_t> starts = {0, 1, 4, 6};
  const Measured units = measure(parameters, by_unit(tape.per_sample(6, losses), starts, parameters));
  for (int64_t u = 0; u < 3; ++u) {
    const int64_t first = starts[static_cast<size_t>(u)], own = starts[static_cast<size_t>(u) + 1] - first;
    const at::Tensor sum = records.gradients.narrow(0, first, own).sum(0);
    const double norm = sum.norm().item<double>(), bound = std::sqrt(units.squared[u].item<double>());
    EXPECT_LE((units.gradients[u] - sum).norm().item<double>(), kFloatSums * norm) << "unit " << u;
    EXPECT_GE(bound * (1 + 3 * 0x1p-24), units.gradients[u].norm().item<double>()) << "unit " << u;
    EXPECT_LE(bound, norm * (1 + kWorstRaise)) << "unit " << u;
  }
  tape.set_beside(Exec::cpu(1));
  const Measured beside = measure(tape, parameters, 6, losses);
  int64_t measured = 0;
  for (int64_t k = 0; k < parameters.size(); ++k) measured += beside.grads.beside->has(k);
  EXPECT_GE(measured, 3) << "q, k and v";
  EXPECT_LE(((beside.squared - records.squared) / records.squared).abs().max().item<double>(), 1e-12);
}

TEST_F(Bfloat16, OperatorsWithoutParametersFollowAutocastAndOnlyInThePass) {
  const at::Tensor weight = at::randn({4, 6}).set_requires_grad(true);
  const Parameters parameters({{"weight", weight}});
  Tape tape(Exec::cpu(1), parameters);
  const at::Tensor x = at::randn({3, 5, 6});
  std::vector<at::ScalarType> types;
  const auto losses = [&] {
    const at::Tensor scores = at::bmm(x, x.transpose(1, 2)), y = at::linear(x, weight);
    types = {scores.scalar_type(), y.scalar_type(), at::softmax(scores.to(at::kFloat), 2).scalar_type()};
    return y.to(at::kFloat).square().flatten(1).sum(1);
  };
  tape.per_sample(3, losses);
  EXPECT_EQ(types, (std::vector<at::ScalarType>{at::kFloat, at::kFloat, at::kFloat}));
  tape.set_product_type(at::kBFloat16);
  tape.per_sample(3, losses);
  EXPECT_EQ(types, (std::vector<at::ScalarType>{at::kBFloat16, at::kBFloat16, at::kFloat}));
  EXPECT_EQ(at::bmm(x, x.transpose(1, 2)).scalar_type(), at::kFloat) << "outside the pass nothing is left on";
  EXPECT_THROW(tape.set_product_type(at::kHalf), Error);
}

// at::addbmm has no rule, and autocast casts its operands. Where the caller is under autocast itself, a cast that is kept
// would outlive the pass, and the update of what it was made of.
TEST_F(Bfloat16, NoCastOfAWeightIsKeptForTheNextPass) {
  const at::Tensor w = at::randn({1, 6, 4}).set_requires_grad(true), x = at::randn({1, 3, 6});
  const Parameters parameters({{"w", w}});
  Tape tape(Exec::cpu(1), parameters);
  tape.set_product_type(at::kBFloat16);
  const auto output = [&] {
    at::Tensor made;
    tape.observe(3, [&] { return made = at::addbmm(at::zeros({3, 4}), x, w).sum(1); });
    return made.detach().to(at::kDouble);
  };
  at::autocast::increment_nesting();
  const at::Tensor before = output();
  {
    const at::NoGradGuard no_grad;
    w.mul_(-1);
  }
  const at::Tensor after = output();
  at::autocast::decrement_nesting();
  at::autocast::clear_cache();
  EXPECT_TRUE(after.equal(-before));
}

TEST_F(Bfloat16, CastThatTheModelMakesPassesEachSampleAlone) {
  std::vector<at::ScalarType> types;
  const Case c = {"", eager([&types](Net& net) -> Forward {
                    auto a = net.add("a", Linear(6, 4)), b = net.add("b", Linear(4, 3));
                    return [=, &types](const at::Tensor& x) {
                      const at::Tensor y = at::linear(x, a->weight.to(at::kBFloat16), a->bias);
                      types.push_back(y.scalar_type());
                      return b.ptr()->forward(y.tanh());
                    };
                  }), features({6})};
  Checked checked(c.make, c.input);
  checked.tape.set_product_type(at::kBFloat16);
  EXPECT_NO_THROW(check_model(checked.tape, checked.parameters, checked.probe));
  EXPECT_TRUE(std::ranges::all_of(types, [](at::ScalarType type) { return type == at::kBFloat16; })) << "checks pass in the run's precision";
  EXPECT_EQ(checked.tape.uncaptured().size(), 4u);
  const at::Tensor input = c.input(5), truth = autocast_alone(checked.subject, checked.parameters, input).value();
  const GradSamples grads = checked.tape.per_sample(5, [&](int64_t first, int64_t count) { return loss_of(checked.subject, input.narrow(0, first, count)); });
  int64_t column = 0;
  for (int64_t k = 0; k < checked.parameters.size(); ++k) {
    const int64_t elements = checked.parameters.tensor(k).numel();
    const at::Tensor own = truth.narrow(1, column, elements);
    EXPECT_LE((gradient_rows(grads, k, elements).to(at::kDouble) - own).norm().item<double>(), kPasses * own.norm().item<double>());
    column += elements;
  }
}

TEST_F(Bfloat16, SamplesThatReachEachOtherAreRefused) {
  const Forward mixers[] = {[](const at::Tensor& y) { return y - y.mean(0, true); },
                            [](const at::Tensor& y) { return y + at::roll(y, 1, 0); },
                            [](const at::Tensor& y) { return y + at::mm(at::softmax(at::mm(y, y.t()), 1), y); }};
  for (const bool hidden : {false, true})
    for (const Forward& mixer : mixers) {
      const Case c = {"", eager([=](Net& net) -> Forward {
                        auto a = net.add("a", Linear(6, 4)), b = net.add("b", Linear(4, 3));
                        return [=](const at::Tensor& x) {
                          const at::Tensor y = at::linear(x, hidden ? a->weight.to(at::kBFloat16) : a->weight, a->bias);
                          return b.ptr()->forward(mixer(y));
                        };
                      }), features({6})};
      Checked checked(c.make, c.input);
      checked.tape.set_product_type(at::kBFloat16);
      try {
        check_model(checked.tape, checked.parameters, checked.probe);
        ADD_FAILURE() << "hidden " << hidden << ", mixer " << &mixer - mixers;
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::configuration);
        EXPECT_NE(std::string(error.what()).find("changing one sample"), std::string::npos) << error.what();
      }
    }
}

TEST_F(Bfloat16, FactorsOfSequencesTakeHalfTheMemory) {
  const ProductShape wide = {.parameter = 0, .length = 16, .rows = 8, .columns = 8};
  ProductShape narrow = wide;
  narrow.factors = at::kBFloat16;
  EXPECT_EQ(2 * narrow.kept_bytes(NormMethod::ghost, 5), wide.kept_bytes(NormMethod::ghost, 5));
  EXPECT_EQ(narrow.kept_bytes(NormMethod::stored, 5), wide.kept_bytes(NormMethod::stored, 5)) << "stored gradients are as before";
}

}  // namespace
}  // namespace sotto
