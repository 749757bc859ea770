#include <sys/stat.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "accountants/ledger/append.h"
#include "accountants/ledger/backup.h"
#include "accountants/ledger/head_file.h"
#include "accountants/ledger/payload.h"
#include "accountants/ledger/signing_key.h"
#include "base/atomic_file.h"
#include "base/hash.h"
#include "tests/accountants/ledger_fixture.h"

namespace sotto::accountants {
namespace {

// A ledger with an owner, an analyst who may spend for the team ml, and a grant for that team.
class LedgerKeysTest : public LedgerOnEachBackend {
 protected:
  void SetUp() override {
    LedgerOnEachBackend::SetUp();
    if (IsSkipped()) return;
    Ledger ledger = as(owner_);
    ledger.set_owner("Olga");
    ledger.admit({"Ana", analyst_.public_key(), Role::analyst, {.organisation = "clinic", .team = "ml"}});
    ledger.grant({.scope = {.team = "ml"}, .epsilon = 10, .delta = 1e-5});
  }
  Ledger as(const SigningKey& key) {
    Ledger ledger = Ledger::open(location_);
    ledger.sign_with(key);
    return ledger;
  }
  static std::string findings(const VerifyReport& report) {
    std::string all;
    for (const auto& each : report.findings) all += each + "\n";
    return all;
  }

