//===- cq-device-run.cpp - Checks and times the kernels of a bundle -------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// Reads cases.txt, kernels.ptx (or .cubin, .fatbin) and the reference numbers
// of a bundle of scripts/device-bundle. Prints JSON. Needs libc and the driver.
//
//===----------------------------------------------------------------------===//

#include "cq/Runtime/Cuda.h"
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>
#include <string>
#include <vector>

namespace {

/// --quick: every step once, on little memory, small products only; its times
/// mean nothing.
bool quick = false;

struct Buffer {
  std::string role;
  size_t bytes;
};

/// A kernel of a case; its arguments are roles, "m" the number of tokens.
struct KernelLaunch {
  std::string kernel;
  unsigned grid[3] = {1, 1, 1}, block[3] = {1, 1, 1}, shared = 0;
  std::vector<std::string> roles;
  cq_cuda_function function = nullptr;
};

/// A line of cases.txt.
struct Case {
  std::string what, number, image;
  long m = 0, n = 0, k = 0, bits = 0;
  std::vector<Buffer> buffers; ///< inputs first
  std::vector<KernelLaunch> launches;

  /// The kernel of the product itself.
  const KernelLaunch &product() const {
    for (const KernelLaunch &launch : launches)
      if (launch.kernel.rfind("cq_mm", 0) == 0)
        return launch;
    return launches.front();
  }
};

bool isWritten(const std::string &role) {
  return role == "y" || role == "partial" || role == "packed";
}

[[noreturn]] void die(const std::string &message) {
  std::fprintf(stderr, "cq-device-run: %s\n", message.c_str());
  std::exit(1);
}
void check(bool failed) {
  if (failed)
    die(cq_cuda_error());
}

std::string readFile(const std::string &path, bool needed = true) {
  std::ifstream file(path, std::ios::binary);
  if (!file && needed)
    die("cannot read '" + path + "'");
  return std::string(std::istreambuf_iterator<char>(file), {});
}

std::vector<Case> readCases(const std::string &folder) {
  std::vector<Case> cases;
  std::istringstream text(readFile(folder + "/cases.txt"));
  for (std::string line; std::getline(text, line);) {
    std::istringstream in(line);
    Case c;
    in >> c.what;
    if (c.what == "check")
      in >> c.number;
    in >> c.image >> c.m >> c.n >> c.k >> c.bits;
    bool good = bool(in);
    for (std::string word; in >> word;) {
      size_t colon = word.find(':');
      if (word == "|") {
        KernelLaunch &launch = c.launches.emplace_back();
        in >> launch.kernel >> launch.grid[0] >> launch.grid[1] >>
            launch.grid[2] >> launch.block[0] >> launch.shared;
        good &= bool(in);
      } else if (!c.launches.empty()) {
        c.launches.back().roles.push_back(word);
      } else if (colon != std::string::npos) {
        c.buffers.push_back(
            {word.substr(0, colon), std::stoul(word.substr(colon + 1))});
      } else {
        good = false;
      }
    }
    if (!good || c.launches.empty())
      die("'" + line + "' is no line of cases.txt");
    cases.push_back(c);
  }
  return cases;
}

/// The images of a bundle, loaded when a case first needs them.
class Images {
public:
  Images(cq_cuda *device, const std::string &folder)
      : device(device), folder(folder) {}

  /// Warpgroup kernels are code of sm_90a alone.
  bool hasDeviceFor(const Case &c) const {
    return c.image != "warpgroup" || cq_cuda_architecture(device) == 90;
  }

  void find(Case &c) {
    cq_cuda_module *&module = modules[c.image];
    if (!module) {
      std::string image;
      for (const char *ending : {".fatbin", ".cubin", ".ptx"})
        if (image.empty())
          image = readFile(folder + "/" + c.image + ending, false);
      if (image.empty())
        die("'" + folder + "' has no " + c.image + ".fatbin, .cubin or .ptx");
      // PTX ends with a zero byte, which std::string has.
      module = cq_cuda_load(device, image.c_str(), image.size() + 1);
      check(!module);
    }
    for (KernelLaunch &launch : c.launches) {
      launch.function = cq_cuda_get(device, module, launch.kernel.c_str(),
                                    int(launch.shared));
      check(!launch.function);
    }
  }

private:
  cq_cuda *device;
  std::string folder;
  std::map<std::string, cq_cuda_module *> modules;
};

/// The buffers of a case on the device.
struct Memory {
  cq_cuda *device;
  const Case &c;
  std::map<std::string, cq_cuda_pointer> at;

