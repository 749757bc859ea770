#include <deque>
#include <nlohmann/json.hpp>
#include <thread>

#include "accountants/ledger.h"
#include "accountants/ledger/backend.h"
#include "accountants/ledger/replay.h"
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
  explicit Rows(LedgerReader& ledger) : ledger_(ledger), signature_(ledger.next_signature()) {}

  Batch read() {
    Batch batch;
    batch.lines.reserve(kBatchRows);
    while (batch.lines.size() < kBatchRows) {
      const auto row = ledger_.next_row();
      if (!row) break;
      Line line{};
      line.id = row->id;
      line.payload = batch.texts.emplace_back(row->payload);
      line.hash = batch.texts.emplace_back(row->hash);
      batch.lines.push_back(line);
      for (; signature_ && signature_->id <= line.id; signature_ = ledger_.next_signature())
        batch.signatures[signature_->id] = signature_->value;
    }
    return batch;
  }

  // The row of a signature that no row was read for, or 0.
  int64_t left_over() const { return signature_ ? signature_->id : 0; }

 private:
  LedgerReader& ledger_;
  std::optional<LedgerReader::Signature> signature_;
};

}  // namespace

VerifyReport Ledger::verify(const LedgerLocation& location, const std::optional<Head>& expected) {
  const auto ledger = read_ledger(location);
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
    for (const std::string& each : ledger->alterations()) replay.note(each);
    Rows rows(*ledger);
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
    replay.end(*ledger);
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
