#include <algorithm>
#include <functional>
#include <future>
#include <iterator>
#include <nlohmann/json.hpp>

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
  std::map<int64_t, std::string> signatures;
  IndexCheck::Sums charges{};  // what they add to the indexes

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
  explicit Rows(LedgerReader& ledger) : ledger_(ledger), row_(ledger.next_row()), signature_(ledger.next_signature()) {}

  // A batch without lines is the end.
  void read(Batch& batch) {
    batch.used = 0;
    batch.lines.clear();
    batch.signatures.clear();
    batch.charges = {};
    for (; row_; row_ = ledger_.next_row()) {
      const size_t size = row_->payload.size() + row_->hash.size();
      if (!batch.has_room(size)) {
        if (!batch.lines.empty()) return;
        batch.texts.resize(size);
      }
      Line line{};
      line.id = row_->id;
      line.payload = batch.keep(row_->payload);
      line.hash = batch.keep(row_->hash);
      batch.lines.push_back(line);
      for (; signature_ && signature_->id <= line.id; signature_ = ledger_.next_signature())
        batch.signatures[signature_->id] = signature_->value;
    }
  }

  // The row of a signature that no row was read for, or 0.
  int64_t left_over() const { return signature_ ? signature_->id : 0; }

 private:
  LedgerReader& ledger_;
  std::optional<LedgerReader::Row> row_;
  std::optional<LedgerReader::Signature> signature_;
};

}  // namespace

VerifyReport Ledger::verify(const LedgerLocation& location, const std::optional<Head>& expected) {
  const auto ledger = read_ledger(location);
  VerifyReport report{true, 0, {0, ""}, {}};
  Replay replay(report);
  bool head_seen = false;
  const auto follow = [&](const Batch& batch) {
    replay.add(batch.charges);
    for (const Line& line : batch.lines) {
      const auto signature = batch.signatures.find(line.id);
      replay.row(line, signature == batch.signatures.end() ? nullptr : &signature->second);
      if (!expected || line.id != expected->id) continue;
      head_seen = true;
      if (line.hash != expected->hash)
        replay.note(expected->id, "is not the one that was certified: history was rewritten");
    }
  };
  // What needs no row before it, and takes about as long as reading a batch and following its meaning.
  const auto inspect_all = [&replay](Batch& batch, const std::vector<ClaimedSignature>& signatures) {
    for (Line& line : batch.lines) {
      inspect(line);
      if (line.plain_charge) replay.add_charge(line, batch.charges);
    }
    std::vector<ClaimedSignature> wrong;
    std::ranges::remove_copy_if(signatures, std::back_inserter(wrong), &ClaimedSignature::holds);
    return wrong;
  };
  const auto refuse = [&replay](const std::vector<ClaimedSignature>& wrong) {
    for (const ClaimedSignature& each : wrong)
      replay.note(each.head.id, cat("has a signature that is not of the key ", each.by));
  };
  try {
    for (const std::string& each : ledger->alterations()) replay.note(each);
    Rows rows(*ledger);
    Batch inspected, next, coming;
    rows.read(next);
    while (!next.lines.empty()) {
      auto wrong = std::async(std::launch::async, inspect_all, std::ref(next), replay.take_signatures());
      follow(inspected);
      rows.read(coming);
      refuse(wrong.get());
      std::swap(inspected, next);
      std::swap(next, coming);
    }
    follow(inspected);
    refuse(inspect_all(next, replay.take_signatures()));
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
