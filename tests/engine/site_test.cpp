#include "engine/site.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "cuda/device.h"

namespace sotto {
namespace {

TEST(Site, OnTheCpuNothingRunsBesideAndNothingIsSent) {
  const Site site = open_site(false, 2);
  EXPECT_FALSE(site.exec.on_cuda());
  EXPECT_EQ(site.exec.threads(), 2);
  EXPECT_FALSE(site.beside().has_value());
  const at::Tensor x = at::ones({3});
  EXPECT_TRUE(send(x, site.device).is_same(x));
  EXPECT_THROW(open_site(false, 0), Error);
}

TEST(Site, NumbersOfASeedAreTheSameEveryTime) {
  const Site site = open_site(false, 1);
  EXPECT_TRUE(site.normals({50}, 7).equal(site.normals({50}, 7)));
  EXPECT_FALSE(site.normals({50}, 7).equal(site.normals({50}, 8)));
  const at::Tensor ids = site.ids({1000}, 9, 7);
  EXPECT_EQ(ids.min().item<int64_t>(), 0);
  EXPECT_EQ(ids.max().item<int64_t>(), 8);
  EXPECT_EQ(site.zeros({2}, at::kLong).scalar_type(), at::kLong);
}

TEST(Site, OnCudaTwoStreamsAreTwoAndWhatIsSentArrives) {
  if (!cuda_present()) GTEST_SKIP() << "no CUDA device on this machine";
  const Site one = open_site(true, 1, 1), two = open_site(true, 1, 2);
  EXPECT_EQ(one.beside()->stream(), one.exec.stream());
  EXPECT_NE(two.beside()->stream(), two.exec.stream());
  const at::Tensor x = two.normals({1 << 20}, 3).cpu();
  const at::Tensor sent = send(x, two.device);
  EXPECT_TRUE(sent.is_cuda());
  EXPECT_TRUE(sent.cpu().equal(x));
  EXPECT_TRUE(send(sent, two.device).is_same(sent));
}

}  // namespace
}  // namespace sotto