  const SigningKey owner_ = SigningKey::generate(), analyst_ = SigningKey::generate(), thief_ = SigningKey::generate();
};

INSTANTIATE_TEST_SUITE_P(On, LedgerKeysTest, testing::Values("sqlite", "postgres"), backend_name);

TEST_P(LedgerKeysTest, SignaturesFollowTheStandard) {
  // RFC 8032, section 7.1, tests 1 and 2: public key, message, signature.
  EXPECT_TRUE(
      signature_holds("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
                      "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
                      "d25bf5f0595bbe24655141438e7a100b"));
  const std::string key = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
  const std::string signature =
      "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aee"
      "b00d"
      "291612bb0c00";
  EXPECT_TRUE(signature_holds(key, "\x72", signature));
  EXPECT_FALSE(signature_holds(key, "\x73", signature));
  EXPECT_FALSE(signature_holds(key, "\x72", signature.substr(1)));
  EXPECT_FALSE(signature_holds("", "\x72", signature));
  EXPECT_TRUE(signature_holds(owner_.public_key(), "text", owner_.sign("text")));
  EXPECT_FALSE(signature_holds(owner_.public_key(), "text", analyst_.sign("text")));
}

TEST_P(LedgerKeysTest, AKeyFileIsItsOwnersAloneAndIsNeverOverwritten) {
  const auto file = folder_ / "owner.key";
  owner_.write(file);
  struct stat info {};
  ASSERT_EQ(stat(file.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_EQ(SigningKey::read(file).public_key(), owner_.public_key());
  EXPECT_EQ(read_public_key(file.string() + ".pub"), owner_.public_key());
  EXPECT_EQ(read_file(file.string() + ".pub").find(read_file(file).substr(35, 64)), std::string::npos);
  message(ErrorKind::io, [&] { analyst_.write(file); });
  EXPECT_EQ(SigningKey::read(file).public_key(), owner_.public_key());
  message(ErrorKind::data, [&] { read_public_key(file); });
  std::filesystem::permissions(file, std::filesystem::perms(0640));
  EXPECT_NE(message(ErrorKind::io, [&] { SigningKey::read(file); }).find("chmod 600"), std::string::npos);
  std::filesystem::permissions(file.string() + ".pub", std::filesystem::perms(0600));
  EXPECT_NE(message(ErrorKind::data, [&] { SigningKey::read(file.string() + ".pub"); }).find("no signing key"),
            std::string::npos);
  message(ErrorKind::io, [&] { SigningKey::read(folder_ / "none.key"); });
}

TEST_P(LedgerKeysTest, AnOwnerGrantsAnAnalystSpendsAndEveryRowIsSigned) {
  Ledger ledger = as(analyst_);
  ledger.reserve(entry_of("a"));
  ledger.charge({{"a", 1, 1}, {"a", 2, 4}, {"a", 5, 5}});
  ledger.release("a");
  EXPECT_EQ(ledger.run("a")->entry.team, "ml") << "what the key says of its holder";
  EXPECT_EQ(ledger.run("a")->entry.organisation, "clinic");
  const auto report = Ledger::verify(location_, ledger.head());
  EXPECT_TRUE(report.ok) << findings(report);
  EXPECT_EQ(report.signatures, 6) << "owner, member, grant, reserve, one for three charges, release";
}

TEST_P(LedgerKeysTest, WhoMayNotWriteARowWritesNone) {
  const auto rows = Ledger::open(location_).rows().size();
  Ledger ana = as(analyst_), thief = as(thief_), nobody = Ledger::open(location_);
  EXPECT_NE(message(ErrorKind::configuration, [&] { nobody.reserve(entry_of("a")); }).find("SOTTO_LEDGER_KEY"),
            std::string::npos);
  EXPECT_NE(message(ErrorKind::configuration, [&] { thief.reserve(entry_of("a")); }).find("not known"),
            std::string::npos);
  EXPECT_NE(message(ErrorKind::configuration,
                    [&] { ana.grant({.scope = {.organisation = "clinic"}, .epsilon = 1, .delta = 1e-5}); })
                .find("owner's key"),
            std::string::npos);
  message(ErrorKind::configuration, [&] { ana.set_cap("diabetes130", 3, 1e-5); });
  message(ErrorKind::configuration, [&] { ana.admit({"Thief", thief_.public_key(), Role::owner, {}}); });
  message(ErrorKind::invalid_argument, [&] { as(thief_).set_owner("Thief"); });
  RunEntry other = entry_of("a");
  other.team = "finance";
  EXPECT_NE(message(ErrorKind::configuration, [&] { ana.reserve(other); }).find("team finance"), std::string::npos);
  EXPECT_EQ(Ledger::open(location_).rows().size(), rows);
}

TEST_P(LedgerKeysTest, ARunIsChargedByItsOwnKeyAndReleasedByAnOwnerToo) {
  as(owner_).admit({"Ben", thief_.public_key(), Role::analyst, {.team = "ml"}});
  as(analyst_).reserve(entry_of("a"));
  message(ErrorKind::configuration, [&] { as(thief_).charge("a", 1, 1); });
  message(ErrorKind::configuration, [&] { as(thief_).release("a"); });
  as(analyst_).charge("a", 1, 1);
  as(thief_).reserve(entry_of("b"));
  const Head head = Ledger::open(location_).head();
  for (const bool own_first : {true, false})
    message(ErrorKind::configuration, [&] {
      as(thief_).charge({{own_first ? "b" : "a", own_first ? 1 : 2, 2}, {own_first ? "a" : "b", own_first ? 2 : 1, 2}});
    });
  EXPECT_EQ(Ledger::open(location_).head(), head) << "none of a group where one row is not allowed";
  as(owner_).release("a");
  EXPECT_TRUE(Ledger::verify(location_).ok);
}

TEST_P(LedgerKeysTest, ARevokedKeySpendsNoMoreAndOneOwnerMustStay) {
  as(analyst_).reserve(entry_of("a"));
  as(owner_).admit({"Ana", analyst_.public_key(), Role::revoked, {}});
  EXPECT_NE(message(ErrorKind::configuration, [&] { as(analyst_).charge("a", 1, 1); }).find("revoked"),
            std::string::npos);
  message(ErrorKind::invalid_argument, [&] { as(owner_).admit({"Olga", owner_.public_key(), Role::revoked, {}}); });
  EXPECT_TRUE(Ledger::verify(location_).ok) << "what she signed before still holds";
}

TEST_P(LedgerKeysTest, TheEnvironmentMayNameTheKey) {
  analyst_.write(folder_ / "ana.key");
  setenv("SOTTO_LEDGER_KEY", (folder_ / "ana.key").c_str(), 1);
  Ledger ledger = Ledger::open(location_);
  ledger.reserve(entry_of("a"));
  Ledger unsigned_ledger = Ledger::open(another());
  EXPECT_NE(message(ErrorKind::configuration, [&] { unsigned_ledger.reserve(entry_of("a")); }).find("has no owner"),
            std::string::npos)
      << "a ledger exchanged for one without signatures must not be filled silently";
  unsetenv("SOTTO_LEDGER_KEY");
  EXPECT_TRUE(Ledger::verify(location_).ok);
}

TEST_P(LedgerKeysTest, AForgerWithoutAKeyIsFound) {
  as(analyst_).reserve(entry_of("a"));
  as(analyst_).charge("a", 1, 1);
  const auto rows = Ledger::open(location_).rows();
  // History with one word changed and every hash recomputed: only the signatures tell.
  std::string sql, previous = rows[2].hash;
  for (size_t i = 3; i < rows.size(); ++i) {
    auto payload = nlohmann::json::parse(rows[i].payload);
    payload["previous"] = previous;
    if (payload["kind"] == "reserve") payload["who"] = "somebody else";
    previous = to_hex(sha256(payload.dump()));
    sql += "UPDATE entry SET payload = '" + payload.dump() + "', hash = '" + previous +
           "' WHERE id = " + std::to_string(rows[i].id) + ";";
  }
  tamper_quietly(sql);
  const auto report = Ledger::verify(location_);
  EXPECT_FALSE(report.ok);
  EXPECT_NE(findings(report).find("signature that is not of the key"), std::string::npos) << findings(report);
  message(ErrorKind::data, [&] { Ledger::open(location_); });
}

TEST_P(LedgerKeysTest, WhoWasAllowedOnceIsNotAllowedForEver) {
  constexpr int64_t kNow = 4'102'444'800;
  const auto at = [&](const SigningKey& key) {
    Ledger ledger = as(key);
    ledger.set_clock([] { return kNow; });
    return ledger;
  };
  at(owner_).admit({"Ben", thief_.public_key(), Role::analyst, {.team = "ml"}});
  at(owner_).grant({.scope = {.organisation = "clinic"}, .epsilon = 10, .delta = 1e-5, .expires = kNow + 100});
  RunEntry entry = entry_of("a");
  entry.organisation = "clinic", entry.team = "ml";
  at(analyst_).reserve(entry);
  at(analyst_).charge({{"a", 1, 1}, {"a", 2, 2}});
  // Signed and chained, but past the rules.
  const auto charge_anyway = [&](int64_t step, const SigningKey& key, int64_t when) {
    const auto backend = open_backend(location_);
    Transaction transaction(*backend);
    Appender rows(*backend, &key, when);
    rows.append("charge",
                {{"run_id", "a"}, {"first_step", step}, {"last_step", step}, {"epsilon", epsilon_of(entry, step)}});
    rows.sign();
    transaction.commit();
    const VerifyReport report = Ledger::verify(location_);
    return report.findings.empty() ? "" : report.findings.back();
  };
  EXPECT_EQ(charge_anyway(3, analyst_, kNow), "");
  EXPECT_NE(charge_anyway(4, thief_, kNow).find("did not reserve this run"), std::string::npos);
  at(owner_).admit({"Ana", analyst_.public_key(), Role::revoked, {}});
  EXPECT_NE(charge_anyway(5, analyst_, kNow).find("was revoked"), std::string::npos);
  EXPECT_EQ(charge_anyway(6, owner_, kNow + 99).find("ended"), std::string::npos);
  EXPECT_NE(charge_anyway(7, owner_, kNow + 100).find("ended"), std::string::npos);
}

TEST_P(LedgerKeysTest, ASignatureOfNoRowIsFound) {
  as(analyst_).reserve(entry_of("a"));
  const std::string row = "INSERT INTO signature (id, value) VALUES (1000, 'x')";
  tamper_quietly(row);
  EXPECT_NE(findings(Ledger::verify(location_)).find("a signature of row 1000, but no such row"), std::string::npos);
  tamper_quietly("DELETE FROM signature WHERE id = 1000; UPDATE signature SET id = 1 WHERE id = 2");
  EXPECT_NE(findings(Ledger::verify(location_)).find("row 1 has a signature, but the ledger has no owner"),
            std::string::npos);
}

TEST_P(LedgerKeysTest, AMissingSignatureIsFoundAndKeepsTheLedgerShut) {
  as(analyst_).reserve(entry_of("a"));
  as(analyst_).charge("a", 1, 1);
  tamper_quietly("DELETE FROM signature WHERE id = 5");
  EXPECT_TRUE(Ledger::verify(location_).ok) << "the next one of the same key stands for row 5, too";
  tamper_quietly("DELETE FROM signature WHERE id = 4");
  EXPECT_NE(findings(Ledger::verify(location_)).find("not signed"), std::string::npos);
  tamper_quietly("DELETE FROM signature WHERE id = 6");
  EXPECT_NE(findings(Ledger::verify(location_)).find("not signed"), std::string::npos);
  EXPECT_NE(message(ErrorKind::data, [&] { Ledger::open(location_); }).find("signature of row 6 is missing"),
            std::string::npos);
}

TEST_P(LedgerKeysTest, AnOldCopyPutBackIsFoundByTheSignedHeadKeptElsewhere) {
  as(analyst_).reserve(entry_of("a"));
  const LedgerLocation old = another();
  back_up(location_, old);
  as(analyst_).charge("a", 1, 50);
  const auto kept = folder_ / "head.json";
  write_head(kept, Ledger::open(location_).signed_head());
  EXPECT_TRUE(Ledger::verify(location_, read_head(kept).head).ok);
  EXPECT_TRUE(Ledger::verify(old).ok) << "by itself the old copy is whole";
  EXPECT_NE(findings(Ledger::verify(old, read_head(kept).head)).find("cut off"), std::string::npos);
  std::string text = read_file(kept);
  text.replace(text.find("\"id\": 6") + 6, 1, "5");
  write_file(kept, text);
  EXPECT_NE(message(ErrorKind::data, [&] { read_head(kept); }).find("signature"), std::string::npos);
}

TEST_P(LedgerKeysTest, TwoLedgersOfOneOwnerShareNoSignature) {
  const auto other = another();
  Ledger ledger = Ledger::open(other);
  ledger.sign_with(owner_);
  ledger.set_clock([] { return int64_t{1'700'000'000}; });
  ledger.set_owner("Olga");
  EXPECT_NE(ledger.head().hash, Ledger::open(location_).rows()[1].hash);
}

}  // namespace
}  // namespace sotto::accountants
