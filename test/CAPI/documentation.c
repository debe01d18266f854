// The example of docs/CAPI.md, as it stands there.
//
// RUN: sed -n '/^```c/,/^```$/{/^```/d;p}' %cq_src_root/docs/CAPI.md > %t.c
// RUN: %compile_c %t.c -o %t && %t > %t.out
// RUN: sed -n '/^It prints/,/^Programs/{s/^    //p}' \
// RUN:   %cq_src_root/docs/CAPI.md > %t.expected
// RUN: diff %t.expected %t.out
