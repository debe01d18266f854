// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef MY_COUNTPRODUCTS_H
#define MY_COUNTPRODUCTS_H

/// Registers --my-count-products.
void registerCountProducts();

#endif // MY_COUNTPRODUCTS_H