  /// Roles that `shared` has are taken from there.
  Memory(cq_cuda *device, const Case &c, const Memory *shared = nullptr)
      : device(device), c(c), shared(shared) {
    for (const Buffer &buffer : c.buffers) {
      cq_cuda_pointer &address = at[buffer.role];
      if (shared && isShared(buffer.role)) {
        address = shared->at.at(buffer.role);
        continue;
      }
      address = cq_cuda_allocate(device, buffer.bytes);
      check(!address);
    }
  }
  void release() {
    for (auto [role, address] : at)
      if (!shared || !isShared(role))
        cq_cuda_free(device, address);
  }
  void launch(cq_cuda_stream stream) {
    int tokens = static_cast<int>(c.m);
    for (const KernelLaunch &launch : c.launches) {
      std::vector<void *> pointers;
      for (const std::string &role : launch.roles)
        pointers.push_back(role == "m" ? static_cast<void *>(&tokens)
                                       : &at.at(role));
      check(cq_cuda_launch(device, launch.function, launch.grid, launch.block,
                           launch.shared, stream, pointers.data()));
    }
  }
  /// Copies of a weight have activations and results in common.
  static bool isShared(const std::string &role) {
    return role == "x" || isWritten(role);
  }

private:
  const Memory *shared;
};

bool runCheck(cq_cuda *device, const Case &c, const std::string &folder,
              bool first) {
  std::string data = readFile(folder + "/" + c.number + ".bin");
  Memory memory(device, c);
  size_t at = 0, count = c.m * c.n;
  for (const Buffer &buffer : c.buffers) {
    cq_cuda_pointer address = memory.at[buffer.role];
    if (isWritten(buffer.role)) {
      check(cq_cuda_fill(device, address, 0xff, buffer.bytes, nullptr));
      continue;
    }
    if (buffer.bytes > data.size() - at)
      die("'" + c.number + ".bin' is too short");
    check(cq_cuda_upload(device, address, data.data() + at, buffer.bytes,
                         nullptr));
    at += buffer.bytes;
  }
  if (at + 8 * count != data.size())
    die("'" + c.number + ".bin' has the wrong size");
  std::vector<float> got(count), want(count), bound(count);
  memory.launch(nullptr);
  check(
      cq_cuda_download(device, got.data(), memory.at["y"], 4 * count, nullptr));
  check(cq_cuda_synchronize(device, nullptr));
  std::memcpy(want.data(), data.data() + at, 4 * count);
  std::memcpy(bound.data(), data.data() + at + 4 * count, 4 * count);
  size_t wrong = 0;
  double worst = 0;
  for (size_t i = 0; i != count; ++i) {
    double off = std::fabs(double(got[i]) - want[i]) / bound[i];
    wrong += !(off <= 1);
    if (off > worst || off != off)
      worst = off;
  }
  int registers = -1, local = -1;
  const KernelLaunch &product = c.product();
  cq_cuda_function_attribute(device, product.function, 4, &registers);
  cq_cuda_function_attribute(device, product.function, 3, &local);
  std::printf("%s\n    {\"kernel\": \"%s\", \"m\": %ld, \"wrong\": %zu, "
              "\"worst\": %s, \"registers\": %d, \"local_bytes\": %d}",
              first ? "" : ",", product.kernel.c_str(), c.m, wrong,
              worst == worst ? std::to_string(worst).c_str() : "null",
              registers, local);
  memory.release();
  return wrong == 0;
}

/// Seconds of one run of `graph`, the best of several series.
double timeGraph(cq_cuda *device, cq_cuda_graph graph, cq_cuda_stream stream,
                 unsigned runs) {
  cq_cuda_event start = cq_cuda_create_event(device),
                end = cq_cuda_create_event(device);
  check(!start || !end);
  double best = 1e30;
  for (int series = 0; series != (quick ? 2 : 7); ++series) {
    check(cq_cuda_record(device, start, stream));
    for (unsigned i = 0; i != runs; ++i)
      check(cq_cuda_launch_graph(device, graph, stream));
    check(cq_cuda_record(device, end, stream));
    float milliseconds = 0;
    check(cq_cuda_elapsed(device, start, end, &milliseconds));
    if (series > 0 && milliseconds * 1e-3 / runs < best)
      best = milliseconds * 1e-3 / runs;
  }
  cq_cuda_destroy_event(device, start);
  cq_cuda_destroy_event(device, end);
  return best;
}

/// Bytes read and written in a second by copies of 512 MiB.
double copyBandwidth(cq_cuda *device, cq_cuda_stream stream) {
  size_t bytes = size_t(quick ? 1 : 512) << 20;
  cq_cuda_pointer from = cq_cuda_allocate(device, bytes),
                  to = cq_cuda_allocate(device, bytes);
  check(!from || !to);
  check(cq_cuda_fill(device, from, 1, bytes, stream));
  check(cq_cuda_begin_capture(device, stream));
  for (int i = 0; i != 4; ++i)
    check(cq_cuda_copy(device, to, from, bytes, stream));
  cq_cuda_graph graph = cq_cuda_end_capture(device, stream);
  check(!graph);
  double seconds = timeGraph(device, graph, stream, 4) / 4;
  cq_cuda_destroy_graph(device, graph);
  cq_cuda_free(device, from);
  cq_cuda_free(device, to);
  return 2.0 * static_cast<double>(bytes) / seconds;
}

/// Numbers that look random, the same in every run: a megabyte on the device
/// from a seed, copied as often as needed. Constant weights would cost less
/// power than real ones, and clocks would be higher.
class Noise {
public:
  explicit Noise(cq_cuda *device) : device(device) {
    std::vector<unsigned char> any(size), small(size);
    uint64_t state = 42;
    for (size_t i = 0; i != size; ++i) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      any[i] = static_cast<unsigned char>(state >> 56);
      // f16 and bf16: every exponent below 2, signs.
      small[i] = i % 2 ? static_cast<unsigned char>((state >> 56) & 0xbb)
                       : static_cast<unsigned char>(state >> 48);
    }
    for (auto [from, to] :
         {std::pair(&any, &bytes), std::pair(&small, &floats)}) {
      *to = cq_cuda_allocate(device, size);
      check(!*to);
      check(cq_cuda_upload(device, *to, from->data(), size, nullptr));
    }
    check(cq_cuda_synchronize(device, nullptr));
  }
  ~Noise() {
    cq_cuda_free(device, bytes);
    cq_cuda_free(device, floats);
  }
  void fill(const Buffer &buffer, cq_cuda_pointer to, cq_cuda_stream stream) {
    // Columns inside a slot of 256 are any byte; scales are finite and alike.
    bool codes = buffer.role == "codes" || buffer.role == "zeros";
    if (!codes && buffer.role != "x") {
      unsigned char value = buffer.role == "cherry_columns" ? 3 : 0x2c;
      check(cq_cuda_fill(device, to, value, buffer.bytes, stream));
      return;
    }
    for (size_t at = 0; at < buffer.bytes; at += size)
      check(cq_cuda_copy(device, to + at, codes ? bytes : floats,
                         std::min(size, buffer.bytes - at), stream));
  }

private:
  cq_cuda *device;
  size_t size = 1 << 20;
  cq_cuda_pointer bytes = 0, floats = 0;
};

