//===- driver.c - Recorded kernels on a machine without an OS -------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Runs the cases of KernelRecorder.h one after the other and compares memory
// bit for bit. Every operand ends where a page that is not there begins. What
// goes wrong in a case (an instruction the CPU lacks, a wild access) fails that
// case alone. Output goes to port 0xe9, Bochs' console.
//
//===----------------------------------------------------------------------===//

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// What the script links in.
struct Kernel {
  void (*code)(void);
  const char *name;
};
extern const struct Kernel kernels[];
extern const int64_t cases[], casesEnd[];

//===----------------------------------------------------------------------===//
// Output
//===----------------------------------------------------------------------===//

static void put(char c) {
  __asm__ volatile("outb %0, %1" : : "a"(c), "Nd"((uint16_t)0xe9));
}
static void say(const char *text) {
  while (*text)
    put(*text++);
}
static void sayNumber(uint64_t value, unsigned base) {
  char digits[24];
  int n = 0;
  do
    digits[n++] = "0123456789abcdef"[value % base];
  while (value /= base);
  while (n)
    put(digits[--n]);
}

//===----------------------------------------------------------------------===//
// What compilers call
//===----------------------------------------------------------------------===//

void *memcpy(void *restrict to, const void *restrict from, size_t size) {
  void *result = to;
  __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
  return result;
}
void *memset(void *to, int value, size_t size) {
  void *result = to;
  __asm__ volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(value) : "memory");
  return result;
}

static char *heap;
#define HEAP ((char *)0x10000000)
void *malloc(size_t size) {
  char *result = heap;
  heap += (size + 63) & ~(size_t)63;
  return result;
}
void *aligned_alloc(size_t alignment, size_t size) {
  heap = (char *)(((uintptr_t)heap + alignment - 1) & ~(alignment - 1));
  return malloc(size);
}
void free(void *pointer) { (void)pointer; }

//===----------------------------------------------------------------------===//
// Exceptions
//===----------------------------------------------------------------------===//

static void *beforeCase[5];
static uint64_t trapVector, trapAddress, trapRead;

__attribute__((used)) void trapped(uint64_t vector, const uint64_t *frame) {
  bool hasCode = vector == 8 || (vector >= 10 && vector <= 14) || vector == 17;
  trapVector = vector;
  trapAddress = frame[hasCode];
  __asm__ volatile("mov %%cr2, %0" : "=r"(trapRead));
  __builtin_longjmp(beforeCase, 1);
}
// Thirty-two entries of 32 bytes.
__asm__(".text\n.balign 32\ntraps:\n"
        ".set n, 0\n.rept 32\n.balign 32\n"
        "mov $n, %edi\nmov %rsp, %rsi\nand $-16, %rsp\ncall trapped\n"
        ".set n, n + 1\n.endr\n");
extern char traps[];

static struct {
  uint16_t low, segment, kind, middle;
  uint32_t high, zero;
} gates[32] __attribute__((aligned(16)));

static void catchExceptions(void) {
  for (int i = 0; i < 32; ++i) {
    uint64_t address = (uint64_t)traps + 32 * i;
    gates[i].low = (uint16_t)address;
    gates[i].segment = 8;
    gates[i].kind = 0x8e00;
    gates[i].middle = (uint16_t)(address >> 16);
    gates[i].high = (uint32_t)(address >> 32);
  }
  struct __attribute__((packed)) {
    uint16_t limit;
    void *base;
  } table = {sizeof(gates) - 1, gates};
  __asm__ volatile("lidt %0" : : "m"(table));
}

//===----------------------------------------------------------------------===//
// Memory with holes
//===----------------------------------------------------------------------===//

// 64 MB from 1 GB on, page by page onto 320 MB and up.
enum { kPage = 4096, kPages = 16384 };
static uint64_t pages[kPages] __attribute__((aligned(4096)));
static uint64_t pageTables[512] __attribute__((aligned(4096)));
static int64_t pagesUsed;
#define HOLES ((char *)0x40000000)
#define FRAMES 0x14000000ull

static void mapHoles(void) {
  for (int i = 0; i < kPages / 512; ++i)
    pageTables[i] = (uint64_t)&pages[512 * i] | 3;
  ((volatile uint64_t *)0x71000)[1] = (uint64_t)pageTables | 3;
}
static void forgetPages(void) {
  for (int64_t i = 0; i < pagesUsed; ++i)
    pages[i] = 0;
  pagesUsed = 0;
  uint64_t root = 0x70000;
  __asm__ volatile("mov %0, %%cr3" : : "r"(root) : "memory");
}
/// Its last byte lies before a page that is not there.
static char *guarded(int64_t size) {
  int64_t count = (size + kPage - 1) / kPage;
  if (pagesUsed + count + 1 > kPages)
    return NULL;
  for (int64_t i = pagesUsed; i < pagesUsed + count; ++i)
    pages[i] = (FRAMES + i * kPage) | 3;
  pagesUsed += count + 1;
  return HOLES + (pagesUsed - 1) * kPage - size;
}

