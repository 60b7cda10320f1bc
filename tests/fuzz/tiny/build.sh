#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# Makes the ELF file of the corpora `inject` and `resolve` anew. Its bytes depend on the compiler; nobody
# compares them.
set -eu
cd "$(dirname "$0")"
out=../corpus
mkdir -p $out/inject $out/resolve
gcc -g -gdwarf-5 -O1 -pg -mfentry -mrecord-mcount -mcmodel=kernel -fno-pie -no-pie -ffreestanding -nostdlib \
    -static -fcf-protection=none -fno-inline -fno-ipa-icf -fno-common -fdebug-prefix-map="$PWD"=/tiny \
    -Wl,-T,link.ld,--build-id=0x0123456789abcdef,-n kernel.c -o $out/inject/valid
cp $out/inject/valid $out/resolve/valid
# Cut before its section headers; then without what the injector and names need.
head -c 2000 $out/inject/valid >$out/inject/truncated
cp $out/inject/truncated $out/resolve/truncated
objcopy --strip-debug $out/inject/valid $out/inject/without-debug
objcopy --compress-debug-sections=zlib $out/resolve/valid $out/resolve/compressed
# A symbol and a file whose names would steer a terminal.
LC_ALL=C sed 's/setup_per_cpu_areas/\x1b]0;owned\x07\x1b[2J_____/g; s/kernel\.c/\x1b[2J.c__/g' $out/resolve/valid \
    >$out/resolve/hostile-names
chmod 644 $out/inject/* $out/resolve/*