size_t copiesBeyondL2(size_t bytes) {
  // 50 MB on an H200.
  return quick ? 2 : (size_t(400) << 20) / bytes + 2;
}

/// Seconds of cuBLAS in bf16 for a shape; once for each.
double cublasTime(cq_cuda *device, cq_cublas *library, const Case &c,
                  cq_cuda_stream stream, Noise &noise) {
  static std::map<std::array<long, 3>, double> known;
  double &seconds = known[{c.m, c.n, c.k}];
  if (seconds > 0)
    return seconds;
  size_t bytes = 2 * c.n * c.k;
  std::vector<cq_cuda_pointer> weights(copiesBeyondL2(bytes));
  auto make = [&](size_t bytes) {
    cq_cuda_pointer memory = cq_cuda_allocate(device, bytes);
    check(!memory);
    noise.fill({"x", bytes}, memory, stream);
    return memory;
  };
  for (cq_cuda_pointer &weight : weights)
    weight = make(bytes);
  cq_cuda_pointer x = make(2 * c.m * c.k), y = make(2 * c.m * c.n);
  auto multiply = [&](cq_cuda_pointer weight) {
    check(
        cq_cublas_matmul(library, int(c.m), int(c.n), int(c.k), x, weight, y));
  };
  // Its first call may allocate, which a recording must not.
  multiply(weights[0]);
  check(cq_cuda_synchronize(device, stream));
  check(cq_cuda_begin_capture(device, stream));
  for (cq_cuda_pointer weight : weights)
    multiply(weight);
  cq_cuda_graph graph = cq_cuda_end_capture(device, stream);
  check(!graph);
  seconds = timeGraph(device, graph, stream, quick ? 1 : 5) /
            static_cast<double>(weights.size());
  cq_cuda_destroy_graph(device, graph);
  for (cq_cuda_pointer weight : weights)
    cq_cuda_free(device, weight);
  cq_cuda_free(device, x);
  cq_cuda_free(device, y);
  return seconds;
}

