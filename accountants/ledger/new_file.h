#pragma once
#include <filesystem>
#include <functional>

namespace sotto::accountants {

// Makes a database beside `path` (mode 0600), lets `fill` write it, syncs it and links it into place, so that the path
// holds a whole file or nothing, and never one that was there before. False when another process was first. A kill may
// leave PATH.new.PID behind, which nobody reads. Throws io, and what `fill` throws.
bool put_in_place(const std::filesystem::path& path, const std::function<void(const std::filesystem::path&)>& fill);

}  // namespace sotto::accountants
