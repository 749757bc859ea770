#include "engine/checkpoint.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>

#include "base/atomic_file.h"
#include "base/error.h"
#include "engine/safetensors.h"

namespace sotto {
namespace {

TensorFile odd_tensors() {
  TensorFile file;
  file.tensors["w"] = at::tensor({1.5f, -0.0f, NAN, INFINITY, 1e-45f, -3e38f}).view({2, 3});
  file.tensors["scalar"] = at::tensor(7.0).squeeze();
  file.tensors["ids"] = at::tensor({int64_t{1} << 62, int64_t{-5}}, at::kLong);
  file.tensors["none"] = at::zeros({0, 5});
  file.tensors["turned"] = at::randn({3, 4}).t();
  file.metadata = {{"format", "x"}, {"text", "quotes \" and \n lines, ü"}};
  return file;
}

bool same_bytes(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor x = a.contiguous(), y = b.contiguous();
  return x.sizes() == y.sizes() && x.scalar_type() == y.scalar_type() &&
         (x.nbytes() == 0 || std::memcmp(x.const_data_ptr(), y.const_data_ptr(), x.nbytes()) == 0);
}

// A file with the given header and so many bytes of data.
std::string raw(const std::string& header, size_t data, int64_t length = -1) {
  const uint64_t claimed = length < 0 ? header.size() : static_cast<uint64_t>(length);
  return std::string(reinterpret_cast<const char*>(&claimed), 8) + header + std::string(data, '\1');
}

void expect_refused(const std::string& bytes, const std::string& what) {
  try {
    from_safetensors(bytes, "some/file");
    ADD_FAILURE() << what << " was accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::data) << what;
    EXPECT_NE(std::string(error.what()).find("some/file"), std::string::npos) << error.what();
  } catch (const std::exception& error) {
    ADD_FAILURE() << what << " ended in another exception: " << error.what();
  }
}

TEST(Safetensors, RoundTripKeepsEveryBit) {
  const TensorFile file = odd_tensors();
  const std::string bytes = to_safetensors(file);
  const TensorFile back = from_safetensors(bytes, "memory");
  ASSERT_EQ(back.tensors.size(), file.tensors.size());
  for (const auto& [name, tensor] : file.tensors) EXPECT_TRUE(same_bytes(back.tensors.at(name), tensor)) << name;
  EXPECT_EQ(back.metadata, file.metadata);
  EXPECT_EQ(to_safetensors(back), bytes) << "the bytes are a function of the content";
  uint64_t header = 0;
  std::memcpy(&header, bytes.data(), 8);
  EXPECT_EQ(header % 8, 0u) << "data is aligned, as other readers want it";
}

TEST(Safetensors, RefusesEveryTruncation) {
  TensorFile file = odd_tensors();
  file.tensors.erase("none");
  const std::string bytes = to_safetensors(file);
  for (size_t length = 0; length < bytes.size(); ++length) expect_refused(bytes.substr(0, length), cat("the first ", length, " bytes"));
  expect_refused(bytes + "x", "a byte behind the end");
}

TEST(Safetensors, RefusesHostileHeaders) {
  const auto entry = [](const char* dtype, const char* shape, const char* offsets) {
    return cat(R"({"w":{"dtype":")", dtype, R"(","shape":)", shape, R"(,"data_offsets":)", offsets, "}}");
  };
  EXPECT_EQ(from_safetensors(raw(entry("F32", "[2]", "[0,8]"), 8), "x").tensors.at("w").numel(), 2);
  for (const char* offsets : {"[0,4]", "[0,12]", "[8,0]", "[-8,0]", "[4,12]", "[18446744073709551608,0]", "[0]", "[]", "[0,8,8]",
                              R"("0,8")", "null", "[0,9223372036854775807]"})
    expect_refused(raw(entry("F32", "[2]", offsets), 8), cat("offsets ", offsets));
  for (const char* shape : {"[3]", "[-2]", "[-1,-2]", "[4611686018427387904,4]", "[4294967296,4294967296]", "[0]", "[2,9223372036854775807]",
                            "[9223372036854775807,9223372036854775807,0]", "[0,9223372036854775807,9223372036854775807]", "2", "{}", R"(["2"])"})
    expect_refused(raw(entry("F32", shape, "[0,8]"), 8), cat("shape ", shape));
  for (const char* shape : {"[9223372036854775807,9223372036854775807,0]", "[4611686018427387904,0,4611686018427387904]"})
    expect_refused(raw(entry("F32", shape, "[0,0]"), 0), cat("empty shape ", shape));
  for (const char* dtype : {"F16", "BF16", "f32", "", "F320"}) expect_refused(raw(entry(dtype, "[2]", "[0,8]"), 8), dtype);
  for (const char* header : {"", "{", "[]", "3", "null", "\xff\xfe", R"({"w":3})", R"({"w":{}})", R"({"__metadata__":{"a":1}})",
                             R"({"__metadata__":[]})"})
    expect_refused(raw(header, 0), cat("header ", header));
  for (const int64_t length : {int64_t{1000}, INT64_MAX, int64_t{9}}) expect_refused(raw("{}", 3, length), cat("header length ", length));
  expect_refused(std::string(8, '\xff') + "{}", "header length 2^64 - 1");
  expect_refused(raw(std::string(100000, '[') + std::string(100000, ']'), 0), "deep nesting");
}

class CheckpointFile : public ::testing::Test {
 protected:
  ~CheckpointFile() override { std::filesystem::remove(path_); }
  std::filesystem::path path_ = std::filesystem::temp_directory_path() / cat("sotto_checkpoint_", ::getpid());
};

TEST_F(CheckpointFile, RoundTripKeepsEverything) {
  const Checkpoint saved = {123456789012, "run", "key", "hash", odd_tensors().tensors, {{"first.0", at::randn({2, 2})}}};
  write_checkpoint(path_, saved);
  const Checkpoint back = read_checkpoint(path_);
  EXPECT_EQ(back.next_step, saved.next_step);
  EXPECT_EQ(back.run_id, "run");
  EXPECT_EQ(back.key_id, "key");
  EXPECT_EQ(back.replay_hash, "hash");
  ASSERT_EQ(back.parameters.size(), saved.parameters.size());
  ASSERT_EQ(back.optimizer.size(), 1u);
  for (const auto& [name, tensor] : saved.parameters) EXPECT_TRUE(same_bytes(back.parameters.at(name), tensor)) << name;
  EXPECT_TRUE(same_bytes(back.optimizer.at("first.0"), saved.optimizer.at("first.0")));
}

TEST_F(CheckpointFile, RefusesWhatIsMissingOrNotACheckpoint) {
  const auto kind = [&] {
    try {
      read_checkpoint(path_);
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(path_.string()), std::string::npos) << error.what();
      return error.kind();
    }
    return ErrorKind::invalid_argument;  // accepted
  };
  EXPECT_EQ(kind(), ErrorKind::io) << "missing";
  const std::map<std::string, std::string> good = {
      {"format", "sotto.checkpoint.1"}, {"next_step", "5"}, {"run_id", "r"}, {"key_id", "k"}, {"replay_hash", "h"}};
  write_safetensors(path_, {{}, good});
  EXPECT_EQ(kind(), ErrorKind::invalid_argument) << "the control is a checkpoint";
  for (const auto& [name, value] : good) {
    auto fields = good;
    fields.erase(name);
    write_safetensors(path_, {{}, fields});
    EXPECT_EQ(kind(), ErrorKind::data) << "without " << name;
  }
  for (const auto& [name, value] : {std::pair("format", "sotto.model.1"), std::pair("next_step", "-1"), std::pair("next_step", "5x"),
                                    std::pair("next_step", ""), std::pair("next_step", "99999999999999999999")}) {
    auto fields = good;
    fields[name] = value;
    write_safetensors(path_, {{}, fields});
    EXPECT_EQ(kind(), ErrorKind::data) << name << " = " << value;
  }
  for (const std::string bytes : {"", "x", "{}", "\x08", "garbage that is longer than a header"}) {
    write_file(path_, bytes);
    EXPECT_EQ(kind(), ErrorKind::data) << bytes;
  }
}

}  // namespace
}  // namespace sotto