void runBenchmark(cq_cuda *device, const Case &c, cq_cuda_stream stream,
                  double bandwidth, cq_cublas *library, Noise &noise,
                  bool first) {
  size_t weight = 0;
  for (const Buffer &buffer : c.buffers)
    if (!Memory::isShared(buffer.role))
      weight += buffer.bytes;
  std::vector<Memory> copies;
  size_t count = copiesBeyondL2(weight);
  copies.reserve(count);
  for (size_t i = 0; i != count; ++i) {
    copies.emplace_back(device, c, i ? &copies.front() : nullptr);
    for (const Buffer &buffer : c.buffers)
      if (i == 0 || !Memory::isShared(buffer.role))
        noise.fill(buffer, copies.back().at.at(buffer.role), stream);
  }
  check(cq_cuda_begin_capture(device, stream));
  for (Memory &copy : copies)
    copy.launch(stream);
  cq_cuda_graph graph = cq_cuda_end_capture(device, stream);
  check(!graph);
  double seconds = timeGraph(device, graph, stream, quick ? 1 : 5) /
                   static_cast<double>(count);
  std::printf(
      "%s\n    {\"kernel\": \"%s\", \"m\": %ld, \"n\": %ld, \"k\": %ld, "
      "\"bits\": %ld, \"launches\": %zu, \"microseconds\": %.3f, "
      "\"weight_bytes\": %zu, \"of_copy_bandwidth\": %.4f, "
      "\"teraflops\": %.3f",
      first ? "" : ",", c.product().kernel.c_str(), c.m, c.n, c.k, c.bits,
      c.launches.size(), seconds * 1e6, weight,
      static_cast<double>(weight) / seconds / bandwidth,
      2e-12 * static_cast<double>(c.m) * static_cast<double>(c.n) *
          static_cast<double>(c.k) / seconds);
  cq_cuda_destroy_graph(device, graph);
  for (size_t i = count; i-- > 0;)
    copies[i].release();
  if (library) {
    double other = cublasTime(device, library, c, stream, noise);
    std::printf(", \"cublas_bf16_microseconds\": %.3f, "
                "\"times_cublas_bf16\": %.3f",
                other * 1e6, other / seconds);
  }
  std::printf("}");
  std::fflush(stdout);
}

//===----------------------------------------------------------------------===//
// A whole model
//===----------------------------------------------------------------------===//

struct ModelLaunch {
  cq_cuda_function function = nullptr;
  unsigned grid[3], block[3], shared = 0;
  std::vector<uint64_t> values; ///< addresses, or integers
};

