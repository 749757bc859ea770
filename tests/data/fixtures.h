#pragma once
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include <filesystem>
#include <fstream>
#include <string>

#include "base/atomic_file.h"
#include "base/error.h"
#include "data/encode.h"

namespace sotto::data {

inline const std::filesystem::path kFiles = SOTTO_SOURCE "/tests/data/files";
inline const std::filesystem::path kDiabetes = SOTTO_SOURCE "/datasets/diabetes130";

// Files of one test, removed with it.
class Folder {
 public:
  Folder() : path_(std::filesystem::temp_directory_path() / cat("sotto_data_", ::getpid(), "_", count_++)) {
    std::filesystem::create_directory(path_);
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::filesystem::path write(const std::string& name, const std::string& content) const {
    std::ofstream(path_ / name, std::ios::binary) << content;
    return path_ / name;
  }
  const std::filesystem::path& path() const { return path_; }

 private:
  static inline int count_ = 0;
  std::filesystem::path path_;
};

// The message of the error that `call` throws, which must be of `kind`.
template <class Call>
std::string message_of(ErrorKind kind, Call call) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(static_cast<int>(error.kind()), static_cast<int>(kind)) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no error";
  return "";
}

inline void replace_all(std::string& text, const std::string& from, const std::string& to) {
  for (size_t at = 0; (at = text.find(from, at)) != text.npos; at += to.size()) text.replace(at, from.size(), to);
}

// Matches tests/data/files/patients.*
inline const std::string kPatients = R"(
name = "patients"
[file]
missing = ["?"]
[unit]
column = "id"
[label]
column = "back"
positive = ["yes"]
negative = ["no"]
[[grouping]]
name = "icd9"
source = "a test"
group = [{name = "Diabetes", ranges = ["250"]}, {name = "Respiratory", ranges = ["460-519", "786"]}]
[[column]]
name = "age"
kind = "numeric"
range = [0, 80]
midpoint = true
source = "a test"
bins = 4
[[column]]
name = "days"
kind = "numeric"
range = [0, 9]
transform = "log1p"
scale_to = [0, 2]
source = "a test"
[[column]]
name = "sex"
kind = "categorical"
levels = ["Male", "Female"]
source = "a test"
[[column]]
name = "code"
kind = "grouped"
grouping = "icd9"
[[column]]
name = "test"
kind = "categorical"
levels = ["None", "Norm"]
reference = "None"
source = "a test"
)";

inline const std::string kHeader = "id,age,days,sex,code,test,back\n";

inline EncodedTable encode_text(const std::string& csv, Split split = Split::all, const std::string& schema = kPatients,
                                Encoding encoding = Encoding::numbers) {
  const Folder folder;
  return load(Schema::parse(schema, "patients.toml"), folder.write("patients.csv", csv), split, encoding);
}

inline std::vector<float> row_of(const EncodedTable& table, int64_t row) {
  const auto begin = table.features.begin() + row * table.columns;
  return {begin, begin + table.columns};
}

}  // namespace sotto::data
