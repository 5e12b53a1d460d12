// How long a whole network takes in float64 on one core.
//
//   network_run FILE 1x3x224x224 [repetitions]
//
// Prints the seconds of the fastest run and what the process held at most, in MiB. FILE has one
// input. bench/network_run.py runs PyTorch and ONNX Runtime beside it.
#include <malloc.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include "ckpt/execution/run.h"
#include "ckpt/formats/format.h"

namespace {

ckpt::network::Sizes SizesOf(const char* text) {
  ckpt::network::Sizes sizes;
  for (char* end = nullptr; *text != '\0'; text = *end == 'x' ? end + 1 : end) {
    sizes.push_back(std::strtoll(text, &end, 10));
    if (end == text) std::exit(2);
  }
  return sizes;
}

int Complain(const ckpt::Error& error) {
  std::fprintf(stderr, "%s\n", ckpt::ToString(error).c_str());
  return 1;
}

// The peak of this program alone: what getrusage says begins with that of the one that started it.
long PeakMebibytes() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    long kibibytes = 0;
    if (word == "VmHWM:" && status >> kibibytes) return kibibytes / 1024;
  }
  return -1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  ::mallopt(M_MMAP_THRESHOLD, 32 << 20);  // as the program does
  ::mallopt(M_TRIM_THRESHOLD, 128 << 20);
  const auto opened = ckpt::formats::OpenCheckpoint(argv[1]);
  if (!opened) return Complain(opened.error());
  const auto net = (*opened)->MakeNetwork();
  if (!net) return Complain(net.error());
  ckpt::execution::Array input{SizesOf(argv[2]), {}};
  std::int64_t count = 1;
  for (const std::int64_t size : input.shape) count *= size;
  double value = 0.1;
  for (std::int64_t i = 0; i < count; ++i) {
    input.elements.push_back(value = 3.9 * value * (1 - value));
  }
  double best = 1e9;
  for (int i = 0; i < (argc > 3 ? std::atoi(argv[3]) : 3); ++i) {
    const auto start = std::chrono::steady_clock::now();
    const auto made = ckpt::execution::Run(*net, **opened, std::span(&input, 1), {});
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    if (!made) return Complain(made.error());
    best = std::min(best, taken.count());
  }
  std::printf("%.3f s, %ld MiB\n", best, PeakMebibytes());
  return 0;
}
