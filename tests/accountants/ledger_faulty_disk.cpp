#include "tests/accountants/ledger_faulty_disk.h"

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace sotto::accountants {
namespace {

FaultyDisk* disk = nullptr;
sqlite3_vfs* real = nullptr;

// What SQLite sees as one open file; the real one's memory follows it.
struct Handle {
  sqlite3_file base;
  std::string* name;
  sqlite3_file* under() { return reinterpret_cast<sqlite3_file*>(this + 1); }
};
Handle* handle(sqlite3_file* file) {
  return reinterpret_cast<Handle*>(file);
}
sqlite3_file* under(sqlite3_file* file) {
  return handle(file)->under();
}

std::string content(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void apply(std::string& content, const FaultyDisk::Write& write) {
  if (write.truncates) return content.resize(static_cast<size_t>(write.offset));
  const size_t end = static_cast<size_t>(write.offset) + write.bytes.size();
  if (content.size() < end) content.resize(end);
  std::memcpy(content.data() + write.offset, write.bytes.data(), write.bytes.size());
}

int close(sqlite3_file* file) {
  const int code = under(file)->pMethods->xClose(under(file));
  delete handle(file)->name;
  return code;
}
int read(sqlite3_file* file, void* to, int size, sqlite3_int64 offset) {
  return under(file)->pMethods->xRead(under(file), to, size, offset);
}
int write(sqlite3_file* file, const void* from, int size, sqlite3_int64 offset) {
  if (const int code = disk->arrive(); code != SQLITE_OK) return code;
  disk->files()[*handle(file)->name].unsynced.push_back(
      {offset, std::string(static_cast<const char*>(from), static_cast<size_t>(size))});
  return under(file)->pMethods->xWrite(under(file), from, size, offset);
}
int truncate(sqlite3_file* file, sqlite3_int64 size) {
  if (const int code = disk->arrive(); code != SQLITE_OK) return code;
  disk->files()[*handle(file)->name].unsynced.push_back({size, "", true});
  return under(file)->pMethods->xTruncate(under(file), size);
}
int sync(sqlite3_file* file, int) {
  if (disk->failed()) return SQLITE_IOERR_FSYNC;
  FaultyDisk::File& known = disk->files()[*handle(file)->name];
  for (const auto& each : known.unsynced) apply(known.durable, each);
  known.unsynced.clear();
  return SQLITE_OK;
}
int file_size(sqlite3_file* file, sqlite3_int64* size) {
  return under(file)->pMethods->xFileSize(under(file), size);
}
int lock(sqlite3_file* file, int level) {
  return under(file)->pMethods->xLock(under(file), level);
}
int unlock(sqlite3_file* file, int level) {
  return under(file)->pMethods->xUnlock(under(file), level);
}
int check_lock(sqlite3_file* file, int* held) {
  return under(file)->pMethods->xCheckReservedLock(under(file), held);
}
int control(sqlite3_file* file, int op, void* argument) {
  return under(file)->pMethods->xFileControl(under(file), op, argument);
}
int sector_size(sqlite3_file*) {
  return 512;
}
// None of the promises about power cuts that a real file system may make.
int characteristics(sqlite3_file*) {
  return 0;
}
int shm_map(sqlite3_file* file, int region, int size, int extend, void volatile** memory) {
  return under(file)->pMethods->xShmMap(under(file), region, size, extend, memory);
}
int shm_lock(sqlite3_file* file, int offset, int count, int flags) {
  return under(file)->pMethods->xShmLock(under(file), offset, count, flags);
}
void shm_barrier(sqlite3_file* file) {
  under(file)->pMethods->xShmBarrier(under(file));
}
int shm_unmap(sqlite3_file* file, int remove) {
  return under(file)->pMethods->xShmUnmap(under(file), remove);
}

const sqlite3_io_methods kMethods = {
    2,         close,      read,    write,       truncate,        sync,    file_size, lock,
    unlock,    check_lock, control, sector_size, characteristics, shm_map, shm_lock,  shm_barrier,
    shm_unmap, nullptr,    nullptr};

int open(sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* got) {
  file->pMethods = nullptr;
  std::memset(under(file), 0, static_cast<size_t>(real->szOsFile));
  const int code = real->xOpen(real, name, under(file), flags, got);
  if (code != SQLITE_OK) return code;
  handle(file)->name = new std::string(name ? name : "");
  if (!disk->files().contains(*handle(file)->name))
    disk->files()[*handle(file)->name].durable = content(*handle(file)->name);
  file->pMethods = &kMethods;
  return SQLITE_OK;
}

int remove(sqlite3_vfs*, const char* name, int sync_folder) {
  if (const int code = disk->arrive(); code != SQLITE_OK) return code;
  disk->files().erase(name);
  return real->xDelete(real, name, sync_folder);
}

sqlite3_vfs vfs;

}  // namespace

FaultyDisk::FaultyDisk(Fault fault, int at) : fault_(fault), at_(at) {
  if (disk) std::abort();
  disk = this;
  real = sqlite3_vfs_find(nullptr);
  vfs = *real;
  vfs.zName = "faulty_disk";
  vfs.pNext = nullptr;
  vfs.szOsFile = static_cast<int>(sizeof(Handle)) + real->szOsFile;
  vfs.xOpen = open;
  vfs.xDelete = remove;
  sqlite3_vfs_register(&vfs, 1);
}

FaultyDisk::~FaultyDisk() {
  sqlite3_vfs_unregister(&vfs);
  sqlite3_vfs_register(real, 1);
  disk = nullptr;
}

int FaultyDisk::arrive() {
  if (!failed_ && at_ > 0 && --at_ == 0) failed_ = true;
  if (!failed_) return SQLITE_OK;
  return fault_ == Fault::full ? SQLITE_FULL : SQLITE_IOERR_WRITE;
}

void FaultyDisk::restart(Unsynced unsynced, std::mt19937& rng) {
  for (auto& [name, file] : files_) {
    std::string after = file.durable;
    for (const Write& each : file.unsynced) {
      if (each.truncates) {
        if (unsynced == Unsynced::kept) apply(after, each);
        continue;
      }
      for (size_t from = 0; from < each.bytes.size(); from += 512)
        if (unsynced == Unsynced::kept || (unsynced == Unsynced::by_chance && rng() % 2))
          apply(after, {each.offset + static_cast<int64_t>(from), each.bytes.substr(from, 512)});
    }
    if (after.empty() && name.ends_with("-wal"))
      std::filesystem::remove(name);
    else
      std::ofstream(name, std::ios::binary | std::ios::trunc) << after;
    std::filesystem::remove(name + "-shm");
  }
}

}  // namespace sotto::accountants
