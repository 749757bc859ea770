// Forty private steps of a LibTorch model that knows nothing of privacy: sotto's engine from outside.
#include <torch/nn/modules/linear.h>

#include <cstdio>

#include "accountants/accountant.h"
#include "base/error.h"
#include "engine/loss.h"
#include "engine/model.h"
#include "engine/optimizer.h"
#include "engine/tape/tape.h"

struct Net : torch::nn::Module {
  torch::nn::Linear first{4, 16}, second{16, 2};
  Net() { register_module("first", first), register_module("second", second); }
  at::Tensor forward(const at::Tensor& x) { return second(at::relu(first(x))); }
};

int main() try {
  using namespace sotto;
  const int64_t units = 2000, steps = 40;
  const at::Tensor features = at::randn({units, 4});
  const at::Tensor labels = (features.sum(1) > 0).to(at::kLong);

  auto net = std::make_shared<Net>();
  const Model model = Model::wrap(net, [net](const at::Tensor& x) { return net->forward(x); });
  const Parameters parameters(model.named_parameters());

  PrivacyConfig privacy = {.unit_of_privacy = "row",
                           .epsilon = 3,
                           .delta = 1e-5,
                           .clip_norm = 1,
                           .sample_rate = 0.1,
                           .public_size = units,
                           .steps = steps};
  const PrivacyPlan plan(privacy, 256, RunKey::from_os(), {.parameter_elements = parameters.elements()});

  // A run that counts charges a ledger here, durably; an accountant forgets with the process.
  auto spent = accountants::make_accountant("rdp", privacy.relation);
  const Exec exec = Exec::cpu(1);
  Tape tape(exec, parameters);
  PrivateStep step(
      exec, parameters, plan, units, [&](uint64_t) { spent->compose(plan.event()); },
      [&](const std::vector<int64_t>& drawn) {
        const at::Tensor rows = at::tensor(drawn, at::kLong);
        return tape.per_sample(rows.size(0), [&] {
          return per_sample_loss(model.forward(features.index_select(0, rows)), labels.index_select(0, rows));
        });
      });
  Optimizer optimizer(exec, parameters, {.learning_rate = 2.0, .momentum = 0.5}, plan.expected_batch(), steps);
  for (uint64_t s = 0; s < static_cast<uint64_t>(steps); ++s) optimizer.step(step.next(s));

  const double right = model.forward(features).argmax(1).eq(labels).to(at::kDouble).mean().item<double>();
  std::printf("epsilon %.4f of 3, accuracy %.3f\n", spent->epsilon(plan.accounting_delta()), right);
  return spent->epsilon(plan.accounting_delta()) <= 3 && right > 0.8 ? 0 : 1;
} catch (const sotto::Error& error) {
  std::fprintf(stderr, "private_steps: %s\n", error.what());
  return sotto::exit_code(error.kind());
}
