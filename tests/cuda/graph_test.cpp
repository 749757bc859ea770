#include "cuda/graph.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "cuda/device.h"
#include "cuda/stream.h"

namespace sotto {
namespace {

TEST(Graph, RepeatsWorkWithWhatItsPointersPointToByThen) {
  const Exec exec = Exec::cpu(1);
  Graph graph;
  int argument = 1;
  std::vector<int> seen;
  graph.capture(exec, [&, by_value = argument](const Exec& on) {
    EXPECT_FALSE(on.on_cuda());
    seen.push_back(10 * by_value + argument);
  });
  EXPECT_TRUE(seen.empty()) << "recording runs nothing";
  graph.replay(exec);
  argument = 2;
  graph.replay(exec);
  EXPECT_EQ(seen, (std::vector<int>{11, 12}));
  graph.capture(exec, [&](const Exec&) { seen.push_back(0); });
  graph.replay(exec);
  EXPECT_EQ(seen, (std::vector<int>{11, 12, 0})) << "the work recorded last, and no other";
}

TEST(Graph, RefusesToStartWhatWasNotRecorded) {
  const Graph graph;
  for (const Exec& exec : {Exec::cpu(1), Exec::cuda(nullptr)}) try {
      graph.replay(exec);
      ADD_FAILURE() << "started nothing";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::invalid_argument);
    }
}

TEST(Graph, OnCudaWorkThatThrowsLeavesNothingRecorded) {
  if (!cuda_present()) GTEST_SKIP() << "no CUDA device on this machine";
  Graph graph;
  EXPECT_THROW(graph.capture(Exec::cuda(nullptr), [](const Exec&) { throw Error(ErrorKind::internal, "no"); }), Error);
  EXPECT_THROW(graph.replay(Exec::cuda(nullptr)), Error);
  graph.capture(Exec::cuda(nullptr), [](const Exec& on) { EXPECT_NE(on.stream(), nullptr); });
  graph.replay(Exec::cuda(nullptr));
  synchronise(Exec::cuda(nullptr));
}

TEST(Event, OnTheCpuThereIsNothingToWaitFor) {
  Event event(Exec::cpu(2));
  event.hold_back(Exec::cpu(2));
  event.record(Exec::cpu(2));
  event.hold_back(Exec::cpu(2));
}

TEST(Stream, NeedsADevice) {
  if (cuda_present()) GTEST_SKIP() << "a device is here";
  try {
    Stream stream;
    ADD_FAILURE() << "there is no CUDA device";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::cuda);
  }
}

TEST(Stream, OnCudaEventsKeepTwoStreamsInOrder) {
  if (!cuda_present()) GTEST_SKIP() << "no CUDA device on this machine";
  const Stream stream, beside;
  EXPECT_NE(stream.exec().stream(), beside.exec().stream());
  Event event(stream.exec());
  event.record(stream.exec());
  event.hold_back(beside.exec());
  synchronise(beside.exec());
}

}  // namespace
}  // namespace sotto
