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
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

namespace {

/// --quick: every step once, on little memory; its times mean nothing.
bool quick = false;

struct Argument {
  std::string role;
  size_t bytes;
};

/// A line of cases.txt.
struct Case {
  std::string what, number, kernel;
  unsigned grid[3] = {1, 1, 1}, block[3] = {1, 1, 1}, shared = 0;
  long m = 0, n = 0, k = 0, bits = 0;
  std::vector<Argument> arguments;
};

/// The arguments of one launch on the device.
struct Launch {
  std::vector<cq_cuda_pointer> memory;
  std::vector<void *> pointers;
  int tokens = 0;
};

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
    in >> c.kernel >> c.grid[0] >> c.grid[1] >> c.block[0] >> c.shared >> c.m >>
        c.n >> c.k >> c.bits;
    if (!in)
      die("'" + line + "' is no line of cases.txt");
    for (std::string word; in >> word;) {
      size_t colon = word.find(':');
      if (colon == std::string::npos)
        die("'" + line + "' is no line of cases.txt");
      c.arguments.push_back(
          {word.substr(0, colon), std::stoul(word.substr(colon + 1))});
    }
    cases.push_back(c);
  }
  return cases;
}

/// Allocates everything; the roles in `shared` come from there instead.
Launch prepare(cq_cuda *device, const Case &c) {
  Launch launch;
  launch.tokens = static_cast<int>(c.m);
  launch.memory.reserve(c.arguments.size());
  for (const Argument &argument : c.arguments) {
    if (argument.role == "m")
      continue;
    launch.memory.push_back(cq_cuda_allocate(device, argument.bytes));
    check(!launch.memory.back());
  }
  return launch;
}

/// Pointers into `launch` for the driver; call once it stays where it is.
void point(Launch &launch, const Case &c) {
  size_t next = 0;
  for (const Argument &argument : c.arguments)
    launch.pointers.push_back(argument.role == "m"
                                  ? static_cast<void *>(&launch.tokens)
                                  : &launch.memory[next++]);
}

void release(cq_cuda *device, Launch &launch) {
  for (cq_cuda_pointer memory : launch.memory)
    cq_cuda_free(device, memory);
}