/// Steps of greedy decoding of model.txt: ids must be the expected ones, and
/// the last logits as the interpreter made them, up to roundings. The first
/// step is launched, the others are replays of a graph.
bool runModel(cq_cuda *device, const std::string &folder) {
  std::string data = readFile(folder + "/model.bin"), image;
  for (const char *name : {"model.fatbin", "model.cubin", "model.ptx"})
    if (image.empty())
      image = readFile(folder + "/" + name, false);
  if (image.empty())
    die("'" + folder + "' has no model.fatbin, model.cubin or model.ptx");
  cq_cuda_module *module =
      cq_cuda_load(device, image.c_str(), image.size() + 1);
  check(!module);
  cq_cuda_stream stream = cq_cuda_create_stream(device);
  check(!stream);
  std::vector<cq_cuda_pointer> buffers;
  std::vector<ModelLaunch> launches;
  std::vector<int> ids;
  size_t token = 0, logits = 0, vocabulary = 0, last = 0;
  std::istringstream text(readFile(folder + "/model.txt"));
  for (std::string line; std::getline(text, line);) {
    std::istringstream in(line);
    std::string what;
    in >> what;
    if (what == "buffer") {
      size_t number = 0, bytes = 0;
      long offset = -1;
      in >> number >> bytes >> offset;
      if (!in || number != buffers.size() ||
          (offset >= 0 && (size_t(offset) > data.size() ||
                           bytes > data.size() - size_t(offset))))
        die("'" + line + "' is no line of model.txt");
      buffers.push_back(cq_cuda_allocate(device, bytes ? bytes : 1));
      check(!buffers.back());
      check(offset < 0 ? cq_cuda_fill(device, buffers.back(), 0,
                                      bytes ? bytes : 1, stream)
                       : cq_cuda_upload(device, buffers.back(),
                                        data.data() + offset, bytes, stream));
    } else if (what == "token") {
      in >> token;
    } else if (what == "logits") {
      in >> logits >> vocabulary;
    } else if (what == "last") {
      in >> last;
    } else if (what == "steps") {
      for (int id; in >> id;)
        ids.push_back(id);
      in.clear();
    } else if (what == "launch") {
      ModelLaunch launch;
      std::string kernel;
      size_t count = 0;
      in >> kernel;
      for (unsigned &size : launch.grid)
        in >> size;
      for (unsigned &size : launch.block)
        in >> size;
      in >> launch.shared >> count;
      for (size_t i = 0; in && i != count; ++i) {
        std::string kind;
        uint64_t value = 0, offset = 0;
        in >> kind >> value;
        if (kind == "b") {
          in >> offset;
          if (value >= buffers.size())
            die("'" + line + "' is no line of model.txt");
          value = buffers[value] + offset;
        }
        launch.values.push_back(value);
      }
      launch.function =
          cq_cuda_get(device, module, kernel.c_str(), int(launch.shared));
      check(!launch.function);
      launches.push_back(launch);
    }
    if (!in)
      die("'" + line + "' is no line of model.txt");
  }
  if (ids.size() < 2 || token >= buffers.size() || logits >= buffers.size() ||
      last + 4 * vocabulary != data.size())
    die("model.txt and model.bin do not belong together");
  auto launchAll = [&] {
    for (ModelLaunch &launch : launches) {
      std::vector<void *> pointers;
      for (uint64_t &value : launch.values)
        pointers.push_back(&value);
      check(cq_cuda_launch(device, launch.function, launch.grid, launch.block,
                           launch.shared, stream, pointers.data()));
    }
  };
  check(cq_cuda_upload(device, buffers[token], &ids[0], 4, stream));
  std::vector<int> got;
  cq_cuda_graph graph = nullptr;
  cq_cuda_event start = cq_cuda_create_event(device),
                end = cq_cuda_create_event(device);
  check(!start || !end);
  float milliseconds = 0;
  for (size_t i = 1; i != ids.size(); ++i) {
    if (!graph) {
      launchAll();
      check(cq_cuda_begin_capture(device, stream));
      launchAll();
      graph = cq_cuda_end_capture(device, stream);
      check(!graph);
    } else {
      check(cq_cuda_record(device, start, stream));
      check(cq_cuda_launch_graph(device, graph, stream));
      check(cq_cuda_record(device, end, stream));
      check(cq_cuda_elapsed(device, start, end, &milliseconds));
    }
    int id = -1;
    check(cq_cuda_download(device, &id, buffers[token], 4, stream));
    check(cq_cuda_synchronize(device, stream));
    got.push_back(id);
  }
  std::vector<float> made(vocabulary), want(vocabulary);
  check(cq_cuda_download(device, made.data(), buffers[logits], 4 * vocabulary,
                         stream));
  check(cq_cuda_synchronize(device, stream));
  std::memcpy(want.data(), data.data() + last, 4 * vocabulary);
  double worst = 0;
  for (size_t i = 0; i != vocabulary; ++i) {
    double off = std::fabs(double(made[i]) - want[i]);
    if (off > worst || off != off)
      worst = off;
  }
  bool right =
      std::equal(got.begin(), got.end(), ids.begin() + 1) && worst <= 0.05;
  std::printf(",\n  \"model\": {\"launches\": %zu, \"microseconds_of_a_step\": "
              "%.1f, \"worst_logit\": %s, \"right\": %s, \"ids\": [",
              launches.size(), 1e3 * milliseconds,
              worst == worst ? std::to_string(worst).c_str() : "null",
              right ? "true" : "false");
  for (size_t i = 0; i != got.size(); ++i)
    std::printf("%s%d", i ? ", " : "", got[i]);
  std::printf("]}");
  cq_cuda_destroy_event(device, start);
  cq_cuda_destroy_event(device, end);
  cq_cuda_destroy_graph(device, graph);
  for (cq_cuda_pointer memory : buffers)
    cq_cuda_free(device, memory);
  cq_cuda_destroy_stream(device, stream);
  return right;
}

} // namespace

