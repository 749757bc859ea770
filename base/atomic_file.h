#pragma once
#include <filesystem>
#include <string>
#include <string_view>

namespace sotto {

// Replaces `path` by `content` in one step: written beside, synced, renamed, folder synced. After a crash the file is
// the old one or the new one, never a mixture. Throws io with the path and the reason.
void write_file(const std::filesystem::path& path, std::string_view content, unsigned mode = 0644);

// The whole file. Throws io with the path when it cannot be read.
std::string read_file(const std::filesystem::path& path);

// Appends one line in a single write.
void append_line(const std::filesystem::path& path, std::string_view line);

// Creates the folder and its parents; `mode` is that of the last one.
void make_folder(const std::filesystem::path& path, unsigned mode = 0755);

}  // namespace sotto