bool runCheck(cq_cuda *device, cq_cuda_module *module, const Case &c,
              const std::string &folder, bool first) {
  std::string data = readFile(folder + "/" + c.number + ".bin");
  Launch launch = prepare(device, c);
  point(launch, c);
  size_t at = 0, next = 0, count = c.m * c.n;
  cq_cuda_pointer y = 0;
  for (const Argument &argument : c.arguments) {
    if (argument.role == "m")
      continue;
    cq_cuda_pointer memory = launch.memory[next++];
    if (argument.role == "y") {
      y = memory;
      check(cq_cuda_fill(device, memory, 0xff, argument.bytes, nullptr));
      continue;
    }
    if (at + argument.bytes > data.size())
      die("'" + c.number + ".bin' is too short");
    check(cq_cuda_upload(device, memory, data.data() + at, argument.bytes,
                         nullptr));
    at += argument.bytes;
  }
  if (at + 8 * count != data.size())
    die("'" + c.number + ".bin' has the wrong size");
  cq_cuda_function function =
      cq_cuda_get(device, module, c.kernel.c_str(), int(c.shared));
  check(!function);
  std::vector<float> got(count), want(count), bound(count);
  check(cq_cuda_launch(device, function, c.grid, c.block, c.shared, nullptr,
                       launch.pointers.data()));
  check(cq_cuda_download(device, got.data(), y, 4 * count, nullptr));
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
  cq_cuda_function_attribute(device, function, 4, &registers);
  cq_cuda_function_attribute(device, function, 3, &local);
  std::printf("%s\n    {\"kernel\": \"%s\", \"m\": %ld, \"wrong\": %zu, "
              "\"worst\": %s, \"registers\": %d, \"local_bytes\": %d}",
              first ? "" : ",", c.kernel.c_str(), c.m, wrong,
              worst == worst ? std::to_string(worst).c_str() : "null",
              registers, local);
  release(device, launch);
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

void runBenchmark(cq_cuda *device, cq_cuda_module *module, const Case &c,
                  cq_cuda_stream stream, double bandwidth, bool first) {
  cq_cuda_function function =
      cq_cuda_get(device, module, c.kernel.c_str(), int(c.shared));
  check(!function);
  size_t weight = 0;
  for (const Argument &argument : c.arguments)
    if (argument.role != "x" && argument.role != "y" && argument.role != "m")
      weight += argument.bytes;
  // Enough copies of the weight to be far beyond any L2 (50 MB on an H200).
  size_t copies = quick ? 2 : (size_t(400) << 20) / weight + 2;
  std::vector<Launch> launches;
  for (size_t i = 0; i != copies; ++i) {
    launches.push_back(prepare(device, c));
    size_t next = 0;
    for (const Argument &argument : c.arguments)
      if (argument.role != "m") {
        // Codes that differ; scales and activations that are finite.
        unsigned char value = argument.role == "codes"            ? 0x5a + i
                              : argument.role == "cherry_columns" ? 3
                                                                  : 0x2c;
        check(cq_cuda_fill(device, launches.back().memory[next++], value,
                           argument.bytes, stream));
      }
  }
  check(cq_cuda_begin_capture(device, stream));
  for (Launch &launch : launches) {
    point(launch, c);
    check(cq_cuda_launch(device, function, c.grid, c.block, c.shared, stream,
                         launch.pointers.data()));
  }
  cq_cuda_graph graph = cq_cuda_end_capture(device, stream);
  check(!graph);
  double seconds = timeGraph(device, graph, stream, quick ? 1 : 5) /
                   static_cast<double>(copies);
  std::printf(
      "%s\n    {\"kernel\": \"%s\", \"m\": %ld, \"n\": %ld, \"k\": %ld, "
      "\"bits\": %ld, \"microseconds\": %.3f, \"weight_bytes\": %zu, "
      "\"of_copy_bandwidth\": %.4f, \"teraflops\": %.3f}",
      first ? "" : ",", c.kernel.c_str(), c.m, c.n, c.k, c.bits, seconds * 1e6,
      weight, static_cast<double>(weight) / seconds / bandwidth,
      2e-12 * static_cast<double>(c.m) * static_cast<double>(c.n) *
          static_cast<double>(c.k) / seconds);
  std::fflush(stdout);
  cq_cuda_destroy_graph(device, graph);
  for (Launch &launch : launches)
    release(device, launch);
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
      std::printf(
          "cq-device-run [--checks-only] [--quick] [FOLDER]\n"
          "Checks the kernels of a bundle of scripts/device-bundle "
          "against reference numbers,\nthen a model's decoding, then "
          "times them beside the "
          "device's copy bandwidth; JSON on standard output.\n"
          "--quick: each step once, for rehearsals; times mean nothing.\n"
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
  std::string image;
  for (const char *name : {"kernels.fatbin", "kernels.cubin", "kernels.ptx"})
    if (image.empty())
      image = readFile(folder + "/" + name, false);
  if (image.empty())
    die("'" + folder + "' has no kernels.fatbin, kernels.cubin or kernels.ptx");
  // PTX ends with a zero byte, which std::string has.
  cq_cuda_module *module =
      cq_cuda_load(device, image.c_str(), image.size() + 1);
  check(!module);
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
  for (const Case &c : cases)
    if (c.what == "check") {
      right &= runCheck(device, module, c, folder, first);
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
    std::printf(",\n  \"copy_bytes_per_second\": %.4g,\n  \"benchmarks\": [",
                bandwidth);
    first = true;
    for (const Case &c : cases)
      if (c.what == "bench") {
        runBenchmark(device, module, c, stream, bandwidth, first);
        first = false;
      }
    std::printf("\n  ]");
    cq_cuda_destroy_stream(device, stream);
  }
  std::printf(",\n  \"right\": %s\n}\n", right ? "true" : "false");
  cq_cuda_close(device);
  return right ? 0 : 2;
}
