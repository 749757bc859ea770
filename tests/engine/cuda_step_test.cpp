#include <gtest/gtest.h>

#include "cuda/device.h"
#include "engine/planner/calibration.h"
#include "engine/site.h"
#include "engine/step_bench/bench_task.h"
#include "engine/tape/tape.h"
#include "tests/engine/private_fixture.h"

namespace sotto {
namespace {

// The norms and the clipped sum of a batch of a bench model, on the host.
struct Clipped {
  at::Tensor norms;
  std::vector<at::Tensor> sums;
};

Clipped clipped_on(const Site& site, const std::string& model, NormMethod method, at::ScalarType product_type = at::kFloat) {
  const BenchTask task = make_bench_task(model, 5, site.device);
  const Parameters parameters(task.model.named_parameters());
  Tape tape(site.exec, parameters);
  tape.set_product_type(product_type);
  tape.per_sample(5, [&] { return task.losses(); });
  NormMethods methods;
  for (const ProductShape& product : tape.products())
    if (std::ranges::count(product.methods(), method) > 0) methods[product.parameter] = method;
  tape.set_norm_methods(methods);
  GradSamples grads = tape.per_sample(5, [&] { return task.losses(); });
  const at::NoGradGuard no_grad;
  at::Tensor squared = site.zeros({5}, at::kDouble);
  add_squared_norms(site.exec, parameters, grads, squared);
  const at::Tensor factors = send(at::tensor({1.0f, 0.5f, 0.0f, 0.25f, 0.125f}).view({1, 5}), site.device);
  std::vector<at::Tensor> sums;
  for (int64_t k = 0; k < parameters.size(); ++k) sums.push_back(at::zeros_like(parameters.tensor(k)).detach());
  add_clipped(site.exec, grads, std::vector<int64_t>(sums.size(), 0), factors, sums);
  Clipped result = {squared.sqrt().cpu(), {}};
  for (const at::Tensor& sum : sums) result.sums.push_back(sum.cpu().to(at::kDouble));
  return result;
}

TEST(CudaStep, HasTheNormsAndTheClippedSumsOfTheCpu) {
  if (!cuda_present()) GTEST_SKIP() << "no CUDA device on this machine";
  const Site cpu = open_site(false, 2), gpu = open_site(true, 1);
  for (const char* model : {"mlp", "mnist_cnn", "cifar_cnn", "lstm", "transformer"})
    for (const NormMethod method : kNormMethods) {
      SCOPED_TRACE(testing::Message() << model << ", " << to_string(method));
      const Clipped host = clipped_on(cpu, model, method), device = clipped_on(gpu, model, method);
      // Bounds may raise a squared norm by one thousandth on the CPU and by two on tensor cores. Forward and backward
      // in float32 in another order; rounded to bfloat16, a row's entries are 2^-8 apart at most.
      const bool rounded = method == NormMethod::stored_bf16;
      const double of_norms = rounded ? 0x1p-7 : 3e-3, of_sums = rounded ? 0x1p-7 : 1e-3;
      for (int64_t i = 0; i < 5; ++i) {
        const double norm = host.norms[i].item<double>();
        EXPECT_GT(norm, 0);
        EXPECT_NEAR(device.norms[i].item<double>(), norm, of_norms * norm) << i;
      }
      double away = 0, length = 0;
      for (size_t k = 0; k < host.sums.size(); ++k) {
        away += (host.sums[k] - device.sums[k]).square().sum().item<double>();
        length += host.sums[k].square().sum().item<double>();
      }
      EXPECT_LE(std::sqrt(away), of_sums * std::sqrt(length));
    }
}

TEST(CudaStep, InBfloat16HasTheNormsAndTheClippedSumsOfTheCpu) {
  if (!cuda_present()) GTEST_SKIP() << "no CUDA device on this machine";
  const Site cpu = open_site(false, 2), gpu = open_site(true, 1);
  for (const char* model : {"mlp", "cifar_cnn", "lstm", "transformer"})
    for (const NormMethod method : kNormMethods) {
      SCOPED_TRACE(testing::Message() << model << ", " << to_string(method));
      const Clipped host = clipped_on(cpu, model, method, at::kBFloat16), device = clipped_on(gpu, model, method, at::kBFloat16);
      // Each product's output is rounded to 8 bits, and autocast's lists differ in what else is: a few units of 2^-8.
      constexpr double kPasses = 12 * 0x1p-8;
      for (int64_t i = 0; i < 5; ++i) EXPECT_NEAR(device.norms[i].item<double>(), host.norms[i].item<double>(), kPasses * host.norms[i].item<double>()) << i;
      double away = 0, length = 0;
      for (size_t k = 0; k < host.sums.size(); ++k) {
        away += (host.sums[k] - device.sums[k]).square().sum().item<double>();
        length += host.sums[k].square().sum().item<double>();
      }
      EXPECT_LE(std::sqrt(away), kPasses * std::sqrt(length));
    }
}

TEST(CudaStep, NormMethodsAreTimedOnTheDevice) {
  if (!cuda_present()) GTEST_SKIP() << "no CUDA device on this machine";
  const TimeModel model = calibrate(open_site(true, 1));
  const ProductShape product = {.parameter = 0, .length = 64, .rows = 128, .columns = 128};
  for (const NormMethod method : product.methods()) {
    const double ms = model.milliseconds(product, 32, method);
    EXPECT_GT(ms, 0) << to_string(method);
    EXPECT_LT(ms, 1000) << to_string(method);
  }
}

}  // namespace
}  // namespace sotto
