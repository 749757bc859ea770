#include "engine/train_config.h"

#include <algorithm>

#include "base/error.h"

namespace sotto {
namespace {

constexpr int64_t kMostThreads = 1024;

class Reader {
 public:
  explicit Reader(const Settings& settings) : settings_(settings) {}

  // A value that fails `ok` is an error with its place, the limit and the way out.
  template <class T>
  T checked(const std::string& key, T value, bool ok, const std::string& limit) const {
    if (!ok) throw Error(ErrorKind::configuration, cat(settings_.where(key), " must be ", limit, ", got ", value));
    return value;
  }
  double positive(const std::string& key) const {
    const double value = settings_.number(key);
    return checked(key, value, value > 0, "positive");
  }
  int64_t at_least(const std::string& key, int64_t low, int64_t otherwise) const {
    const int64_t value = settings_.integer(key, otherwise);
    return checked(key, value, value >= low, cat("at least ", low));
  }
  int64_t at_least(const std::string& key, int64_t low) const {
    const int64_t value = settings_.integer(key);
    return checked(key, value, value >= low, cat("at least ", low));
  }
  std::string one_of(const std::string& key, const std::string& otherwise,
                     const std::vector<std::string>& names) const {
    const std::string value = settings_.text(key, otherwise);
    std::string list;
    for (const std::string& name : names) list += (list.empty() ? "" : ", ") + name;
    return checked(key, value, std::find(names.begin(), names.end(), value) != names.end(), "one of " + list);
  }

