#include "report/certificate.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <tuple>

#include "base/atomic_file.h"
#include "base/error.h"

namespace sotto::report {
namespace {

constexpr int64_t kFormatVersion = 1;

[[noreturn]] void refuse(const std::string& place, const std::string& field, const std::string& problem) {
  throw Error(ErrorKind::data, cat(place, ": field `", field, "` ", problem));
}

void check_known(const std::string& place, const std::string& field, const std::string& value,
                 const std::vector<std::string>& known) {
  if (std::find(known.begin(), known.end(), value) != known.end()) return;
  std::string list;
  for (const std::string& name : known) list += (list.empty() ? "" : ", ") + name;
  refuse(place, field, cat("is `", value, "`; it must be one of ", list));
}

void check_filled(const std::string& place, const std::string& field, const std::string& value) {
  if (value.empty()) refuse(place, field, "is empty");
}

void check_between(const std::string& place, const std::string& field, double value, double low, double high) {
  // Written so that NaN fails too.
  if (!(value >= low && value <= high)) {
    refuse(place, field, cat("is ", value, "; it must be finite and within [", low, ", ", high, "]"));
  }
}

void check_dataset(const std::string& place, const DatasetCard& dataset) {
  check_filled(place, "dataset.name", dataset.name);
  const bool is_hash = dataset.identity.starts_with("sha256:");
  if (!is_hash && !dataset.identity.starts_with("commitment:")) {
    refuse(place, "dataset.identity", cat("is `", dataset.identity, "`; it must begin with sha256: or commitment:"));
  }
  if (is_hash && !dataset.is_public) {
    refuse(
        place, "dataset.identity",
        "is a plain hash of a data set that is not declared public, against which guesses can be tested; use a keyed "
        "commitment");
  }
  if (!dataset.counts.empty() && !dataset.is_public) {
    refuse(place, "dataset.counts", "tells exact counts of a data set that is not declared public; leave it out");
  }
  for (const auto& [name, count] : dataset.counts) {
    if (count < 0) refuse(place, "dataset.counts." + name, cat("is ", count, "; it must not be negative"));
  }
}

}  // namespace

void check(const Certificate& c, const std::string& place) {
  const double largest = std::numeric_limits<double>::max(), tiny = std::numeric_limits<double>::denorm_min();
  for (const auto& [field, value] : {std::pair{"sotto_version", &c.sotto_version},
                                     {"noise_arithmetic", &c.noise_arithmetic},
                                     {"clipping", &c.clipping},
                                     {"unit_of_privacy", &c.unit_of_privacy},
                                     {"sampling", &c.sampling},
                                     {"model.kind", &c.model.kind},
                                     {"ledger", &c.ledger},
                                     {"ledger_row.head_hash", &c.ledger_row.head_hash}}) {
    check_filled(place, field, *value);
  }
  check_known(place, "accountant", c.accountant, {"rdp", "pld", "gdp", "zcdp"});
  check_known(place, "neighbouring_relation", c.neighbouring_relation, {"add_remove", "replace_one", "zero_out"});
  for (const auto& [field, value, low, high] : {std::tuple{"epsilon_planned", c.epsilon_planned, 0.0, largest},
                                                {"delta", c.delta, 0.0, 1.0},
                                                {"noise_multiplier", c.noise_multiplier, 0.0, largest},
                                                {"clip_norm", c.clip_norm, tiny, largest},
                                                {"l2_sensitivity", c.l2_sensitivity, tiny, largest},
                                                {"sample_rate", c.sample_rate, tiny, 1.0},
                                                {"public_size", double(c.public_size), 1.0, largest},
                                                {"steps", double(c.steps), 0.0, largest},
                                                {"steps_planned", double(c.steps_planned), 0.0, largest},
                                                {"model.parameters", double(c.model.parameters), 1.0, largest}}) {
    check_between(place, field, value, low, high);
  }
  if (c.steps > c.steps_planned) {
    refuse(place, "steps", cat("is ", c.steps, ", more than the ", c.steps_planned, " planned"));
  }
  if (c.refused) {
    const int64_t refused = c.refused->steps;
    if (refused <= c.steps || refused > c.steps_planned)
      refuse(place, "refused.steps",
             cat("is ", refused, "; it must be above the ", c.steps, " steps taken and at most the ", c.steps_planned,
                 " planned"));
    if (!(c.refused->epsilon_lower > c.epsilon_planned && c.refused->epsilon_lower <= largest))
      refuse(place, "refused.epsilon_lower",
             cat("is ", c.refused->epsilon_lower, "; it must be finite and above the ", c.epsilon_planned, " planned"));
  }
  if (c.epsilon) check_between(place, "epsilon", *c.epsilon, 0, c.epsilon_planned);
  if (!c.epsilon && c.is_private()) refuse(place, "epsilon", "is null although the run claims to be private");
  for (const auto& [name, value] : c.metrics) check_between(place, "metrics." + name, value, -largest, largest);
  check_dataset(place, c.dataset);
}

Json to_json(const Certificate& c) {
  check(c);
  Json out;
  out["format_version"] = kFormatVersion;
  out["sotto_version"] = c.sotto_version;
  out["private"] = c.is_private();
  out["unsafe"] = c.unsafe;
  out["epsilon"] = c.epsilon ? Json(*c.epsilon) : Json(nullptr);
  out["epsilon_planned"] = c.epsilon_planned;
  out["delta"] = c.delta;
  out["unit_of_privacy"] = c.unit_of_privacy;
  out["neighbouring_relation"] = c.neighbouring_relation;
  out["not_covered"] = c.not_covered;
  out["accountant"] = c.accountant;
  out["sampling"] = c.sampling;
  out["sample_rate"] = c.sample_rate;
  out["public_size"] = c.public_size;
  out["steps"] = c.steps;
  out["steps_planned"] = c.steps_planned;
  if (c.refused) out["refused"] = {{"steps", c.refused->steps}, {"epsilon_lower", c.refused->epsilon_lower}};
  out["noise_multiplier"] = c.noise_multiplier;
  out["clip_norm"] = c.clip_norm;
  out["l2_sensitivity"] = c.l2_sensitivity;
  out["clipping"] = c.clipping;
  out["noise_arithmetic"] = c.noise_arithmetic;
  out["metrics"] = Json::object();
  for (const auto& [name, value] : c.metrics) out["metrics"][name] = value;
  Json& dataset = out["dataset"];
  dataset["name"] = c.dataset.name;
  dataset["identity"] = c.dataset.identity;
  dataset["public"] = c.dataset.is_public;
  dataset["schema_hash"] = c.dataset.schema_hash;
  dataset["licence"] = c.dataset.licence;
  for (const auto& [name, count] : c.dataset.counts) dataset["counts"][name] = count;
  out["model"]["kind"] = c.model.kind;
  out["model"]["parameters"] = c.model.parameters;
  out["ledger"] = c.ledger;
  out["ledger_row"]["id"] = c.ledger_row.id;
  out["ledger_row"]["head_hash"] = c.ledger_row.head_hash;
  return out;
}

Certificate certificate_from_json(const Json& object, const std::string& place) {
  const Fields in(object, place);
  if (in.integer("format_version") != kFormatVersion) {
    in.fail("format_version", cat("is ", in.integer("format_version"), "; this program reads ", kFormatVersion));
  }
  Certificate c;
  c.sotto_version = in.text("sotto_version");
  c.unsafe = in.texts("unsafe");
  if (in.boolean("private") != c.is_private()) {
    in.fail("private", cat("is ", c.is_private() ? "false" : "true", " but `unsafe` ",
                           c.is_private() ? "names no reason" : "is not empty"));
  }
  // A null epsilon is a statement; an absent one is not.
  if (in.has("epsilon") || !object.contains("epsilon")) c.epsilon = in.number("epsilon");
  c.epsilon_planned = in.number("epsilon_planned");
  c.delta = in.number("delta");
  c.unit_of_privacy = in.text("unit_of_privacy");
  c.neighbouring_relation = in.text("neighbouring_relation");
  c.not_covered = in.texts("not_covered");
  c.accountant = in.text("accountant");
  c.sampling = in.text("sampling");
  c.sample_rate = in.number("sample_rate");
  c.public_size = in.integer("public_size");
  c.steps = in.integer("steps");
  c.steps_planned = in.integer("steps_planned");
  if (in.has("refused")) {
    const Fields refused = in.object("refused");
    c.refused = {refused.integer("steps"), refused.number("epsilon_lower")};
  }
  c.noise_multiplier = in.number("noise_multiplier");
  c.clip_norm = in.number("clip_norm");
  c.l2_sensitivity = in.number("l2_sensitivity");
  if (in.has("clipping")) c.clipping = in.text("clipping");
  c.noise_arithmetic = in.text("noise_arithmetic");
  const Fields metrics = in.object("metrics");
  for (const std::string& name : metrics.names()) c.metrics[name] = metrics.number(name);
  const Fields dataset = in.object("dataset");
  c.dataset = {dataset.text("name"),        dataset.text("identity"), dataset.boolean("public"),
               dataset.text("schema_hash"), dataset.text("licence"),  {}};
  if (dataset.has("counts")) {
    const Fields counts = dataset.object("counts");
    for (const std::string& name : counts.names()) c.dataset.counts[name] = counts.integer(name);
  }
  const Fields model = in.object("model"), head = in.object("ledger_row");
  c.model = {model.text("kind"), model.integer("parameters")};
  c.ledger = in.text("ledger");
  c.ledger_row = {head.integer("id"), head.text("head_hash")};
  check(c, place);
  return c;
}

void write_certificate(const std::filesystem::path& path, const Certificate& certificate) {
  write_file(path, dump(to_json(certificate), 2) + "\n");
}

Certificate read_certificate(const std::filesystem::path& path) {
  return certificate_from_json(read_object(path), path.string());
}

}  // namespace sotto::report
