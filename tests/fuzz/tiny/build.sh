#!/bin/sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# Makes the ELF files of the corpora `inject`, `resolve` and `ko` anew. Its bytes depend on the compiler; nobody
# compares them.
set -eu
cd "$(dirname "$0")"
out=../corpus
mkdir -p $out/inject $out/resolve $out/ko
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
# A module, whose debug sections want relocation; packed; with a name that would steer a terminal, and with
# relocations far outside their sections.
gcc -g -gdwarf-5 -O1 -c -pg -mfentry -mcmodel=kernel -fno-pie -ffreestanding -fcf-protection=none \
    -fno-asynchronous-unwind-tables -fdebug-prefix-map="$PWD"=/tiny module.c -o $out/ko/unlinked
ld -r --build-id=0x0123456789abcdef $out/ko/unlinked -o $out/ko/valid
rm $out/ko/unlinked
head -c 1500 $out/ko/valid >$out/ko/truncated
zstd -q -f $out/ko/valid -o $out/ko/packed
LC_ALL=C sed 's/tiny_work/\x1b]0;own\x07_/g; s/\x01\x00\x00\x00\x02\x00\x00\x00/\x01\x00\x00\x00\xff\xff\xff\x7f/g' \
    $out/ko/valid >$out/ko/hostile
chmod 644 $out/inject/* $out/resolve/* $out/ko/*
