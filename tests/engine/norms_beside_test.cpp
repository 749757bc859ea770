#include "engine/tape/norms_beside.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "cuda/device.h"
#include "engine/site.h"
#include "engine/step_bench/bench_task.h"
#include "engine/tape/tape.h"
#include "tests/engine/subject.h"

namespace sotto {
namespace {

struct Norms {
  at::Tensor squared;
  int64_t beside = 0;  // parameters whose norms were measured in the backward pass
};

Norms norms_of(Tape& tape, const Exec& exec, const Parameters& parameters, const std::optional<Exec>& beside,
               int64_t batch, const std::function<at::Tensor()>& losses) {
  tape.set_beside(beside);
  GradSamples grads = tape.per_sample(batch, losses);
  const at::NoGradGuard no_grad;
  Norms made = {at::zeros({batch}, parameters.tensor(0).options().dtype(at::kDouble).requires_grad(false))};
  for (int64_t k = 0; grads.beside && k < parameters.size(); ++k) made.beside += grads.beside->has(k);
  add_squared_norms(exec, parameters, grads, made.squared);
  made.squared = made.squared.cpu();
  return made;
}

// Each norm is rounded up once more, and those of factors that weights share are measured apart: by 64 bits of bounds.
void expect_same(const Norms& behind, const Norms& beside) {
  EXPECT_EQ(behind.beside, 0);
  ASSERT_TRUE(behind.squared.gt(0).all().item<bool>());
  EXPECT_LE(((beside.squared - behind.squared) / behind.squared).abs().max().item<double>(), 1e-12);
}

TEST(NormsBeside, AreThoseThatAreMeasuredBehindThePass) {
  at::set_num_threads(1);  // tensors this small only wait for each other's threads
  int64_t beside = 0, cases = 0;
  for (const auto& table : {linear_cases, embedding_cases, norm_cases, script_cases, elementwise_cases, matmul_cases,
                            recurrent_cases, convolution_cases, model_cases})
    for (const Case& c : table())
      for (const int64_t limit : {int64_t{1} << 30, int64_t{0}}) {
        SCOPED_TRACE(c.name + (limit > 0 ? ", stored" : ", factors"));
        at::manual_seed(12);
        const Subject subject = c.make();
        const Parameters parameters(subject.named());
        Tape tape(Exec::cpu(1), parameters);
        tape.set_storage_limit(limit);
        const at::Tensor input = c.input(4);
        const auto losses = [&] { return wavy_loss(subject.forward(input)); };
        const Norms behind = norms_of(tape, Exec::cpu(1), parameters, std::nullopt, 4, losses),
                    early = norms_of(tape, Exec::cpu(1), parameters, Exec::cpu(1), 4, losses);
        expect_same(behind, early);
        beside += early.beside;
        ++cases;
      }
  EXPECT_GE(cases, 60);
  EXPECT_GE(beside, 40) << "hardly anything was measured beside the pass";
}

TEST(NormsBeside, LayersOfSequencesAndImagesAreMeasuredBesideAndSharedWeightsAreNot) {
  for (const auto& [model, expected] : {std::pair("transformer", 8), {"cifar_cnn", 6}, {"mlp", 0}}) {
    const BenchTask task = make_bench_task(model, 3);
    const Parameters parameters(task.model.named_parameters());
    Tape tape(Exec::cpu(1), parameters);
    EXPECT_EQ(norms_of(tape, Exec::cpu(1), parameters, Exec::cpu(1), 3, [&] { return task.losses(); }).beside, expected)
        << model;
  }
}

TEST(NormsBeside, OnCudaNeitherStreamsNorTheirNumberChangeABit) {
  if (!cuda_present()) GTEST_SKIP() << "no CUDA device on this machine";
  const Site site = open_site(true, 1);
  at::globalContext().setDeterministicCuDNN(true);  // the passes themselves must give the same bits twice
  const Stream stream;
  for (const char* model : {"cifar_cnn", "lstm", "transformer"}) {
    const BenchTask task = make_bench_task(model, 8, site.device);
    const Parameters parameters(task.model.named_parameters());
    Tape tape(site.exec, parameters);
    const auto measured = [&](const std::optional<Exec>& beside) {
      return norms_of(tape, site.exec, parameters, beside, 8, [&] { return task.losses(); });
    };
    const Norms behind = measured(std::nullopt), one = measured(site.exec);
    expect_same(behind, one);
    for (int round = 0; round < 5; ++round) EXPECT_TRUE(measured(stream.exec()).squared.equal(one.squared)) << model;
  }
}

}  // namespace
}  // namespace sotto
