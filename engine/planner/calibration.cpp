#include "engine/planner/calibration.h"

#include <chrono>
#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/median.h"
#include "base/processor.h"
#include "cuda/device.h"
#include "engine/tape/tape.h"

namespace sotto {
namespace {

struct Linear {
  int64_t batch, length, p, d;
};
// Of few rows and many, of small matrices and large ones; gradients of 0.2 to 32 MiB a batch, and products of about a
// millisecond.
constexpr Linear kLinear[] = {{16, 4, 64, 64},     {16, 16, 128, 128},  {32, 16, 512, 128}, {32, 64, 128, 128},
                              {32, 128, 128, 128}, {16, 128, 384, 128}, {8, 128, 512, 512}, {32, 64, 512, 64},
                              {32, 8, 256, 256},   {4, 256, 768, 256},  {32, 32, 64, 256},  {4, 512, 64, 64},
                              {2, 64, 1024, 1024}, {64, 3, 256, 128}};

struct Convolution {
  int64_t batch, in, side, out, taps;  // square images, taps × taps
};
constexpr Convolution kConvolutions[] = {{32, 1, 28, 16, 5},   {32, 16, 14, 32, 5}, {4, 32, 32, 32, 3},
                                         {8, 3, 32, 32, 3},    {32, 64, 16, 64, 3}, {32, 64, 8, 128, 3},
                                         {32, 128, 8, 128, 3}, {8, 256, 7, 512, 1}, {8, 64, 28, 128, 1},
                                         {4, 256, 4, 512, 3},  {16, 16, 8, 16, 3}};

// Passes are repeated until they took this long: short ones as often as a median needs, one that takes longer once.
constexpr double kMillisecondsAMethod = 20;

// From the end of the forward pass to the clipped sum: the median over the passes.
MethodTime measure(const Site& site, const at::Tensor& weight, const at::Tensor& x, NormMethod method,
                   at::ScalarType product_type) {
  using Clock = std::chrono::steady_clock;
  const auto now = [&] {
    synchronise(site.exec);
    return Clock::now();
  };
  const Parameters parameters({{"weight", weight}});
  Tape tape(site.exec, parameters);
  tape.set_product_type(product_type);
  tape.set_norm_methods({{0, method}});
  tape.set_storage_limit(int64_t{1} << 40);
  const int64_t batch = x.size(0);
  const at::Tensor factors = at::full({1, batch}, 0.5f, x.options());
  at::Tensor gradient;
  std::vector<double> times;
  double spent = 0;
  for (int pass = 0; pass < 2 || (pass < 40 && spent < kMillisecondsAMethod); ++pass) {
    Clock::time_point start;
    GradSamples grads = tape.per_sample(batch, [&] {
      const at::Tensor y = weight.dim() == 2 ? at::linear(x, weight) : at::conv2d(x, weight, {}, 1, weight.size(2) / 2);
      if (!gradient.defined()) gradient = at::randn(y.sizes(), y.options().requires_grad(false));
      const at::Tensor losses = (y * gradient).flatten(1).sum(1);
      start = now();
      return losses;
    });
    const at::NoGradGuard no_grad;
    at::Tensor squared = at::zeros({batch}, x.options().dtype(at::kDouble));
    std::vector<at::Tensor> sums = {at::zeros_like(weight)};
    add_squared_norms(site.exec, parameters, grads, squared);
    add_clipped(site.exec, grads, {0}, factors, sums);
    const double ms = std::chrono::duration<double, std::milli>(now() - start).count();
    if (pass == 0) continue;  // memory is mapped, threads are woken
    times.push_back(ms);
    spent += ms;
  }
  return {tape.products().at(0), batch, method, median(times)};
}

std::string machine(const Site& site, at::ScalarType product_type) {
  const char* products = product_type == at::kBFloat16 ? ", bfloat16" : "";
  if (site.exec.on_cuda()) return cat(cuda_devices().at(0).name, ", driver ", cuda_driver_version(), products);
  return cat(processor_name(), ", ", at::get_cpu_capability(), ", ", site.exec.threads(), " threads", products);
}

nlohmann::json read_models(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) return nlohmann::json::object();
  auto models = nlohmann::json::parse(read_file(path), nullptr, false);
  return models.is_object() ? models : nlohmann::json::object();  // a damaged cache is made anew
}

}  // namespace

TimeModel calibrate(const Site& site, at::ScalarType product_type) {
  std::vector<MethodTime> measured;
  const auto measure_all = [&](at::Tensor weight, const at::Tensor& x) {
    weight.set_requires_grad(true);
    const MethodTime first = measure(site, weight, x, NormMethod::stored, product_type);
    measured.push_back(first);
    for (const NormMethod method : first.product.methods())
      if (method != NormMethod::stored) measured.push_back(measure(site, weight, x, method, product_type));
  };
  const auto random = [&](at::IntArrayRef sizes) { return at::randn(sizes, at::TensorOptions(site.device)); };
  for (const Linear& s : kLinear) measure_all(random({s.p, s.d}), random({s.batch, s.length, s.d}));
  for (const Convolution& s : kConvolutions)
    measure_all(random({s.out, s.in, s.taps, s.taps}), random({s.batch, s.in, s.side, s.side}));
  return TimeModel::fit(measured);
}

std::filesystem::path time_model_path() {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  const std::filesystem::path folder = cache && *cache ? std::filesystem::path(cache)
                                       : home && *home ? std::filesystem::path(home) / ".cache"
                                                       : std::filesystem::temp_directory_path();
  return folder / "sotto" / "time_model.json";
}

TimeModel time_model(const Site& site, const std::function<void(const std::string&)>& say, bool recalibrate,
                     at::ScalarType product_type) {
  const std::filesystem::path path = time_model_path();
  const std::string program = to_hex(sha256_file("/proc/self/exe"));  // another build may have other kernels
  nlohmann::json models = nlohmann::json::object();
  try {
    models = read_models(path);
    const auto own = models.find(machine(site, product_type));
    if (own != models.end() && !recalibrate && own->value("program", "") == program)
      return TimeModel::from_json(own->at("prices"));
  } catch (const Error&) {  // unreadable or of another form: made anew
  } catch (const nlohmann::json::exception&) {
  }
  if (say) say("timing the norm kernels, once for this machine (3 s)");
  TimeModel model = calibrate(site, product_type);
  try {
    models[machine(site, product_type)] = {{"program", program}, {"prices", model.to_json()}};
    make_folder(path.parent_path());
    write_file(path, models.dump());
  } catch (const Error& error) {
    if (say) say(cat("their times could not be kept for the next run: ", error.what()));
  }
  return model;
}

}  // namespace sotto
