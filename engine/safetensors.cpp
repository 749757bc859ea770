#include "engine/safetensors.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/error.h"

namespace sotto {
namespace {

using Json = nlohmann::json;

struct DataType {
  const char* name;
  at::ScalarType type;
};
constexpr DataType kTypes[] = {{"F32", at::kFloat}, {"F64", at::kDouble}, {"F16", at::kHalf},  {"BF16", at::kBFloat16},
                               {"I64", at::kLong},  {"I32", at::kInt},    {"I16", at::kShort}, {"I8", at::kChar},
                               {"U8", at::kByte},   {"BOOL", at::kBool}};

const char* type_name(const at::Tensor& tensor) {
  for (const DataType& type : kTypes)
    if (type.type == tensor.scalar_type()) return type.name;
  throw Error(ErrorKind::internal, cat("no safetensors type for ", tensor.scalar_type()));
}

[[noreturn]] void refuse(const std::string& place, const std::string& what) {
  throw Error(ErrorKind::data, cat(place, " is not a valid safetensors file: ", what));
}

at::Tensor read_tensor(const std::string& name, const Json& entry, const char* data, size_t size,
                       const std::string& place) {
  const DataType* type = nullptr;
  for (const DataType& candidate : kTypes)
    if (entry.at("dtype") == candidate.name) type = &candidate;
  if (!type)
    refuse(place, cat("tensor ", name, " has dtype ", entry.at("dtype").dump(),
                      "; F32, F64, F16, BF16, I64, I32, I16, I8, U8 and BOOL are known"));
  const auto shape = entry.at("shape").get<std::vector<int64_t>>();
  const auto offsets = entry.at("data_offsets").get<std::vector<uint64_t>>();
  constexpr uint64_t largest = uint64_t{1} << 56;
  uint64_t elements = 1, extent = 1;
  for (int64_t length : shape) {
    // Lengths beside a 0 count too: strides are made of them.
    if (length < 0 || static_cast<uint64_t>(length) > largest / extent)
      refuse(place, cat("tensor ", name, " has an impossible shape"));
    extent *= static_cast<uint64_t>(std::max<int64_t>(length, 1));
    elements *= static_cast<uint64_t>(length);
  }
  const uint64_t bytes = elements * c10::elementSize(type->type);
  if (offsets.size() != 2 || offsets[0] > offsets[1] || offsets[1] > size || offsets[1] - offsets[0] != bytes)
    refuse(place, cat("tensor ", name, " does not lie where its header says"));
  at::Tensor tensor = at::empty(shape, at::TensorOptions(type->type));
  if (bytes > 0) std::memcpy(tensor.mutable_data_ptr(), data + offsets[0], bytes);
  return tensor;
}

}  // namespace

std::string to_safetensors(const TensorFile& file) {
  Json header = Json::object();
  if (!file.metadata.empty()) header["__metadata__"] = file.metadata;
  std::string data;
  for (const auto& [name, tensor] : file.tensors) {
    const at::Tensor plain = tensor.detach().cpu().contiguous();
    const size_t begin = data.size();
    data.append(static_cast<const char*>(plain.const_data_ptr()), plain.nbytes());
    header[name] = {
        {"dtype", type_name(plain)}, {"shape", plain.sizes().vec()}, {"data_offsets", {begin, data.size()}}};
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');  // the format aligns the data to 8 bytes
  const uint64_t length = text.size();
  std::string bytes(reinterpret_cast<const char*>(&length), sizeof length);
  return bytes + text + data;
}

TensorFile from_safetensors(const std::string& bytes, const std::string& place) {
  uint64_t length = 0;
  if (bytes.size() < sizeof length) refuse(place, "it is shorter than its length field");
  std::memcpy(&length, bytes.data(), sizeof length);
  if (length > bytes.size() - sizeof length) refuse(place, "it is shorter than its header");
  TensorFile file;
  try {
    const Json header = Json::parse(bytes.data() + sizeof length, bytes.data() + sizeof length + length);
    const char* data = bytes.data() + sizeof length + length;
    const size_t size = bytes.size() - sizeof length - length;
    if (!header.is_object()) refuse(place, "its header is not a JSON object");
    uint64_t covered = 0;
    for (const auto& [name, entry] : header.items()) {
      if (name == "__metadata__")
        file.metadata = entry.get<std::map<std::string, std::string>>();
      else
        covered += (file.tensors[name] = read_tensor(name, entry, data, size, place)).nbytes();
    }
    if (covered != size) refuse(place, cat("its tensors take ", covered, " bytes, but ", size, " follow its header"));
  } catch (const Json::exception& error) {
    refuse(place, error.what());
  }
  return file;
}

void write_safetensors(const std::filesystem::path& path, const TensorFile& file) {
  write_file(path, to_safetensors(file));
}

TensorFile read_safetensors(const std::filesystem::path& path) {
  return from_safetensors(read_file(path), path.string());
}

}  // namespace sotto
