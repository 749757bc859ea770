#include "engine/checkpoint.h"

#include <cmath>
#include <cstdlib>

#include "base/error.h"
#include "base/fault_point.h"
#include "engine/safetensors.h"

namespace sotto {
namespace {

constexpr const char* kFormat = "sotto.checkpoint.1";

}  // namespace

void write_checkpoint(const std::filesystem::path& path, const Checkpoint& checkpoint) {
  TensorFile file;
  for (const auto& [name, tensor] : checkpoint.parameters) file.tensors["model." + name] = tensor;
  for (const auto& [name, tensor] : checkpoint.optimizer) file.tensors["optimizer." + name] = tensor;
  file.metadata = {{"format", kFormat},
                   {"next_step", std::to_string(checkpoint.next_step)},
                   {"run_id", checkpoint.run_id},
                   {"key_id", checkpoint.key_id},
                   {"replay_hash", checkpoint.replay_hash}};
  if (checkpoint.clip_norm) file.metadata["clip_norm"] = cat(std::hexfloat, *checkpoint.clip_norm);
  fault_point("checkpoint.before");
  write_safetensors(path, file);
  fault_point("checkpoint.after");
}

Checkpoint read_checkpoint(const std::filesystem::path& path) {
  TensorFile file = read_safetensors(path);
  const auto field = [&](const char* name) {
    const auto hit = file.metadata.find(name);
    if (hit == file.metadata.end())
      throw Error(ErrorKind::data, cat(path.string(), " has no field ", name, " in its header"));
    return hit->second;
  };
  const auto number = [&](const char* name) {
    const std::string text = field(name);
    if (text.empty() || text.size() > 18 || text.find_first_not_of("0123456789") != std::string::npos)
      throw Error(ErrorKind::data, cat(path.string(), ": ", name, " must be a step number, got ", text));
    return static_cast<uint64_t>(std::stoull(text));
  };
  if (field("format") != kFormat)
    throw Error(ErrorKind::data, cat(path.string(), " has format ", field("format"), "; this sotto reads ", kFormat));
  Checkpoint checkpoint = {number("next_step"), field("run_id"), field("key_id"), field("replay_hash"), {}, {}};
  if (file.metadata.contains("clip_norm")) {
    const std::string text = field("clip_norm");
    char* end = nullptr;
    checkpoint.clip_norm = std::strtod(text.c_str(), &end);
    if (text.empty() || *end != 0 || !(*checkpoint.clip_norm > 0) || !std::isfinite(*checkpoint.clip_norm))
      throw Error(ErrorKind::data, cat(path.string(), ": clip_norm must be a positive number, got ", text));
  }
  for (const auto& [name, tensor] : file.tensors) {
    if (name.rfind("model.", 0) == 0) checkpoint.parameters[name.substr(6)] = tensor;
    if (name.rfind("optimizer.", 0) == 0) checkpoint.optimizer[name.substr(10)] = tensor;
  }
  return checkpoint;
}

}  // namespace sotto
