#include "accountants/ledger/backup.h"

#include "accountants/ledger.h"
#include "accountants/ledger/database.h"
#include "accountants/ledger/new_file.h"
#include "base/error.h"

namespace sotto::accountants {

void back_up(const std::filesystem::path& ledger, const std::filesystem::path& to) {
  const auto refuse = [&](const char* suffix) {
    throw Error(ErrorKind::io, cat(to.string(), suffix,
                                   " is already there; a copy never goes over a file, which might hold charges that "
                                   "the copy does not: name another, or move that one away"));
  };
  if (std::filesystem::exists(to)) refuse("");
  if (has_log(to)) refuse("-wal");
  Ledger::open_existing(ledger);  // says what is wrong where it is no ledger, and takes over a log that a crash left
  const bool placed = put_in_place(to, [&](const std::filesystem::path& unfinished) {
    Database(ledger, Database::Access::read_only).copy_to(unfinished);
    const VerifyReport found = Ledger::verify(unfinished);
    if (!found.ok)
      throw Error(ErrorKind::data,
                  cat(ledger.string(), " does not verify (", found.findings.front(), "); it was not copied"));
  });
  if (!placed) refuse("");
}

}  // namespace sotto::accountants
