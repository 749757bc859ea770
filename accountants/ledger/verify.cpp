#include <algorithm>
#include <atomic>
#include <future>
#include <span>

#include "accountants/ledger.h"
#include "accountants/ledger/backend.h"
#include "accountants/ledger/replay.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

constexpr size_t kBatchRows = 4096, kBatchBytes = kBatchRows * 512;

// Some rows in a row, with room for their texts. Filled again and again: allocating would take as long as reading.
struct Batch {
  std::vector<char> texts = std::vector<char>(kBatchBytes);
  size_t used = 0;
  std::vector<Line> lines;

  bool has_room(size_t size) const { return lines.size() < kBatchRows && texts.size() - used >= size; }
  std::string_view keep(std::string_view text) {
    char* start = texts.data() + used;
    std::ranges::copy(text, start);
    used += text.size();
    return {start, text.size()};
  }
};

// Reads the rows in order.
class Rows {
 public:
  explicit Rows(LedgerReader& ledger) : ledger_(ledger), row_(ledger.next_row()) {}

  // A batch without lines is the end.
  void read(Batch& batch) {
    batch.used = 0;
    batch.lines.clear();
    for (; row_; row_ = ledger_.next_row()) {
      const size_t size = row_->payload.size() + row_->hash.size() + (row_->signature ? row_->signature->size() : 0) +
                          (row_->columns ? row_->columns->kind.size() + row_->columns->run_id.size() : 0);
      if (!batch.has_room(size)) {
        if (!batch.lines.empty()) return;
        batch.texts.resize(size);
      }
      Line line{};
      line.id = row_->id;
      line.payload = batch.keep(row_->payload);
      line.hash = batch.keep(row_->hash);
      if (row_->signature) line.signature = batch.keep(*row_->signature);
      if (const auto& columns = row_->columns)
        line.columns = {batch.keep(columns->kind), batch.keep(columns->run_id), columns->first_step,
                        columns->last_step};
      batch.lines.push_back(line);
    }
  }

 private:
  LedgerReader& ledger_;
  std::optional<LedgerReader::Row> row_;
};

// What needs no row before it: the lines of one batch, and signatures of another. Whoever calls help() takes what
// nobody has taken yet, so that two threads end together whichever has more to do besides.
class Inspection {
 public:
  struct Found {
    IndexCheck::Sums charges{};  // what they add to the indexes
    std::vector<ClaimedSignature> wrong;
  };
  Inspection(const Replay& replay, std::vector<Line>& lines, std::vector<ClaimedSignature> signatures)
      : replay_(replay), lines_(lines), signatures_(std::move(signatures)) {}

  Found help() {
    Found found;
    for (size_t i; (i = signature_++) < signatures_.size();)
      if (!signatures_[i].holds()) found.wrong.push_back(signatures_[i]);
    for (size_t i; (i = line_.fetch_add(kAtOnce)) < lines_.size();)
      for (Line& line : std::span(lines_).subspan(i, std::min(kAtOnce, lines_.size() - i))) {
        inspect(line);
        if (line.plain_charge) replay_.add_charge(line, found.charges);
      }
    return found;
  }

 private:
  static constexpr size_t kAtOnce = 128;
  const Replay& replay_;
  std::vector<Line>& lines_;
  std::vector<ClaimedSignature> signatures_;
  std::atomic<size_t> signature_ = 0, line_ = 0;  // the next
};

}  // namespace

VerifyReport Ledger::verify(const LedgerLocation& location, const std::optional<Head>& expected) {
  const auto ledger = read_ledger(location);
  VerifyReport report{true, 0, {0, ""}, {}};
  Replay replay(report);
  bool head_seen = false;
  const auto follow = [&](const Batch& batch) {
    for (const Line& line : batch.lines) {
      replay.row(line);
      if (!expected || line.id != expected->id) continue;
      head_seen = true;
      if (line.hash != expected->hash)
        replay.note(expected->id, "is not the one that was certified: history was rewritten");
    }
  };
  const auto take = [&](const Inspection::Found& found) {
    replay.add(found.charges);
    for (const ClaimedSignature& each : found.wrong)
      replay.note(each.head.id, cat("has a signature that is not of the key ", each.by));
  };
  try {
    for (const std::string& each : ledger->alterations()) replay.note(each);
    ledger->announce_count();
    Rows rows(*ledger);
    Batch inspected, next, coming;
    rows.read(next);
    while (!next.lines.empty()) {
      Inspection inspection(replay, next.lines, replay.take_signatures());
      // A server stops sending while nobody reads, so whoever reads does nothing else before.
      auto helped = std::async(std::launch::async, [&] {
        rows.read(coming);
        return inspection.help();
      });
      follow(inspected);
      take(inspection.help());
      take(helped.get());
      std::swap(inspected, next);
      std::swap(next, coming);
    }
    follow(inspected);
    take(Inspection(replay, next.lines, replay.take_signatures()).help());
    if (const int64_t id = ledger->stray_signature())
      replay.note(cat("there is a signature of row ", id, ", but no such row"));
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
