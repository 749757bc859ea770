#include <gtest/gtest.h>

#include "base/error.h"
#include "engine/tape/explain.h"
#include "tests/engine/checked.h"
#include "tests/engine/oracle.h"

namespace sotto {
namespace {

using namespace torch::nn;
using Forward = std::function<at::Tensor(const at::Tensor&)>;

constexpr int64_t kLength = 5, kWidth = 4;

// Tokens, and a table of places that `meets` brings to them.
Factory with_places(int64_t rows, std::optional<int64_t> padding,
                    std::function<at::Tensor(Embedding places, const at::Tensor& tokens)> meets) {
  return eager([=](Net& net) -> Forward {
    auto words = net.add("words", Embedding(7, kWidth)), places = net.add("places", Embedding(EmbeddingOptions(rows, kWidth).padding_idx(padding)));
    return [=](const at::Tensor& x) { return meets(places, words.ptr()->forward(x)); };
  });
}

Factory with_ids(int64_t rows, std::optional<int64_t> padding, std::function<at::Tensor()> ids) {
  return with_places(rows, padding, [=](Embedding places, const at::Tensor& y) { return y + places.ptr()->forward(ids()); });
}

at::Tensor ids_of(const std::vector<int64_t>& ids) {
  return at::tensor(ids, at::kLong);
}

// Distances between places, in buckets, as T5 has them: [length, length].
at::Tensor buckets() {
  const at::Tensor at = at::arange(kLength);
  return (at.unsqueeze(0) - at.unsqueeze(1)).abs().clamp_max(2);
}

struct Shared {
  std::string name;
  Factory make;
  std::string rule;  // of the table
};

std::vector<Shared> shared_cases() {
  const auto plain = [](std::vector<int64_t> ids) { return [ids] { return ids_of(ids); }; };
  const auto by_heads = [](const at::Tensor& y) { return at::bmm(y, y.transpose(1, 2)).unsqueeze(1).expand({-1, kWidth, -1, -1}); };
  return {
      {"a run", with_ids(9, {}, [] { return at::arange(kLength, at::kLong); }), "stored"},
      {"a run, [1, T]", with_ids(9, {}, [] { return at::arange(kLength, at::kLong).unsqueeze(0); }), "stored"},
      {"a run in a part of a buffer", with_ids(9, {}, [] { return at::arange(9, at::kLong).unsqueeze(0).slice(1, 3, 8); }), "stored"},
      {"a run of int32", with_ids(9, {}, [] { return at::arange(kLength, at::kInt); }), "stored"},
      {"a run with the padding row", with_ids(9, 2, [] { return at::arange(kLength, at::kLong); }), "embedding"},
      {"backwards", with_ids(9, {}, [] { return at::arange(kLength, at::kLong).flip(0); }), "embedding"},
      {"every second", with_ids(9, {}, [] { return at::arange(9, at::kLong).slice(0, 0, 9, 2); }), "embedding"},
      {"one row for all", with_ids(9, {}, plain({3, 3, 3, 3, 3})), "embedding"},
      {"in buckets, padded", with_ids(9, 1, plain({1, 0, 0, 1, 7})), "embedding"},
      {"int32, [1, T]", with_ids(9, {}, [] { return ids_of({8, 0, 2, 2, 1}).to(at::kInt).unsqueeze(0); }), "embedding"},
      {"more ids than rows", with_ids(3, {}, plain({2, 0, 0, 2, 1})), "stored"},
      {"more ids than rows, padded", with_ids(3, 0, plain({2, 0, 0, 2, 1})), "stored"},
      {"scaled and shifted", with_places(9, {}, [=](Embedding e, const at::Tensor& y) { return y * e.ptr()->forward(ids_of({4, 4, 0, 8, 1})) - e.ptr()->forward(ids_of({0, 2, 4, 6, 8})); }), "embedding"},
      {"a run, and others of the same table", with_places(9, {}, [=](Embedding e, const at::Tensor& y) { return y * e.ptr()->forward(at::arange(kLength)) - e.ptr()->forward(ids_of({0, 2, 4, 6, 8})); }), "recomputed"},
      {"a part of the rows", with_places(9, {}, [=](Embedding e, const at::Tensor& y) { return y.narrow(1, 1, 3) + e.ptr()->forward(ids_of({4, 4, 0, 8, 1})).narrow(0, 1, 3); }), "embedding"},
      {"columns exchanged", with_places(9, {}, [=](Embedding e, const at::Tensor& y) { return y.transpose(1, 2) + e.ptr()->forward(ids_of({4, 4, 0, 8, 1})).t(); }), "embedding"},
      {"expanded by the model", with_places(9, {}, [=](Embedding e, const at::Tensor& y) { return y + e.ptr()->forward(ids_of({4, 4, 0, 8, 1})).unsqueeze(0).expand_as(y); }), "embedding"},
      {"a matrix a sample", with_places(9, {}, [=](Embedding e, const at::Tensor& y) { return at::matmul(y.tanh(), e.ptr()->forward(ids_of({4, 4, 0, 8, 1})).t()); }), "embedding"},
      {"weight of a linear layer", with_places(9, {}, [=](Embedding e, const at::Tensor& y) { return at::linear(y.tanh(), e.ptr()->forward(ids_of({4, 0, 8}))); }), "embedding"},
      {"shared by a tied head", with_places(9, {}, [=](Embedding e, const at::Tensor& y) { return at::linear((y + e.ptr()->forward(ids_of({4, 4, 0, 8, 1}))).tanh(), e->weight); }), "embedding + tied head"},
      {"distances between places", with_places(3, {}, [=](Embedding e, const at::Tensor& y) { return by_heads(y) + e.ptr()->forward(buckets()).permute({2, 0, 1}).unsqueeze(0); }), "stored"},
      {"a table that is indexed", with_places(9, {}, [=](Embedding e, const at::Tensor& y) { return by_heads(y) + e->weight.index({buckets().reshape({-1}).sub(4)}).view({kLength, kLength, kWidth}).permute({2, 0, 1}); }), "stored"},
      {"a table that is indexed by each sample", with_places(9, {}, [=](Embedding e, const at::Tensor& y) { return y + e->weight.index({y.detach().mul(100).to(at::kLong).remainder(9).select(2, 0).sub(9)}); }), "embedding"}};
}

void expect_like_the_loop(const Case& c, int64_t batch, int64_t storage) {
  SCOPED_TRACE(cat(c.name, ", batch ", batch, ", storage ", storage));
  Checked checked(c.make, c.input);
  checked.tape.set_storage_limit(storage);
  check_model(checked.tape, checked.parameters, checked.probe);
  EXPECT_TRUE(checked.tape.uncaptured().empty()) << "a pass a sample";
  const at::Tensor input = c.input(batch), truth = one_at_a_time(c, checked.subject, input);
  const Measured got = measure(checked.tape, checked.parameters, batch, [&] { return wavy_loss(checked.subject.forward(input)); });
  for (int64_t i = 0; i < batch; ++i) {
    const double norm = truth[i].norm().item<double>(), bound = std::sqrt(got.squared[i].item<double>());
    // Float passes against double; what the bounds may raise a norm by.
    EXPECT_LE((got.gradients[i] - truth[i]).norm().item<double>(), 3e-5 * norm);
    EXPECT_GE(bound, norm * (1 - 3e-5));
    EXPECT_LE(bound, norm * (1 + 1e-3));
  }
}

TEST(SharedIds, GradientsAreThoseOfOneSampleAtATime) {
  at::manual_seed(3);
  for (const Shared& one : shared_cases())
    for (const int64_t batch : {1, 4, 5})
      for (const int64_t storage : {int64_t{1} << 30, int64_t{0}})
        expect_like_the_loop({one.name, one.make, tokens(kLength, 7)}, batch, storage);
}

TEST(SharedIds, AnyIdsLengthAndTableAgreeWithOneSampleAtATime) {
  for (int64_t seed = 1; seed <= 60 && !HasFailure(); ++seed) {
    at::manual_seed(static_cast<uint64_t>(seed));
    const auto up_to = [](int64_t most) { return at::randint(1, most + 1, {1}).item<int64_t>(); };
    const int64_t length = up_to(8), rows = up_to(9), batch = up_to(5), padding = up_to(rows + 1) - 1;  // rows: none
    const at::Tensor ids = at::randint(rows, {length}, at::kLong);
    const auto padded = padding < rows ? std::optional(padding) : std::nullopt;
    const Case c = {cat("seed ", seed, ": ", length, " ids of ", rows, " rows, padding ", padding), with_ids(rows, padded, [ids] { return ids; }), tokens(length, 7)};
    expect_like_the_loop(c, batch, seed % 2 == 0 ? 0 : int64_t{1} << 30);
  }
}

TEST(SharedIds, TheirTablesRuleIsExplained) {
  for (const Shared& one : shared_cases()) {
    Checked checked(one.make, tokens(kLength, 7));
    check_model(checked.tape, checked.parameters, checked.probe);
    const at::Tensor input = checked.probe.input(4, 1);
    GradSamples grads = checked.tape.per_sample(4, [&] { return checked.probe.losses(input); });
    const auto rules = explain(checked.parameters, grads, checked.tape.uses(), checked.tape.uncaptured());
    EXPECT_EQ(rules[1].name, "places.weight") << one.name;
    EXPECT_EQ(rules[1].rule, one.rule) << one.name;
    EXPECT_FALSE(rules[1].operations.empty()) << one.name;
  }
}

TEST(SharedIds, OthersThanTheCheckedOnesAreRefused) {
  const auto shift = std::make_shared<int64_t>(0);
  const auto losses_after_check = [&](std::function<at::Tensor()> ids, const std::function<void(const std::function<GradSamples()>&)>& then) {
    *shift = 0;
    Checked checked(with_ids(9, {}, std::move(ids)), tokens(kLength, 7));
    check_model(checked.tape, checked.parameters, checked.probe);
    const at::Tensor input = checked.probe.input(4, 1);
    then([&] { return checked.tape.per_sample(4, [&] { return checked.probe.losses(input); }); });
  };
  losses_after_check([=] { return *shift < 0 ? at::zeros({kLength}, at::kLong) : at::arange(*shift, *shift + kLength); }, [&](const auto& pass) {
    *shift = 3;
    EXPECT_NO_THROW(pass()) << "another run of rows is as good";
    *shift = -1;
    EXPECT_THROW(pass(), Error);
  });
  losses_after_check([=] { return ids_of({4, 4, 0, 2, 1}) + *shift; }, [&](const auto& pass) {
    EXPECT_NO_THROW(pass());
    *shift = 1;
    EXPECT_THROW(pass(), Error) << "they may follow the batch's values";
  });
}

// What each sample's number of its own batch names is no one's own.
TEST(SharedIds, IdsOfOneSampleForAllAreRefused) {
  for (const int64_t rows : {9, 3}) {
    Checked checked(eager([=](Net& net) -> Forward {
                      auto words = net.add("words", Embedding(7, kWidth)), places = net.add("places", Embedding(rows, kWidth));
                      return [=](const at::Tensor& x) { return words.ptr()->forward(x) + places.ptr()->forward(x.select(0, 0).remainder(rows)); };
                    }),
                    tokens(kLength, 7));
    try {
      check_model(checked.tape, checked.parameters, checked.probe);
      ADD_FAILURE() << rows;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("changing one sample"), std::string::npos) << error.what();
    }
  }
}

// Gathered rows that are used otherwise first, or written to, are not their table's any more, and no rule takes a bias
// out of them: each sample passes alone.
TEST(SharedIds, RowsThatNoRuleTakesTakeAPassASample) {
  const auto ids = [] { return ids_of({4, 4, 0, 8, 1}); };
  for (const auto& meets : std::vector<std::function<at::Tensor(Embedding, const at::Tensor&)>>{
           [=](Embedding e, const at::Tensor& y) { return y + e.ptr()->forward(ids()).tanh(); },
           [=](Embedding e, const at::Tensor& y) { return y + e.ptr()->forward(ids()).mul_(2); },
           [=](Embedding e, const at::Tensor& y) { return y + e.ptr()->forward(ids()).add_(e->weight.select(0, 2)); },
           [=](Embedding e, const at::Tensor& y) { return at::linear(y, at::ones({kWidth, kWidth}, y.options()), e.ptr()->forward(ids()).select(0, 1)); }}) {
    const Case c = {"changed", with_places(9, {}, meets), tokens(kLength, 7)};
    Checked checked(c.make, c.input);
    check_model(checked.tape, checked.parameters, checked.probe);
    EXPECT_EQ(checked.tape.uncaptured().size(), 2u);
    const at::Tensor input = c.input(4), truth = one_at_a_time(c, checked.subject, input);
    const GradSamples grads = checked.tape.per_sample(4, [&](int64_t first, int64_t count) { return wavy_loss(checked.subject.forward(input.narrow(0, first, count))); });
    const at::Tensor got = gradient_rows(grads, 1, 9 * kWidth).to(at::kDouble), own = truth.narrow(1, 7 * kWidth, 9 * kWidth);
    EXPECT_LE((got - own).norm().item<double>(), 3e-5 * own.norm().item<double>());
  }
}

}  // namespace
}  // namespace sotto
