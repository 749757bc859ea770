#include <ATen/CPUGeneratorImpl.h>

#include <cmath>

#include "base/random_key.h"
#include "engine/roofline/case.h"
#include "engine/roofline/curand.h"
#include "kernels/noise/noise.h"
#include "kernels/update/update.h"

// The noise's own work (20 rounds of integer operations for eight normals, logarithm and sine for two) is no FLOP of
// the result: a generator that cost nothing would leave the traffic alone, and that is the floor given here.
namespace sotto {
namespace {

constexpr double kStddev = 0.7, kDivisor = 64;
// One rounding more or less an operation, of a handful.
constexpr double kTolerance = 1e-5;

StreamKey stream_of(uint64_t step, Generator generator = Generator::chacha20) {
  return RunKey::from_seed(7).stream(Purpose::noise, step, 0, generator);
}

// Mean, and second and fourth moment over what a normal has of them, and what they must be.
std::pair<Tensors, Tensors> moments(const at::Tensor& z, double stddev) {
  const at::Tensor one = z.to(at::kDouble).div_(stddev), two = one.square();
  const at::Tensor found = at::stack({one.mean(), two.mean(), two.square().mean().div_(3)});
  return {{found}, {at::tensor({0.0, 1.0, 1.0}, at::kDouble).to(z.device())}};
}

// The fourth moment of n normals has a standard error of √(96/9n): six of these.
double moment_tolerance(int64_t n) {
  return 6 * std::sqrt(96.0 / 9 / double(n));
}

at::Generator torch_generator(const Site& site) {
  if (site.device.is_cpu()) return at::make_generator<at::CPUGeneratorImpl>(11);
  at::Generator generator = at::globalContext().defaultGenerator(site.device).clone();
  generator.set_current_seed(11);
  return generator;
}

// Bytes 4n; FLOPs n: the scale.
RooflineCase fill_gaussian(int64_t N, Generator generator = Generator::chacha20) {
  return {.kernel = generator == Generator::philox ? "fill_gaussian by Philox" : "fill_gaussian",
          .folder = "noise",
          .shape = {{"n", N}},
          .composite = "normal_ (Mersenne Twister on the CPU, Philox on CUDA)",
          .bytes = 4 * double(N),
          .flops = double(N),
          .tolerance = moment_tolerance(N),
          .make = [=](const Site& site) {
            const at::Tensor z = site.zeros({N}), other = site.zeros({N});
            const at::Generator twister = torch_generator(site);
            const auto sotto = [=] {
              kernels::fill_gaussian(site.exec, stream_of(0, generator), kStddev, vector_out(z));
              return Tensors{z};
            };
            return Contest{sotto, [=] { return Tensors{other.normal_(0, kStddev, twister)}; },
                           [=] { return moments(sotto()[0], kStddev); }};
          }};
}

// The same against cuRAND's own interface.
RooflineCase fill_gaussian_beside_curand(int64_t N) {
  RooflineCase made = fill_gaussian(N);
  made.composite = "curandGenerateNormal (Philox4x32-10)";
  made.on_cpu = false;
  made.make = [=, ours = fill_gaussian(N).make](const Site& site) {
    Contest contest = ours(site);
    const at::Tensor other = site.zeros({N});
    const CurandNormals curand(site.exec, 11);
    contest.composite = [=] {
      curand.fill(float(kStddev), vector_out(other));
      return Tensors{other};
    };
    contest.compared = [=] { return moments(contest.composite()[0], kStddev); };
    return contest;
  };
  return made;
}

// Bytes 8n; FLOPs 2n.
RooflineCase add_gaussian(int64_t N) {
  return {.kernel = "add_gaussian",
          .folder = "noise",
          .shape = {{"n", N}},
          .composite = "normal_, add",
          .bytes = 8 * double(N),
          .flops = 2 * double(N),
          .tolerance = kTolerance,
          .make = [=](const Site& site) {
            const at::Tensor sum = site.normals({N}, 1), made = site.zeros({N}), z = site.zeros({N}),
                             other = site.zeros({N});
            const at::Generator generator = torch_generator(site);
            const auto sotto = [=] {
              kernels::add_gaussian(site.exec, stream_of(0), kStddev, vector_in(sum), vector_out(made));
              return Tensors{made};
            };
            const auto add = [=] {
              at::Tensor result = other;
              return Tensors{at::add_out(result, sum, z, kStddev)};
            };
            return Contest{sotto,
                           [=] {
                             at::Tensor(z).normal_(0, 1, generator);
                             return add();
                           },
                           [=] {
                             kernels::fill_gaussian(site.exec, stream_of(0), 1, vector_out(z));
                             return std::pair(sotto(), add());
                           }};
          }};
}

// A parameter with what its optimizer keeps, and the composite's scratch.
struct Trained {
  at::Tensor sum, parameter, first, second, z, gradient, step;
  Trained(const Site& site, int64_t n)
      : sum(site.normals({n}, 1)),
        parameter(site.normals({n}, 2)),
        first(site.zeros({n})),
        second(site.zeros({n})),
        z(site.zeros({n})),
        gradient(site.zeros({n})),
        step(site.zeros({}).add_(1)) {}
  Tensors state() const { return {parameter, first, second}; }
};

using Update = std::function<void(const Trained&)>;

// `composite` takes the gradient that it finds in Trained::gradient.
RooflineCase update(const std::string& kernel, const std::string& composite_name, bool noisy, int64_t N, double bytes,
                    double flops, const std::function<Update(const Site&)>& sotto_of, const Update& composite) {
  return {.kernel = kernel,
          .folder = "update",
          .shape = {{"n", N}},
          .composite = (noisy ? "normal_, add, divide, " : "divide, ") + composite_name,
          .bytes = bytes * double(N),
          .flops = (flops + (noisy ? 3 : 1)) * double(N),
          .tolerance = kTolerance,
          .make = [=](const Site& site) {
            const Trained ours(site, N), theirs(site, N);
            const at::Generator generator = torch_generator(site);
            const auto sotto = [=, step = sotto_of(site)] {
              step(ours);
              return ours.state();
            };
            const auto rest = [=] {
              at::Tensor gradient = theirs.gradient;
              if (noisy)
                at::add_out(gradient, theirs.sum, theirs.z, kStddev).mul_(1 / kDivisor);
              else
                at::mul_out(gradient, theirs.sum, at::scalar_tensor(1 / kDivisor));
              composite(theirs);
              return theirs.state();
            };
            return Contest{sotto,
                           [=] {
                             if (noisy) at::Tensor(theirs.z).normal_(0, 1, generator);
                             return rest();
                           },
                           [=] {
                             if (noisy) kernels::fill_gaussian(site.exec, stream_of(0), 1, vector_out(theirs.z));
                             return std::pair(sotto(), rest());
                           }};
          }};
}

// Bytes 20 an element: sum, momentum and parameter in, the latter two out. FLOPs 4 (v = μv + g, w -= lr·v), 1 to
// divide, 2 for the noise.
RooflineCase sgd(int64_t N, bool noisy) {
  const kernels::SgdSettings settings{.learning_rate = 0.01, .momentum = 0.9};
  const auto sotto = [=](const Site& site) -> Update {
    return [=](const Trained& t) {
      if (noisy)
        kernels::noisy_sgd(site.exec, stream_of(0), kStddev, kDivisor, settings, vector_in(t.sum), vector_out(t.first),
                           vector_out(t.parameter));
      else
        kernels::plain_sgd(site.exec, kDivisor, settings, vector_in(t.sum), vector_out(t.first),
                           vector_out(t.parameter));
    };
  };
  const Update composite = [=](const Trained& t) {
    at::_fused_sgd_({t.parameter}, {t.gradient}, {t.first}, 0.0, settings.momentum, settings.learning_rate, 0.0, false,
                    false, false);
  };
  return update(noisy ? "noisy_sgd" : "plain_sgd", "_fused_sgd_", noisy, N, 20, 4, sotto, composite);
}

// Bytes 28 an element: sum, two moments and parameter in, the latter three out. FLOPs 14 (decay 1, m 3, v 4, root,
// bias corrections 2, ε, quotient, difference), 1 to divide, 2 for the noise.
RooflineCase adamw(int64_t N, bool noisy) {
  // An ε that is large against the rounding of a gradient near 0, or the quotient shows nothing but that rounding.
  const kernels::AdamSettings settings{.learning_rate = 1e-3, .epsilon = 1e-6, .weight_decay = 0.01, .decoupled = true};
  const auto sotto = [=](const Site& site) -> Update {
    return [=](const Trained& t) {
      if (noisy)
        kernels::noisy_adam(site.exec, stream_of(0), kStddev, kDivisor, settings, vector_in(t.sum), vector_out(t.first),
                            vector_out(t.second), vector_out(t.parameter));
      else
        kernels::plain_adam(site.exec, kDivisor, settings, vector_in(t.sum), vector_out(t.first), vector_out(t.second),
                            vector_out(t.parameter));
    };
  };
  const Update composite = [=](const Trained& t) {
    at::_fused_adamw_({t.parameter}, {t.gradient}, {t.first}, {t.second}, {}, {t.step}, settings.learning_rate,
                      settings.beta1, settings.beta2, settings.weight_decay, settings.epsilon, false, false);
  };
  return update(noisy ? "noisy_adam" : "plain_adam", "_fused_adamw_", noisy, N, 28, 14, sotto, composite);
}

// Bytes 28, as AdamW's, though it takes a second pass; FLOPs 20 (m 3, v 4, bias corrections 2, root, ε, quotient, decay
// 2, two norms 4, step 2), 1 to divide, 2 for the noise.
RooflineCase lamb(int64_t N) {
  const kernels::AdamSettings settings{.learning_rate = 1e-3, .epsilon = 1e-6, .weight_decay = 0.01};
  const auto sotto = [=](const Site& site) -> Update {
    const at::Tensor workspace = site.zeros({kernels::lamb_workspace(N)}, at::kDouble);
    return [=](const Trained& t) {
      kernels::noisy_lamb(site.exec, stream_of(0), kStddev, kDivisor, settings, vector_in(t.sum), vector_out(t.first),
                          vector_out(t.second), vector_out(t.parameter), vector_out<double>(workspace));
    };
  };
  const Update composite = [=](const Trained& t) {
    t.first.lerp_(t.gradient, 1 - settings.beta1);
    t.second.mul_(settings.beta2).addcmul_(t.gradient, t.gradient, 1 - settings.beta2);
    const at::Tensor root = at::div(t.second, 1 - settings.beta2).sqrt_().add_(settings.epsilon);
    const at::Tensor r = at::div(t.first, root).div_(1 - settings.beta1).add_(t.parameter, settings.weight_decay);
    const at::Tensor ratio = at::linalg_vector_norm(t.parameter).div_(at::linalg_vector_norm(r));
    t.parameter.sub_(r.mul_(ratio), settings.learning_rate);
  };
  return update("noisy_lamb", "LAMB by 14 operators", true, N, 28, 20, sotto, composite);
}

}  // namespace

std::vector<RooflineCase> noise_contests() {
  return {fill_gaussian(1 << 14),
          fill_gaussian(1 << 22),
          fill_gaussian(1 << 22, Generator::philox),
          fill_gaussian_beside_curand(1 << 22),
          add_gaussian(1 << 14),
          add_gaussian(1 << 22),
          sgd(1 << 14, true),
          sgd(1 << 22, true),
          sgd(1 << 22, false),
          adamw(1 << 14, true),
          adamw(1 << 22, true),
          adamw(1 << 24, true),
          adamw(1 << 22, false),
          lamb(1 << 14),
          lamb(1 << 22)};
}

}  // namespace sotto
