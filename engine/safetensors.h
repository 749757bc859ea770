#pragma once
#include <filesystem>
#include <map>
#include <string>

#include "engine/torch.h"

namespace sotto {

// A safetensors file: named tensors and a map of texts. docs/formats/checkpoint.md describes it. Nothing in it is code.
struct TensorFile {
  std::map<std::string, at::Tensor> tensors;  // contiguous, on the CPU; floats, signed integers, uint8 or bool
  std::map<std::string, std::string> metadata;
};

// The bytes of a file are a function of its content: names are sorted.
std::string to_safetensors(const TensorFile& file);
// Checks every length and offset against the file's size. Throws data with the place and what is wrong.
TensorFile from_safetensors(const std::string& bytes, const std::string& place);

void write_safetensors(const std::filesystem::path& path, const TensorFile& file);  // beside and renamed
TensorFile read_safetensors(const std::filesystem::path& path);

}  // namespace sotto
