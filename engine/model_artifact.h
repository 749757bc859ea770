#pragma once
#include <filesystem>
#include <string>

#include "data/encode.h"
#include "engine/model.h"

namespace sotto {

// A trained model as it is released: model.safetensors (values) beside model.toml (architecture, ordered features, the
// whole public schema), and model.pt for a TorchScript model. Loading runs no code that the files bring, except for
// model.pt, which is TorchScript and is interpreted.
struct ModelArtifact {
  ModelSpec spec;
  InputSpec input;
  data::Schema schema;
  data::Encoding encoding = data::Encoding::numbers;
};

void write_model(const std::filesystem::path& folder, const ModelArtifact& artifact, const Model& model);

// `path` is a run folder, its model.toml or its model.safetensors. Throws io or data with the file and the reason.
struct LoadedModel {
  ModelArtifact artifact;
  Model model;
};
LoadedModel read_model(const std::filesystem::path& path);

}  // namespace sotto
