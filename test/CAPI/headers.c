// Every header stands alone, in C11 and in C++11, without a warning.
//
// RUN: cd %cq_src_root/include/cq-c
// RUN: %cc -x c -std=c11 -Wall -Wextra -Wpedantic -Wstrict-prototypes \
// RUN:   -Werror -I.. -fsyntax-only CQ.h Core.h Model.h Module.h Plan.h
// Weight.h
// RUN: %cxx -x c++ -std=c++11 -Wall -Wextra -Wpedantic \
// RUN:   -Werror -I.. -fsyntax-only CQ.h Core.h Model.h Module.h Plan.h
// Weight.h
//
// Every function of the headers is in the library, and no other.
//
// RUN: cat Core.h Model.h Module.h Plan.h Weight.h > %t.headers
// RUN: grep -oE '^(CQ_C_EXPORTED .*)?cq[A-Z][A-Za-z]*[(]' %t.headers > %t.lines
// RUN: grep -oE 'cq[A-Z][A-Za-z]*[(]' %t.lines > %t.calls
// RUN: tr -d '(' < %t.calls | sort -u > %t.declared
// RUN: llvm-nm --dynamic --defined-only --format=just-symbols \
// RUN:   %cq_lib_dir/libcq-c.so > %t.symbols
// RUN: grep -E '^cq[A-Z]' %t.symbols | sort -u > %t.defined
// RUN: diff %t.declared %t.defined
