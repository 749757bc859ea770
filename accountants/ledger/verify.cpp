#include <deque>
#include <nlohmann/json.hpp>
#include <thread>

#include "accountants/ledger.h"
#include "accountants/ledger/database.h"
#include "accountants/ledger/replay.h"
#include "accountants/ledger/schema.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

constexpr size_t kBatchRows = 4096;

// Some rows in a row, with room for their texts.
struct Batch {
  std::deque<std::string> texts;
  std::vector<Line> lines;
  std::map<int64_t, std::string> signatures;
};

// Reads the rows in order; a batch without lines is the end.
class Rows {
 public:
  explicit Rows(Database& database)
      : rows_(database.query("SELECT id, payload, hash FROM entry ORDER BY id")),
        signatures_(database.query(database.pragma("user_version") >= 2 ? "SELECT id, value FROM signature ORDER BY id"
                                                                        : "SELECT NULL, NULL WHERE 0")),
        signed_(signatures_.step()) {}

  Batch read() {
    Batch batch;
    batch.lines.reserve(kBatchRows);
    // SQLite would start again from the first row after the last.
    while (!done_ && batch.lines.size() < kBatchRows) {
      if ((done_ = !rows_.step())) break;
      Line line{};
      line.id = rows_.integer(0);
      line.payload = batch.texts.emplace_back(rows_.text(1));
      line.hash = batch.texts.emplace_back(rows_.text(2));
      batch.lines.push_back(line);
      for (; signed_ && signatures_.integer(0) <= line.id; signed_ = signatures_.step())
        batch.signatures[signatures_.integer(0)] = signatures_.text(1);
    }
    return batch;
  }

  // The row of a signature that no row was read for, or 0.
  int64_t left_over() const { return signed_ ? signatures_.integer(0) : 0; }

 private:
  Query rows_, signatures_;
  bool signed_, done_ = false;
};

}  // namespace

VerifyReport Ledger::verify(const std::filesystem::path& path, const std::optional<Head>& expected) {
  if (!std::filesystem::is_regular_file(path)) throw Error(ErrorKind::io, cat("there is no ledger ", path.string()));
  if (std::filesystem::file_size(path) == 0)
    throw Error(ErrorKind::data, cat(path.string(), " is empty, so not a ledger"));
  Database database(path, Database::Access::read_only);
  check_identity(database);
  VerifyReport report{true, 0, {0, ""}, {}};
  Replay replay(report);
  bool head_seen = false;
  const auto follow = [&](const Batch& batch) {
    for (const Line& line : batch.lines) {
      const auto signature = batch.signatures.find(line.id);
      replay.row(line, signature == batch.signatures.end() ? nullptr : &signature->second);
      if (!expected || line.id != expected->id) continue;
      head_seen = true;
      if (line.hash != expected->hash)
        replay.note(expected->id, "is not the one that was certified: history was rewritten");
    }
  };
  try {
    database.run("BEGIN");  // one moment of a ledger that others may be writing
    if (const auto difference = schema_difference(database); !difference.empty())
      replay.note("the tables were altered: " + difference);
    if (const int64_t size = database.pragma("page_count") * database.pragma("page_size");
        !has_log(path) && std::filesystem::file_size(path) < static_cast<uintmax_t>(size))
      replay.note(cat("the file was cut short: it has ", std::filesystem::file_size(path), " of ", size, " bytes"));
    Rows rows(database);
    // Hashing a batch takes about as long as reading one and following its meaning, so another thread does it.
    Batch hashed, next = rows.read();
    while (!next.lines.empty()) {
      std::jthread worker([&next] {
        for (Line& line : next.lines) inspect(line);
      });
      follow(hashed);
      Batch coming = rows.read();
      worker.join();
      hashed = std::move(next);
      next = std::move(coming);
    }
    follow(hashed);
    if (const int64_t id = rows.left_over()) replay.note(cat("there is a signature of row ", id, ", but no such row"));
    replay.end(database);
    if (expected && !head_seen)
      replay.note(
          cat("the ledger ends at row ", report.head.id, ", row ", expected->id, " was certified: it was cut off"));
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::data) throw;
    replay.note(error.what());
  }
  return report;
}

}  // namespace sotto::accountants
