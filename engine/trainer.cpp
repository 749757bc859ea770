#include "engine/trainer.h"

#include <ATen/Version.h>

#include <unistd.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/fault_point.h"
#include "base/hash.h"
#include "cuda/device.h"
#include "engine/autocast.h"
#include "engine/loss.h"
#include "engine/model_artifact.h"
#include "engine/out_of_memory.h"
#include "engine/planner/calibration.h"
#include "engine/planner/planner.h"
#include "engine/predict.h"
#include "engine/tape/by_unit.h"
#include "engine/tape/coverage.h"
#include "engine/tape/microbatch.h"

namespace sotto {
namespace {

// All records go to a GPU once where they take no more than this part of its memory; else each batch does.
constexpr size_t kShareForRecords = 8;

int chosen_threads(int wanted) {
  return wanted > 0 ? wanted : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

data::Split split_of(const std::string& name) {
  if (name == "train") return data::Split::train;
  if (name == "train_without_validation") return data::Split::train_without_validation;
  if (name == "validation") return data::Split::validation;
  return name == "test" ? data::Split::test : data::Split::all;
}

// Figures of the test split are released exactly, so nobody who is trained on may be in it.
void refuse_overlap(const DataConfig& data) {
  const bool disjoint = (data.test_split == "test" && data.train_split != "test" && data.train_split != "all") ||
                        (data.train_split == "train_without_validation" && data.test_split == "validation") ||
                        (data.train_split == "validation" && data.test_split == "train_without_validation");
  if (!disjoint)
    throw Error(ErrorKind::configuration,
                cat("data.train_split = \"", data.train_split, "\" and data.test_split = \"", data.test_split,
                    "\" overlap or leave no test: exact figures of the test split are released, so nobody in it may be "
                    "trained on. Use train and test, or train_without_validation and validation"));
}

RunKey first_key(const TrainConfig& config) {
  return config.run.seed ? RunKey::from_seed(*config.run.seed) : RunKey::from_os();
}

std::string user_and_host() {
  const char* user = std::getenv("USER");
  char host[256] = "unknown";
  gethostname(host, sizeof host - 1);
  return cat(user ? user : cat("uid ", getuid()), "@", host);
}

}  // namespace

Trainer::Trainer(TrainConfig config, bool resume, TrainHooks hooks)
    : config_(std::move(config)),
      hooks_(std::move(hooks)),
      folder_(config_.run.dir),
      resume_(resume),
      site_(open_site(config_.performance.device == "cuda", chosen_threads(config_.performance.threads),
                      config_.performance.streams, config_.performance.record_passes)),
      key_(first_key(config_)) {
  if (resume_)
    identity_ = read_identity(folder_);
  else if (folder_.holds_run())
    folder_.create();  // refuses, before anything is read
  load_data();
  make_model();
  // Of a ledger on a server there is no file.
  if (const auto& file = config_.ledger.path.file(); file.has_parent_path()) make_folder(file.parent_path());
  ledger_ = std::make_unique<accountants::Ledger>(accountants::Ledger::open(config_.ledger.path));
  if (const auto& file = config_.ledger.signing_key; !file.empty())
    ledger_->sign_with(accountants::SigningKey::read(file));
  optimizer_ = std::make_unique<Optimizer>(site_.exec, *parameters_, config_.optimizer, plan_->expected_batch(),
                                           config_.privacy.steps);
  if (resume_) {
    lock_ = std::make_unique<RunLock>(folder_);
    restore();
  } else {
    start();
  }
  metrics_ = std::make_unique<MetricsLog>(folder_.metrics(), step_);
  operator_metrics_ = std::make_unique<MetricsLog>(folder_.operator_metrics(), step_);
}

void Trainer::load_data() {
  refuse_overlap(config_.data);
  schema_ = data::Schema::read(config_.data.schema);
  encoding_ = config_.data.encoding == "tokens" ? data::Encoding::tokens : data::Encoding::numbers;
  const data::Table table =
      data::read_table(config_.data.path, schema_.format, data::required_columns(schema_, data::Split::train),
                       data::optional_columns(schema_, data::Split::train));
  data::EncodedTable train = data::encode(schema_, table, split_of(config_.data.train_split), encoding_);
  load_report_ = train.report;
  train_ = to_dataset(std::move(train));
  test_ = to_dataset(data::encode(schema_, table, split_of(config_.data.test_split), encoding_));
  data_hash_ = to_hex(sha256_file(config_.data.path));
  config_.privacy.unit_of_privacy = schema_.unit.column;
}

void Trainer::make_model() {
  model_ = Model::make(config_.model, train_.spec, key_);
  model_.to(site_.device);
  if (site_.device.is_cuda() && train_.inputs.nbytes() <= cuda_devices().at(0).memory_bytes / kShareForRecords) {
    train_.inputs = send(train_.inputs, site_.device);
    train_.labels = send(train_.labels, site_.device);
  }
  model_.train(true);
  parameters_ = std::make_unique<Parameters>(model_.named_parameters());
  const Probe probe = {
      [&](int64_t batch, uint64_t seed) { return synthetic_input(train_.spec, batch, seed).to(site_.device); },
      [&](const at::Tensor& input) {
        const at::Tensor labels = at::arange(input.size(0), at::kLong).remainder(2).to(site_.device);
        return per_sample_loss(model_.forward(input), labels);
      }};
  tape_ = std::make_unique<Tape>(site_.exec, *parameters_);
  tape_->set_storage_limit(config_.performance.storage_limit);
  tape_->set_product_type(product_type(config_.performance.precision));
  structure_ = check_model(*tape_, *parameters_, probe);
  structure_.rows_per_unit *= schema_.unit.max_records;
  structure_.positions_per_unit *= schema_.unit.max_records;
  if (tape_->product_type() != at::kFloat)
    hooks_.say(cat("matrix products are of operands in ", config_.performance.precision,
                   "; parameters, norms and sums are in float32"));
  if (!tape_->uncaptured().empty())
    hooks_.say(
        "no rule covers every use of the model's parameters: each sample passes by itself, which is slow "
        "(`sotto norms` shows the rules)");
  {  // what the run is evaluated by at its end must be there before its first charge
    const at::NoGradGuard no_grad;
    positive_probability(model_.forward(probe.input(2, 7)));
  }
  if (config_.performance.microbatch == 0)
    config_.performance.microbatch = chosen_microbatch(structure_, *tape_, schema_.unit.max_records);
  choose_norm_methods();
  const bool by_unit = schema_.unit.max_records > 1;  // their norms are of sums that the pass does not have
  if (!by_unit && !config_.privacy.on_lattice()) tape_->set_beside(site_.beside());
  plan_ = std::make_unique<PrivacyPlan>(config_.privacy, config_.performance.microbatch, key_, structure_);
  config_.privacy = plan_->config();
}

// A resumed run takes what it had, so that its lost steps can be repeated.
void Trainer::choose_norm_methods() {
  const std::vector<ProductShape> products = tape_->products();  // of the check's last pass
  NormMethods methods;
  if (resume_ && std::filesystem::exists(folder_.norm_methods()))
    methods = norm_methods_from(nlohmann::json::parse(read_file(folder_.norm_methods()), nullptr, false), *parameters_);
  else if (config_.performance.planner == "measured" && !products.empty()) {
    const NormPlan plan =
        plan_norms(products, config_.performance.microbatch * schema_.unit.max_records,
                   config_.performance.storage_limit, time_model(site_, hooks_.say, false, tape_->product_type()));
    methods = plan.methods();
    if (const std::string loss = plan.loss_of_accuracy(); !loss.empty())
      hooks_.say(cat(loss, "; raise performance.storage_limit to keep them in float32"));
  }
  norm_methods_ = to_json(methods, *parameters_).dump();
  tape_->set_norm_methods(std::move(methods));
}

void Trainer::start() {
  folder_.create();
  lock_ = std::make_unique<RunLock>(folder_);
  std::array<uint64_t, 2> id;
  fill_words(RunKey::from_os().stream(Purpose::initialisation, 1), id.data(), 2);
  identity_ = {to_hex(reinterpret_cast<const uint8_t*>(id.data()), sizeof id), config_.ledger.path.text(),
               schema_.public_file ? "sha256:" + data_hash_ : "commitment:" + key_.commit(data_hash_),
               config_.run.seed.has_value()};
  key_.write(folder_.key());
  write_file(folder_.file("config.toml"), config_.toml);
  write_file(folder_.norm_methods(), norm_methods_);
  write_identity(folder_, identity_);
  fault_point("run.identified");
  try {
    reserve();
  } catch (const Error&) {  // refused: nothing was drawn, and the folder is free again
    destroy_file(folder_.key());
    for (const char* name : {"config.toml", "run.json"}) std::filesystem::remove(folder_.file(name));
    throw;
  }
}

void Trainer::reserve() {
  ledger_->reserve({.run_id = identity_.run_id,
                    .who = user_and_host(),
                    .data_set = schema_.name,
                    .data_hash = data_hash_,
                    .unit_of_privacy = config_.privacy.unit_of_privacy,
                    .relation = config_.privacy.relation,
                    .accountant = config_.privacy.accountant,
                    .privacy_hash = plan_->hash(),
                    .event = plan_->event(),
                    .epsilon_cap = config_.privacy.epsilon,
                    .delta = plan_->accounting_delta(),
                    .planned_steps = config_.privacy.steps,
                    .organisation = config_.ledger.scope.organisation,
                    .purpose = config_.ledger.scope.purpose,
                    .team = config_.ledger.scope.team,
                    .group = config_.ledger.scope.group});
  save_checkpoint();
}

// Everything that decides the bytes of a replayed step.
std::string Trainer::replay_hash() const {
  std::string text =
      cat(plan_->hash(), " ", data_hash_, " ", schema_.hash, " ", config_.data.encoding, " ", config_.data.train_split,
          " ", config_.model.kind, " ", config_.model.output_bias, " ", config_.optimizer.kind, " ", std::hexfloat,
          config_.optimizer.learning_rate, " ", config_.optimizer.momentum, " ", config_.optimizer.beta1, " ",
          config_.optimizer.beta2, " ", config_.optimizer.epsilon, " ", config_.optimizer.weight_decay, " ",
          config_.optimizer.schedule, " ", config_.performance.device, " ", site_.exec.threads(), " ",
          config_.performance.microbatch, " ", config_.performance.precision, " ", config_.performance.storage_limit,
          " ", norm_methods_, " ", to_hex(sha256_file("/proc/self/exe")), " ", at::get_cpu_capability());
  // What chooses the code paths of the libraries, and so the last bits.
  for (const char* name :
       {"ATEN_CPU_CAPABILITY", "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS", "ONEDNN_MAX_CPU_ISA", "MKL_NUM_THREADS"})
    if (const char* value = std::getenv(name)) text += cat(" ", name, "=", value);
  if (config_.model.kind == "torchscript") text += cat(" ", to_hex(sha256_file(config_.model.script)));
  for (const auto& [name, tensor] : model_.named_parameters()) text += cat(" ", name, " ", tensor.sizes());
  return to_hex(sha256(text));
}

// What a charge was made for must be what the resumed run does.
void Trainer::refuse_another_run(const accountants::RunEntry& entry) const {
  if (entry.privacy_hash != plan_->hash())
    throw Error(ErrorKind::configuration,
                "the [privacy] settings or train.steps differ from those the run was charged with; "
                "resume with the same ones, or start a new run");
  if (entry.data_hash != data_hash_ || entry.data_set != schema_.name || entry.unit_of_privacy != schema_.unit.column)
    throw Error(ErrorKind::configuration, cat("the data differ from those the run was charged for (data set ",
                                              entry.data_set, ", unit ", entry.unit_of_privacy,
                                              ", another file content or name); resume "
                                              "with the same file and schema, or start a new run"));
  // What the run left out came from its key's member.
  const accountants::Scope& said = config_.ledger.scope;
  for (const auto& [name, now, then] : {std::tuple{"organisation", &said.organisation, &entry.organisation},
                                        {"purpose", &said.purpose, &entry.purpose},
                                        {"team", &said.team, &entry.team},
                                        {"group", &said.group, &entry.group}})
    if (!now->empty() && *now != *then)
      throw Error(ErrorKind::configuration, cat("ledger.", name, " is \"", *now, "\", the run was reserved for \"",
                                                *then, "\"; resume with the same one, or start a new run"));
}

void Trainer::restore() {
  folder_.remove_pieces();
  const auto state = ledger_->run(identity_.run_id);
  if (state) refuse_another_run(state->entry);
  if (config_.run.seed && !identity_.fixed_seed) {
    identity_.fixed_seed = true;
    write_identity(folder_, identity_);
  }
  if (!std::filesystem::exists(folder_.checkpoint())) {
    if (state && state->charged_steps > 0)
      throw Error(ErrorKind::data, cat(folder_.checkpoint().string(), " is gone, but ", state->charged_steps,
                                       " steps were charged; restore it from a backup or start a new run"));
    key_.write(folder_.key());  // stopped before its first step: nothing was drawn with the old key
    return state ? save_checkpoint() : reserve();
  }
  if (!state)
    throw Error(ErrorKind::data,
                cat("the ledger ", config_.ledger.path.text(), " knows nothing of run ", identity_.run_id,
                    "; set ledger.path to the ledger that the run was started with (", identity_.ledger, ")"));
  const Checkpoint saved = read_checkpoint(folder_.checkpoint());
  charged_ = static_cast<uint64_t>(state->charged_steps);
  epsilon_ = state->epsilon;
  if (saved.next_step > charged_)
    throw Error(ErrorKind::data,
                cat("the checkpoint has ", saved.next_step, " steps but the ledger only ", charged_,
                    "; the ledger was replaced or rolled back, and a run that was not paid for cannot go on"));
  closed_ = state->closed;
  model_.load_parameters(saved.parameters);
  optimizer_->load_state(saved.optimizer);
  clip_norm_ = saved.clip_norm;
  step_ = saved.next_step;

  const bool same_key = std::filesystem::exists(folder_.key()) && RunKey::read(folder_.key()).id() == saved.key_id;
  if (same_key) key_ = RunKey::read(folder_.key());
  // Without all of it the same, a replay would be a second, different release of the same steps. A GPU's libraries do
  // not promise the same bits twice.
  const bool replays = same_key && !site_.exec.on_cuda() && saved.replay_hash == replay_hash();
  if (replays)
    lost_until_ = charged_;
  else if (!closed_)
    leave_lost_steps(site_.exec.on_cuda() ? "a GPU's libraries do not give the same bits twice"
                     : same_key           ? "something changed since"
                                          : "the run key is gone");
  *plan_ = PrivacyPlan(config_.privacy, config_.performance.microbatch, key_, structure_);
}

// They were charged and may have been seen: no step is made twice in different ways.
void Trainer::leave_lost_steps(const std::string& why) {
  if (charged_ > step_)
    hooks_.say(cat("steps ", step_ + 1, " to ", charged_,
                   " were charged but are not in the checkpoint and cannot be repeated exactly (", why,
                   "): they stay charged, and the run goes on behind them with a fresh key"));
  key_ = RunKey::from_os();
  key_.write(folder_.key());
  step_ = charged_;
}

// A unit's loss is the mean over its records.
GradSamples Trainer::gradients(const std::vector<int64_t>& units) {
  std::vector<int64_t> records, starts = {0};
  std::vector<float> shares;
  for (const int64_t unit : units) {
    const int64_t first = train_.starts[static_cast<size_t>(unit)], end = train_.starts[static_cast<size_t>(unit) + 1];
    for (int64_t record = first; record < end; ++record) {
      records.push_back(record);
      shares.push_back(1.0f / static_cast<float>(end - first));
    }
    starts.push_back(static_cast<int64_t>(records.size()));
  }
  const at::Tensor rows = send(at::tensor(records, at::kLong), train_.inputs.device()),
                   weights = send(at::tensor(shares), site_.device);
  const at::Tensor inputs = send(train_.inputs.index_select(0, rows), site_.device),
                   labels = send(train_.labels.index_select(0, rows), site_.device);
  return by_unit(tape_->per_sample(inputs.size(0),
                                   [&](int64_t first, int64_t count) {
                                     const at::Tensor losses =
                                         per_sample_loss(model_.forward(inputs.narrow(0, first, count)),
                                                         labels.narrow(0, first, count));
                                     return losses * weights.narrow(0, first, count);
                                   }),
                 starts, *parameters_);
}

// Where each unit is one record, and the records are where the model is: a pass is then a function of their numbers.
void Trainer::record_passes(PrivateStep& step) {
  const bool possible = train_.size() == train_.unit_count() && train_.inputs.device() == site_.device;
  const bool recorded = possible && step.record_passes([this](const at::Tensor& units) {
    const at::Tensor inputs = train_.inputs.index_select(0, units), labels = train_.labels.index_select(0, units);
    return tape_->per_sample(units.size(0), [&](int64_t first, int64_t count) {
      return per_sample_loss(model_.forward(inputs.narrow(0, first, count)), labels.narrow(0, first, count));
    });
  });
  if (!recorded)
    hooks_.say(
        "performance.record_passes: nothing is recorded; it needs a record a unit, all of them on the device, a fixed "
        "clip norm and Gaussian noise");
}

void Trainer::charge(uint64_t step) {
  if (step < charged_) return;  // a replay of a step that was paid for
  const auto block = [&](int64_t length) {
    const auto last =
        std::min<uint64_t>(step + static_cast<uint64_t>(length), static_cast<uint64_t>(config_.privacy.steps));
    epsilon_ = ledger_->charge(identity_.run_id, static_cast<int64_t>(step) + 1, static_cast<int64_t>(last)).epsilon;
    charged_ = last;
  };
  try {
    block(config_.ledger.block_steps);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::budget_exhausted || config_.ledger.block_steps == 1) throw;
    block(1);
  }
}

void Trainer::save_checkpoint() {
  Checkpoint checkpoint = {step_, identity_.run_id, key_.id(), replay_hash(), {}, optimizer_->state(), clip_norm_};
  for (const auto& [name, tensor] : model_.named_parameters()) checkpoint.parameters[name] = tensor;
  write_checkpoint(folder_.checkpoint(), checkpoint);
}

void Trainer::log(const StepDiagnostics& diagnostics, double seconds) {
  operator_metrics_->append({{"step", step_},
                             {"loss", diagnostics.mean_loss},
                             {"batch_size", diagnostics.batch_size},
                             {"clipped_fraction", static_cast<double>(diagnostics.clipped) /
                                                      std::max<double>(1, static_cast<double>(diagnostics.batch_size))},
                             {"non_finite", diagnostics.non_finite},
                             {"samples_per_second", static_cast<double>(diagnostics.batch_size) / seconds}});
  const auto steps = static_cast<uint64_t>(config_.privacy.steps);
  const auto every = static_cast<uint64_t>(
      config_.run.evaluate_every > 0 ? config_.run.evaluate_every : std::max<int64_t>(1, config_.privacy.steps / 50));
  if (step_ % every != 0 && step_ != 1 && step_ != steps) return;
  nlohmann::json line = {
      {"step", step_}, {"epsilon", spent(step_)}, {"learning_rate", optimizer_->learning_rate(step_ - 1)}};
  if (clip_norm_) line["clip_norm"] = *clip_norm_;
  if (test_.labels.defined() && test_.size() > 0) line["test_loss"] = mean_loss(model_, test_);
  metrics_->append(line);
}

std::unique_ptr<PrivateStep> Trainer::make_step() {
  auto step = std::make_unique<PrivateStep>(
      site_.exec, *parameters_, *plan_, train_.unit_count(), [this](uint64_t number) { charge(number); },
      [this](const std::vector<int64_t>& units) { return gradients(units); });
  if (clip_norm_) step->set_clip_norm(*clip_norm_);
  if (config_.performance.record_passes) record_passes(*step);
  return step;
}

std::optional<PrivateGradient> Trainer::next_gradient(std::unique_ptr<PrivateStep>& step) {
  uint64_t dropout_seed;
  fill_words(key_.stream(Purpose::dropout, step_), &dropout_seed, 1);
  at::manual_seed(dropout_seed);
  try {
    return step->next(step_);
  } catch (const std::exception& failure) {
    if (!is_out_of_memory(failure) || step_ >= charged_) throw;
    halve_microbatch(failure);
  }
  step = nullptr;  // with what it keeps on the device
  release_cached_memory(site_.device);
  step = make_step();
  return std::nullopt;
}

// Nothing of a new step has left yet, so that it may be made again, for the same charge. Lost steps may not: they were
// made by other micro-batches, whose sums round otherwise. Hence the second checkpoint, too.
void Trainer::halve_microbatch(const std::exception& failure) {
  const int64_t units = config_.performance.microbatch, half = (units + 1) / 2;
  const std::string asked = asked_for(failure);
  const std::string what = cat("step ", step_ + 1, " ran out of memory with ", units, " units at once",
                               asked.empty() ? "" : cat(" (it asked for ", asked, ")"));
  save_checkpoint();
  if (half == units || !config_.performance.auto_microbatch)
    throw Error(ErrorKind::configuration,
                cat(what,
                    half < units ? cat("; resume with performance.microbatch=", half,
                                       ", or with --auto-microbatch, which halves it until it fits")
                                 : "; take a smaller model, or a machine with more memory",
                    ". A checkpoint is saved; this step stays charged"));
  hooks_.say(cat(what, "; going on with ", half));
  config_.performance.microbatch = half;
  if (step_ < lost_until_) leave_lost_steps("the micro-batch is another");
  *plan_ = PrivacyPlan(config_.privacy, half, key_, structure_);
  save_checkpoint();
}

TrainResult Trainer::run() {
  const auto steps = static_cast<uint64_t>(config_.privacy.steps);
  // A run that ended before its certificate was written ends again, without another step.
  if (closed_) return finish(step_ == steps ? RunStatus::completed : RunStatus::budget_exhausted);
  using Clock = std::chrono::steady_clock;
  bool said_refusal = false;
  std::unique_ptr<PrivateStep> private_step = make_step();
  while (step_ < steps) {
    const auto start = Clock::now();
    try {
      std::optional<PrivateGradient> gradient = next_gradient(private_step);
      if (!gradient) continue;
      optimizer_->step(std::move(*gradient));
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::budget_exhausted) throw;
      hooks_.say(error.what());
      return finish(RunStatus::budget_exhausted);
    }
    if (config_.privacy.clipping.adaptive()) clip_norm_ = private_step->clip_norm();
    if (const PassGraph* passes = private_step->passes(); passes && !said_refusal && !passes->refusal().empty()) {
      hooks_.say(cat("performance.record_passes: passes go on without a recording: ", passes->refusal()));
      said_refusal = true;
    }
    fault_point("step.updated");
    ++step_;
    const StepDiagnostics seen = private_step->diagnostics();  // a GPU has finished the step by then
    log(seen, std::chrono::duration<double>(Clock::now() - start).count());
    hooks_.on_step({step_, config_.privacy.steps, seen, spent(step_), config_.privacy.epsilon});
    if (hooks_.interrupted()) return finish(RunStatus::interrupted);
    if (step_ % static_cast<uint64_t>(config_.run.checkpoint_every) == 0) save_checkpoint();
  }
  return finish(RunStatus::completed);
}

double Trainer::spent(uint64_t steps) const {
  return ledger_->epsilon(identity_.run_id, static_cast<int64_t>(steps));
}

TrainResult Trainer::finish(RunStatus status) {
  save_checkpoint();
  write_model(folder_.dir(), {config_.model, train_.spec, schema_, encoding_}, model_);
  // A person who stops a run has seen results, so the stop is adaptive: only the allotment is certain.
  const double epsilon = status == RunStatus::interrupted ? config_.privacy.epsilon : spent(charged_);
  if (status != RunStatus::interrupted) {
    if (!closed_) ledger_->release(identity_.run_id);
    closed_ = true;
    fault_point("run.released");
    destroy_file(folder_.key());
  }
  return {status,
          step_,
          charged_,
          epsilon,
          identity_.run_id,
          ledger_->head_of(identity_.run_id),
          ledger_->run(identity_.run_id)->refused};
}

}  // namespace sotto