 private:
  const Settings& settings_;
};

PrivacyConfig read_privacy(const Settings& s, const Reader& reader) {
  PrivacyConfig privacy;
  privacy.relation =
      accountants::relation_from_string(reader.one_of("privacy.neighbouring_relation", "add_remove", {"add_remove"}));
  privacy.epsilon = reader.positive("privacy.epsilon");
  const double delta = s.number("privacy.delta");
  privacy.delta = reader.checked("privacy.delta", delta, delta > 0 && delta < 1, "between 0 and 1");
  const double noise = s.number("privacy.noise_multiplier", 0.0);
  privacy.noise_multiplier = reader.checked("privacy.noise_multiplier", noise, noise >= 0,
                                            "positive (or absent: calibrated to privacy.epsilon)");
  if (s.has("privacy.noise_multiplier")) reader.positive("privacy.noise_multiplier");
  privacy.clip_norm = reader.positive("privacy.clip_norm");
  const double rate = s.number("privacy.sample_rate");
  privacy.sample_rate = reader.checked("privacy.sample_rate", rate, rate > 0 && rate <= 1, "in (0, 1]");
  privacy.public_size = reader.at_least("privacy.public_size", 1);
  privacy.steps = reader.at_least("train.steps", 1);
  privacy.noise = reader.one_of("privacy.noise", privacy.noise, {"gaussian", "discrete_gaussian"});
  privacy.accountant = s.text("privacy.accountant", "pld");
  privacy.generator = reader.one_of("privacy.generator", privacy.generator, {"chacha20", "philox"});
  privacy.unsafe_generator = s.flag("privacy.unsafe_generator", false);  // the plan refuses philox without it
  ClippingConfig& clipping = privacy.clipping;                           // the plan checks the ranges
  clipping.rule = s.text("privacy.clipping", clipping.rule);
  clipping.stability = s.number("privacy.clip_stability", clipping.stability);
  clipping.groups = s.text("privacy.clip_groups", clipping.groups);
  clipping.quantile = s.number("privacy.clip_quantile", clipping.quantile);
  clipping.learning_rate = s.number("privacy.clip_learning_rate", clipping.learning_rate);
  clipping.count_noise = s.number("privacy.clip_count_noise", clipping.count_noise);
  return privacy;
}

OptimizerConfig read_optimizer(const Settings& s, const Reader& reader) {
  OptimizerConfig optimizer;
  optimizer.kind = reader.one_of("train.optimizer", "sgd", {"sgd", "adam", "adamw", "lamb"});
  optimizer.learning_rate = reader.positive("train.learning_rate");
  optimizer.momentum = s.number("train.momentum", 0.0);
  optimizer.beta1 = s.number("train.beta1", 0.9);
  optimizer.beta2 = s.number("train.beta2", 0.999);
  optimizer.epsilon = s.number("train.adam_epsilon", 1e-8);
  optimizer.weight_decay = s.number("train.weight_decay", 0.0);
  optimizer.schedule = reader.one_of("train.schedule", "constant", {"constant", "cosine"});
  return optimizer;
}

accountants::Scope read_scope(const Settings& s, const Reader& reader) {
  const auto path = [&](const std::string& key) {
    if (!s.has(key)) return std::string();
    const std::string text = s.text(key);
    return reader.checked(key, text, !text.empty() && accountants::well_formed(text),
                          "a path without empty parts, such as clinic/cardiology (or absent)");
  };
  return {.organisation = path("ledger.organisation"),
          .purpose = path("ledger.purpose"),
          .team = path("ledger.team"),
          .group = path("ledger.group")};
}

}  // namespace

TrainConfig TrainConfig::read(const std::filesystem::path& path, const std::vector<std::string>& overrides) {
  Settings s = Settings::parse_file(path);
  for (const std::string& assignment : overrides) s.set(assignment);
  const Reader reader(s);
  const auto beside = [&](const std::string& text) {
    return std::filesystem::path(text).is_absolute() ? std::filesystem::path(text)
                                                     : (path.parent_path() / text).lexically_normal();
  };
  TrainConfig config;
  config.data.schema = beside(s.text("data.schema"));
  config.data.path = beside(s.text("data.path"));
  config.data.encoding = reader.one_of("data.encoding", "numbers", {"numbers", "tokens"});
  const std::vector<std::string> splits = {"train", "train_without_validation", "validation", "test", "all"};
  config.data.train_split = reader.one_of("data.train_split", "train", splits);
  config.data.test_split = reader.one_of("data.test_split", "test", splits);

  config.run.dir = s.text("run.dir");
  if (s.has("run.seed")) config.run.seed = static_cast<uint64_t>(reader.at_least("run.seed", 0));
  config.run.checkpoint_every = reader.at_least("run.checkpoint_every", 1, 100);
  config.run.evaluate_every = reader.at_least("run.evaluate_every", 0, 0);

  config.model.kind = reader.one_of("model.kind", "mlp", {"mlp", "torchscript"});
  config.model.hidden = s.integers("model.hidden", {});
  for (int64_t width : config.model.hidden)
    reader.checked("model.hidden", width, width > 0, "a list of positive widths");
  config.model.outputs = reader.at_least("model.outputs", 1, 1);
  config.model.output_bias = s.number("model.output_bias", 0.0);
  if (config.model.kind == "torchscript") config.model.script = beside(s.text("model.script"));

  config.privacy = read_privacy(s, reader);
  config.optimizer = read_optimizer(s, reader);

  const int64_t threads = reader.at_least("performance.threads", 0, 0);
  config.performance.threads = static_cast<int>(reader.checked("performance.threads", threads, threads <= kMostThreads,
                                                               cat("at most ", kMostThreads, " (0: all cores)")));
  config.performance.microbatch = reader.at_least("performance.microbatch", 0, 0);
  config.performance.auto_microbatch = s.flag("performance.auto_microbatch", false);
  config.performance.device = reader.one_of("performance.device", "cpu", {"cpu", "cuda"});
  const int64_t streams = reader.at_least("performance.streams", 1, 2);
  config.performance.streams = static_cast<int>(reader.checked("performance.streams", streams, streams <= 2, "1 or 2"));
  config.performance.planner = reader.one_of("performance.planner", "measured", {"measured", "shape"});
  config.performance.precision = reader.one_of("performance.precision", "float32", {"float32", "bfloat16"});
  config.performance.record_passes = s.flag("performance.record_passes", false);
  config.performance.storage_limit = reader.at_least("performance.storage_limit", 0, int64_t{1} << 30);

  config.ledger.path = accountants::LedgerLocation::parse(s.text("ledger.path"));
  // The run's copy of its configuration leaves the house: it names the server, not who connects and how.
  if (config.ledger.path.on_server()) s.set("ledger.path=" + config.ledger.path.text());
  config.ledger.block_steps = reader.at_least("ledger.block_steps", 1, 1);
  config.ledger.scope = read_scope(s, reader);
  if (s.has("ledger.signing_key"))
    config.ledger.signing_key =
        reader.checked("ledger.signing_key", s.text("ledger.signing_key"), !s.text("ledger.signing_key").empty(),
                       "the path of a key file that `sotto ledger key` made");
  s.reject_unknown();
  s.remove("ledger.signing_key");  // RUN/config.toml is handed on; where a secret lies is nobody else's business
  config.toml = s.to_toml();
  return config;
}

}  // namespace sotto
