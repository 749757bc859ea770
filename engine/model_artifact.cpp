#include "engine/model_artifact.h"

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/settings.h"
#include "engine/safetensors.h"

namespace sotto {
namespace {

constexpr const char* kFormat = "sotto.model.1";

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n')
      out += "\\n";
    else if (c == '\r')
      out += "\\r";
    else if (c == '\t')
      out += "\\t";
    else
      out += c;
  }
  return out + "\"";
}

template <class Items, class Show>
std::string list(const Items& items, const Show& show) {
  std::string out = "[";
  for (const auto& item : items) out += (out.size() > 1 ? ", " : "") + show(item);
  return out + "]";
}

}  // namespace

void write_model(const std::filesystem::path& folder, const ModelArtifact& artifact, const Model& model) {
  TensorFile values;
  for (const auto& [name, tensor] : model.named_parameters()) values.tensors[name] = tensor;
  values.metadata = {{"format", kFormat}};
  const bool script = artifact.spec.kind == "torchscript";
  if (script) model.export_torchscript(folder / "model.pt");
  write_safetensors(folder / "model.safetensors", values);
  const auto number = [](int64_t n) { return std::to_string(n); };
  write_file(
      folder / "model.toml",
      cat("format = ", quoted(kFormat), "\n\n[model]\nkind = ", quoted(artifact.spec.kind),
          "\nhidden = ", list(artifact.spec.hidden, number), "\noutputs = ", artifact.spec.outputs,
          "\n\n[input]\nencoding = ", quoted(artifact.input.tokens() ? "tokens" : "numbers"),
          "\ncolumns = ", artifact.input.columns, "\nvocabulary = ", artifact.input.vocabulary,
          "\nfeatures = ", list(data::feature_names(artifact.schema, artifact.encoding), quoted),
          "\n\n[schema]\nhash = ", quoted(artifact.schema.hash), "\ntoml = ", quoted(artifact.schema.toml), "\n"));
}

LoadedModel read_model(const std::filesystem::path& path) {
  const std::filesystem::path folder = std::filesystem::is_directory(path) ? path : path.parent_path();
  const std::filesystem::path file = folder / "model.toml";
  if (!std::filesystem::exists(file))
    throw Error(ErrorKind::io, cat("no model.toml in ", folder.empty() ? "." : folder.string(),
                                   "; give a run's folder, such as runs/readmission"));
  const Settings s = Settings::parse_file(file);
  if (s.text("format") != kFormat)
    throw Error(ErrorKind::data, cat(file.string(), " has format ", s.text("format"), "; this sotto reads ", kFormat));
  ModelArtifact artifact;
  artifact.spec.kind = s.text("model.kind");
  artifact.spec.hidden = s.integers("model.hidden", {});
  artifact.spec.outputs = s.integer("model.outputs");
  artifact.spec.script = folder / "model.pt";
  artifact.input = {s.integer("input.columns"), s.integer("input.vocabulary")};
  artifact.encoding = s.text("input.encoding") == "tokens" ? data::Encoding::tokens : data::Encoding::numbers;
  artifact.schema = data::Schema::parse(s.text("schema.toml"), file.string());
  if (artifact.schema.hash != s.text("schema.hash") ||
      s.texts("input.features") != data::feature_names(artifact.schema, artifact.encoding))
    throw Error(ErrorKind::data, cat(file.string(), " is damaged: its schema does not give the features it lists"));
  Model model = Model::make(artifact.spec, artifact.input, RunKey::from_seed(0));
  model.load_parameters(read_safetensors(folder / "model.safetensors").tensors);
  return {std::move(artifact), std::move(model)};
}

}  // namespace sotto
