# boot.s - From a disk's first sector to 64-bit code with all vector state
#
# Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# The BIOS loads this sector to 0x7c00. It reads `sectors` further ones to 1 MB
# (driver.c and what is linked with it), maps the first GB onto itself and jumps
# there with SSE, AVX and, where the CPU has them, the registers of AVX-512 and AMX
# enabled.

.intel_syntax noprefix
.code16
.section .boot, "ax"
.globl boot
boot:
  cli
  xor ax, ax
  mov ds, ax
  mov es, ax
  mov ss, ax
  mov sp, 0x7c00
  mov [drive], dl
  in al, 0x92                   # addresses above 1 MB
  or al, 2
  out 0x92, al
  mov ebp, 0x100000             # where the next piece goes
read:
  mov si, offset packet
  mov dl, [drive]
  mov ah, 0x42
  sti
  int 0x13
  cli
  jc fail
  lgdt [table]                  # big segments for real mode, once a piece
  mov eax, cr0
  or al, 1
  mov cr0, eax
  mov bx, 16
  mov ds, bx
  mov es, bx
  and al, 0xfe
  mov cr0, eax
  xor bx, bx
  mov ds, bx
  mov es, bx
  mov esi, 0x10000
  mov edi, ebp
  mov ecx, 64 * 512 / 4
  cld
  .byte 0x67
  rep movsd
  mov ebp, edi
  add dword ptr [packet + 8], 64
  sub dword ptr [sectors], 64
  jg read

  mov edi, 0x70000              # one table of a table of 512 pages of 2 MB
  xor eax, eax
  mov ecx, 0x3000 / 4
  .byte 0x67
  rep stosd
  mov edi, 0x70000
  mov dword ptr [edi], 0x71003
  mov dword ptr [edi + 0x1000], 0x72003
  add edi, 0x2000
  mov eax, 0x83
pages:
  mov [edi], eax
  add edi, 8
  add eax, 0x200000
  cmp eax, 0x40000083
  jb pages
  mov eax, 0x70000
  mov cr3, eax
  mov eax, 0x40620              # XSAVE, SSE and its exceptions, PAE
  mov cr4, eax
  mov ecx, 0xc0000080           # long mode
  rdmsr
  or ah, 1
  wrmsr
  mov eax, cr0
  and eax, 0xfffffffb
  or eax, 0x80000003
  mov cr0, eax
  .byte 0x66, 0xea              # jmp 8:long
  .long long
  .word 8
fail:
  mov al, 'B'
  out 0xe9, al
  hlt

.code64
long:
  mov ax, 16
  mov ds, ax
  mov es, ax
  mov ss, ax
  mov rsp, 0x6fff8
  mov eax, 7
  xor ecx, ecx
  cpuid
  mov eax, 7                    # x87, SSE, AVX
  bt ebx, 16
  jnc state
  mov al, 0xe7                  # and masks, the other halves, the other 16
  bt edx, 24
  jnc state
  or eax, 0x60000               # and tiles
state:
  xor ecx, ecx
  xor edx, edx
  xsetbv
  mov rax, 0x100000
  jmp rax

.balign 4
packet:
  .word 16, 64, 0, 0x1000
  .quad 1
table:
  .word 23
  .long segments
segments:
  .quad 0, 0x00af9a000000ffff, 0x00cf92000000ffff
drive: .byte 0
sectors: .long 0                # the last word: written by scripts/test-emulated-cpu
