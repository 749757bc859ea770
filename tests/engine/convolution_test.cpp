#include <gtest/gtest.h>
#include <torch/nn/modules/conv.h>

#include "base/error.h"
#include "engine/models/cifar_cnn.h"
#include "engine/models/mnist_cnn.h"
#include "engine/tape/structure_check.h"
#include "tests/engine/oracle.h"

namespace sotto {
namespace {

using namespace torch::nn;
using Forward = std::function<at::Tensor(const at::Tensor&)>;

Probe probe_of(const Subject& subject, const Case& c) {
  return {[&](int64_t batch, uint64_t seed) {
            at::manual_seed(seed);
            return c.input(batch);
          },
          [&](const at::Tensor& x) { return wavy_loss(subject.forward(x)); }};
}

std::string refusal(const Case& c, bool checked) {
  const Subject subject = c.make();
  const Parameters parameters(subject.named());
  Tape tape(Exec::cpu(1), parameters);
  try {
    if (checked)
      check_structure(tape, parameters, probe_of(subject, c));
    else
      tape.per_sample(3, [&] { return wavy_loss(subject.forward(c.input(3))); });
    return "";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::configuration) << error.what();
    return error.what();
  }
}

// Video frames of a sample pass through the layer as images of a batch of their own.
TEST(Convolution, ASamplesFramesMergedIntoTheBatchAddUpToItsGradient) {
  const auto frames_of = [](const at::Tensor& x, bool frame_first) {
    return (frame_first ? x.transpose(0, 1) : x).reshape({-1, 2, 6, 5});
  };
  const auto samples_of = [](const at::Tensor& y, int64_t batch, bool frame_first) {
    return frame_first ? y.unflatten(0, {-1, batch}).transpose(0, 1) : y.unflatten(0, {batch, -1});
  };
  for (const bool frame_first : {false, true})
    for (const bool transposed : {false, true}) {
      SCOPED_TRACE(cat(frame_first ? "frame first" : "sample first", transposed ? ", transposed" : ""));
      const Case c = {"", eager([=](Net& net) -> Forward {
                        auto a = net.add("a", Conv2d(Conv2dOptions(2, 3, 3)));
                        auto b = net.add("b", ConvTranspose2d(ConvTranspose2dOptions(2, 3, 3)));
                        (transposed ? a->named_parameters() : b->named_parameters())["weight"].set_requires_grad(false);
                        (transposed ? a->named_parameters() : b->named_parameters())["bias"].set_requires_grad(false);
                        return [=](const at::Tensor& x) {
                          const at::Tensor images = frames_of(x, frame_first);
                          const at::Tensor y = transposed ? b.ptr()->forward(images) : a.ptr()->forward(images);
                          return samples_of(y, x.size(0), frame_first).tanh().sum(1);
                        };
                      }), features({4, 2, 6, 5})};
      at::manual_seed(5);
      const Subject subject = c.make();
      const Parameters parameters(subject.named());
      for (const int64_t limit : {int64_t{1} << 30, int64_t{0}}) {
        Tape tape(Exec::cpu(1), parameters);
        tape.set_storage_limit(limit);
        check_structure(tape, parameters, probe_of(subject, c));
        const at::Tensor input = c.input(5), truth = one_at_a_time(c, subject, input);
        const Measured got = measure(tape, parameters, 5, [&] { return wavy_loss(subject.forward(input)); });
        for (int64_t i = 0; i < 5; ++i) {
          EXPECT_LE((got.gradients[i] - truth[i]).norm().item<double>(), 1e-5 * truth[i].norm().item<double>()) << i;
          EXPECT_GE(got.squared[i].item<double>(), truth[i].square().sum().item<double>() * (1 - 1e-5)) << i;
        }
      }
    }
}

TEST(Convolution, AnInputWithoutABatchIsRefusedByName) {
  const Case c = {"", eager([](Net& net) -> Forward {
                    auto a = net.add("a", Conv2d(Conv2dOptions(3, 2, 3)));
                    return [=](const at::Tensor& x) { return a.ptr()->forward(x); };
                  }), features({5, 6})};  // three samples, taken for three channels
  const std::string message = refusal(c, false);
  EXPECT_NE(message.find("parameter a.weight"), std::string::npos) << message;
  EXPECT_NE(message.find("no batch dimension"), std::string::npos) << message;
}

TEST(Convolution, SamplesAlongTheImageAreRefusedByName) {
  const Case c = {"", eager([](Net& net) -> Forward {
                    auto a = net.add("a", Conv2d(Conv2dOptions(2, 4, {1, 3})));
                    return [=](const at::Tensor& x) {  // [batch, 2, 6] as an image whose rows are samples
                      return a.ptr()->forward(x.transpose(0, 1).unsqueeze(0)).squeeze(0).transpose(0, 1);
                    };
                  }), features({2, 6})};
  const std::string message = refusal(c, true);
  EXPECT_NE(message.find("parameter a.weight"), std::string::npos) << message;
  EXPECT_NE(message.find("samples in dimension 2"), std::string::npos) << message;
}

TEST(Convolution, AKernelThatReachesOtherSamplesIsRefusedByName) {
  const Case c = {"", eager([](Net& net) -> Forward {
                    auto a = net.add("a", Conv1d(Conv1dOptions(4, 4, 3).padding(1)));
                    return [=](const at::Tensor& x) { return a.ptr()->forward(x.t().unsqueeze(0)).squeeze(0).t(); };
                  }), features({4})};
  EXPECT_NE(refusal(c, true).find("parameter a.weight"), std::string::npos);
}

TEST(Convolution, AWeightThatIsNotPassedWholeIsRefusedByName) {
  const Case c = {"", eager([](Net& net) -> Forward {
                    const at::Tensor w = net.own("free_w", at::randn({4, 2, 3, 3}));
                    return [=](const at::Tensor& x) { return at::conv2d(x, w / w.norm()); };
                  }), features({2, 5, 6})};
  EXPECT_NE(refusal(c, false).find("free_w"), std::string::npos);
}

TEST(ConvolutionModels, HaveThePapersSizes) {
  const auto elements = [](const torch::nn::Module& module) {
    int64_t total = 0;
    for (const at::Tensor& tensor : module.parameters()) total += tensor.numel();
    return total;
  };
  MnistCnn mnist;
  EXPECT_EQ(elements(mnist), 26010);
  EXPECT_EQ(mnist.forward(at::randn({2, 1, 28, 28})).sizes(), at::IntArrayRef({2, 10}));
  CifarCnn cifar;
  EXPECT_EQ(elements(cifar), 287008 + 2 * 448 + 262272 + 1290);  // convolutions, norms, linear layers
  EXPECT_EQ(cifar.forward(at::randn({2, 3, 32, 32})).sizes(), at::IntArrayRef({2, 10}));
}

}  // namespace
}  // namespace sotto