//===----------------------------------------------------------------------===//
// Cases
//===----------------------------------------------------------------------===//

enum { kMost = 16 };
typedef void (*Entry)(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                      uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                      uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                      uint64_t);

static const char *next;
static int64_t number(void) {
  int64_t value;
  memcpy(&value, next, sizeof(value));
  next += sizeof(value);
  return value;
}

struct Operand {
  char *data;
  const char *expected;
  int64_t expectedSize;
  int64_t descriptor[3 + 2 * 4];
};

static const struct Kernel *volatile kernel;

/// True if the case holds. `next` is left behind it, whatever happens.
static bool runCase(void) {
  static struct Operand operands[kMost];
  kernel = &kernels[number()];
  int64_t count = number(), numRanges = number();
  const char *ranges = next;
  next += 16 * numRanges;
  bool fits = count + 2 <= kMost;
  for (int64_t i = 0; i < count; ++i) {
    struct Operand *o = &operands[fits ? i : 0];
    int64_t rank = number(), stride = 1;
    for (int64_t d = 0; d < rank; ++d)
      o->descriptor[3 + d] = number();
    for (int64_t d = rank - 1; d >= 0; stride *= o->descriptor[3 + d--])
      o->descriptor[3 + rank + d] = stride;
    int64_t size = number();
    o->expectedSize = number();
    o->data = guarded(size);
    fits &= o->data != NULL;
    if (fits)
      memcpy(o->data, next, size);
    o->expected = next + size;
    next += size + o->expectedSize;
    o->descriptor[0] = o->descriptor[1] = (int64_t)o->data;
    o->descriptor[2] = 0;
  }
  if (!fits) {
    say("too large: ");
    return false;
  }
  for (int64_t r = 0; r < numRanges; ++r) {
    uint64_t a[kMost] = {0};
    for (int64_t i = 0; i < count; ++i)
      a[i] = (uint64_t)operands[i].descriptor;
    memcpy(&a[count], ranges + 16 * r, 16);
    ((Entry)kernel->code)(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8],
                          a[9], a[10], a[11], a[12], a[13], a[14], a[15]);
  }
  for (int64_t i = 0; i < count; ++i)
    for (int64_t b = 0; b < operands[i].expectedSize; ++b)
      if (operands[i].data[b] != operands[i].expected[b]) {
        say("memref ");
        sayNumber(i, 10);
        say(" differs from byte ");
        sayNumber(b, 10);
        say(" on: ");
        return false;
      }
  return true;
}

struct features {
  uint32_t b, c, d;
};
static struct features cpuid7(void) {
  struct features f = {.c = 0};
  uint32_t a = 7;
  __asm__("cpuid" : "+a"(a), "=b"(f.b), "+c"(f.c), "=d"(f.d));
  return f;
}

__attribute__((section(".entry"), noreturn, used)) void start(void) {
  catchExceptions();
  mapHoles();
  struct features has = cpuid7();
  say("CPU:");
  say(has.b >> 5 & 1 ? " avx2" : "");
  say(has.b >> 16 & 1 ? " avx512f" : "");
  say(has.b >> 30 & 1 ? " avx512bw" : "");
  say(has.b >> 31 & 1 ? " avx512vl" : "");
  say(has.c >> 11 & 1 ? " avx512vnni" : "");
  say(has.d >> 25 & 1 ? " amx-int8" : "");
  put('\n');
  static volatile int64_t passed, failed;
  next = (const char *)cases;
  while (next < (const char *)casesEnd) {
    forgetPages();
    heap = HEAP;
    bool good = false;
    if (__builtin_setjmp(beforeCase) == 0) {
      good = runCase();
    } else {
      say("exception ");
      sayNumber(trapVector, 10);
      say(" at 0x");
      sayNumber(trapAddress, 16);
      say(", cr2 0x");
      sayNumber(trapRead, 16);
      say(": ");
    }
    if (good) {
      ++passed;
      continue;
    }
    ++failed;
    say(kernel->name);
    put('\n');
  }
  sayNumber(passed, 10);
  say(" passed, ");
  sayNumber(failed, 10);
  say(" failed\n");
  for (const char *text = "Shutdown"; *text; ++text)
    __asm__ volatile("outb %0, %1" : : "a"(*text), "Nd"((uint16_t)0x8900));
  for (;;)
    __asm__ volatile("hlt");
}