int main(int argc, char **argv) {
  std::string folder = ".";
  bool benchmarks = true;
  for (int i = 1; i < argc; ++i) {
    if (!std::strcmp(argv[i], "--help")) {
      std::printf("cq-device-run [--checks-only] [--quick] [FOLDER]\n"
                  "Checks the kernels of a bundle of scripts/device-bundle "
                  "against reference numbers,\nthen a model's decoding, then "
                  "times them beside the "
                  "device's copy bandwidth and, where it opens, cuBLAS; JSON "
                  "on standard output.\n"
                  "--quick: each step once, small products only, for "
                  "rehearsals; times mean "
                  "nothing.\n"
                  "Exit code 1: no device or an error, 2: wrong numbers.\n");
      return 0;
    }
    if (!std::strcmp(argv[i], "--checks-only"))
      benchmarks = false;
    else if (!std::strcmp(argv[i], "--quick"))
      quick = true;
    else
      folder = argv[i];
  }
  std::vector<Case> cases = readCases(folder);
  cq_cuda *device = cq_cuda_open(0);
  check(!device);
  Images images(device, folder);
  // Elsewhere warpgroup kernels cannot be loaded; in a rehearsal large products
  // would take days.
  size_t skipped = 0, large = 0;
  std::vector<Case> chosen;
  for (Case &c : cases) {
    if (!images.hasDeviceFor(c)) {
      ++skipped;
    } else if (c.what == "bench" && !benchmarks) {
      continue;
    } else if (c.what == "bench" && quick && c.m * c.n * c.k > (1 << 23)) {
      ++large;
    } else {
      images.find(c);
      chosen.push_back(c);
    }
  }
  int version = 0, clock = 0, memoryClock = 0, processors = 0;
  cq_cuda_driver_version(&version);
  cq_cuda_attribute(device, 13, &clock);
  cq_cuda_attribute(device, 36, &memoryClock);
  cq_cuda_attribute(device, 16, &processors);
  std::printf("{\n  \"device\": \"%s\", \"sm\": %d, \"driver\": %d, "
              "\"multiprocessors\": %d, \"clock_khz\": %d, "
              "\"memory_clock_khz\": %d,\n  \"checks\": [",
              cq_cuda_name(device), cq_cuda_architecture(device), version,
              processors, clock, memoryClock);
  bool right = true, first = true;
  for (const Case &c : chosen)
    if (c.what == "check") {
      right &= runCheck(device, c, folder, first);
      first = false;
    }
  std::printf("\n  ]");
  if (std::ifstream(folder + "/model.txt"))
    right &= runModel(device, folder);
  std::fflush(stdout);
  if (benchmarks) {
    cq_cuda_stream stream = cq_cuda_create_stream(device);
    check(!stream);
    double bandwidth = copyBandwidth(device, stream);
    cq_cublas *library = cq_cublas_open(device, stream);
    std::string why = library ? "" : cq_cuda_error();
    std::printf(",\n  \"copy_bytes_per_second\": %.4g,\n  \"cublas\": \"%s\","
                "\n  \"benchmarks\": [",
                bandwidth, why.empty() ? "yes" : why.c_str());
    first = true;
    {
      Noise noise(device);
      for (const Case &c : chosen)
        if (c.what == "bench") {
          runBenchmark(device, c, stream, bandwidth, library, noise, first);
          first = false;
        }
    }
    std::printf("\n  ]");
    cq_cublas_close(library);
    cq_cuda_destroy_stream(device, stream);
  }
  std::printf(",\n  \"skipped_for_this_device\": %zu, "
              "\"skipped_by_quick\": %zu",
              skipped, large);
  std::printf(",\n  \"right\": %s\n}\n", right ? "true" : "false");
  cq_cuda_close(device);
  return right ? 0 : 2;
}
