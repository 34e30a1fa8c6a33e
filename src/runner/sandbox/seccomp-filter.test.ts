import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { boxPlace, sandboxMissing } from '../../../test/support/runner/box-fixture.ts'
import { MODES, REFUSED, seccompFilter } from './seccomp-filter.ts'

/** Simulates the kernel's filter machine, and returns the filter's answer to a call. */
function answerOf(
  arch: 'x64' | 'arm64',
  number: number,
  args: readonly number[] = [],
  audit?: number,
): number {
  const program = seccompFilter(arch)!
  const data = Buffer.alloc(64)
  data.writeUInt32LE(number >>> 0, 0)
  data.writeUInt32LE(audit ?? (arch === 'x64' ? 0xc000003e : 0xc00000b7), 4)
  for (const [index, value] of args.entries()) data.writeUInt32LE(value >>> 0, 16 + index * 8)
  let accumulator = 0
  for (let at = 0; ; at++) {
    const code = program.readUInt16LE(at * 8)
    const [yes, no, value] = [program[at * 8 + 2]!, program[at * 8 + 3]!, program.readUInt32LE(at * 8 + 4)]
    if (code === 0x06) return value
    if (code === 0x20) accumulator = data.readUInt32LE(value)
    else {
      const holds =
        code === 0x15
          ? accumulator === value
          : code === 0x35
            ? accumulator >= value
            : (accumulator & value) !== 0
      at += holds ? yes : no
    }
  }
}

const ALLOWED = 0x7fff0000
const EPERM = 0x00050001
const ENOSYS = 0x00050026

for (const [arch, clone, ioctl, personality, socket] of [
  ['x64', 56, 16, 135, 41],
  ['arm64', 220, 29, 92, 198],
] as const)
  test(`the filter for ${arch} refuses the listed calls and new namespaces, and allows the rest`, () => {
    for (const numbers of Object.values(REFUSED)) {
      const number = numbers[arch === 'x64' ? 0 : 1]
      if (number !== undefined) assert.equal(answerOf(arch, number), EPERM, String(number))
    }
    assert.equal(answerOf(arch, 435), ENOSYS)
    for (const bit of [0x80, 0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000])
      assert.equal(answerOf(arch, clone, [bit | 17]), EPERM)
    assert.equal(answerOf(arch, clone, [0x01200011]), ALLOWED)
    assert.equal(answerOf(arch, ioctl, [0, 0x5412]), EPERM)
    assert.equal(answerOf(arch, ioctl, [0, 0x541c]), EPERM)
    assert.equal(answerOf(arch, ioctl, [0, 0x5413]), ALLOWED)
    assert.equal(answerOf(arch, personality, [0x0040000]), EPERM)
    assert.equal(answerOf(arch, personality, [0xffffffff]), ALLOWED)
    for (const family of [1, 2, 10]) assert.equal(answerOf(arch, socket, [family, 1, 0]), ALLOWED)
    for (const family of [3, 4, 5, 9, 17, 21, 26, 29, 38, 40, 44])
      assert.equal(answerOf(arch, socket, [family, 1, 0]), EPERM)
    assert.equal(answerOf(arch, socket, [16, 3, 0]), ALLOWED)
    assert.equal(answerOf(arch, socket, [16, 3, 12]), EPERM)
    for (const { mode, flags, ...numbers } of Object.values(MODES)) {
      const number = numbers[arch]
      if (number === undefined) continue
      const args = (bits: number, how: number) => {
        const statuses = [0, 0, 0, 0]
        statuses[mode] = bits
        if (flags !== undefined) statuses[flags] = how
        return statuses
      }
      for (const bits of [0o4755, 0o2755, 0o6755])
        assert.equal(answerOf(arch, number, args(bits, 0o101)), EPERM, String(number))
      assert.equal(answerOf(arch, number, args(0o1777, 0o101)), ALLOWED, String(number))
      if (flags === undefined) continue
      assert.equal(answerOf(arch, number, args(0o4755, 0o20200002)), EPERM)
      // A mode that does not count may be anything.
      assert.equal(answerOf(arch, number, args(0o4755, 0o2)), ALLOWED)
    }
    assert.equal(answerOf(arch, 437), ENOSYS)
    // Another ABI has other numbers.
    assert.equal(answerOf(arch, 0, [], 0x40000003), EPERM)
    if (arch === 'x64') assert.equal(answerOf(arch, 0x40000000 + 59), EPERM)
    for (const number of [0, 1, 63, 64, 93, 222, 281]) {
      const listed = Object.values(REFUSED).some((numbers) => numbers[arch === 'x64' ? 0 : 1] === number)
      if (!listed) assert.equal(answerOf(arch, number, [0x11]), ALLOWED, String(number))
    }
  })

/** Reads the numbers of the kernel's own headers, by name. */
function numbersIn(file: string): Map<string, number> {
  const found = new Map<string, number>()
  for (const [, name, number] of readFileSync(file, 'utf8').matchAll(
    /^#define __NR(?:3264)?_(\w+)\s+(\d+)/gm,
  ))
    found.set(name!, Number(number))
  return found
}

for (const [index, arch, file] of [
  [0, 'x64', '/usr/include/x86_64-linux-gnu/asm/unistd_64.h'],
  [1, 'arm64', '/usr/include/asm-generic/unistd.h'],
] as const)
  test(`the numbers for ${arch} match the kernel's headers`, (t) => {
    if (!existsSync(file)) return t.skip(`there is no ${file} (Debian's package linux-libc-dev)`)
    const known = numbersIn(file)
    for (const [name, numbers] of Object.entries(REFUSED)) assert.equal(numbers[index], known.get(name), name)
    // Some headers are older than this call.
    known.set('fchmodat2', 452)
    for (const [name, numbers] of Object.entries(MODES)) assert.equal(numbers[arch], known.get(name), name)
  })

/** Program that makes each call, with a first argument where it matters, and prints the result. */
const TRY = `
import ctypes, json, sys
libc = ctypes.CDLL(None, use_errno=True)
told = {}
for name, number, args in json.load(sys.stdin):
    ctypes.set_errno(0)
    value = libc.syscall(number, *[ctypes.c_ulong(each) for each in args])
    told[name] = ctypes.get_errno() if value == -1 else 0
print(json.dumps(told))
`

test('in a box each of these calls is refused with EPERM, and what programs need is not', {
  skip: sandboxMissing() || (process.arch !== 'x64' && 'it is written for x64'),
}, async () => {
  using here = boxPlace()
  const box = here.box()
  await box.prepare()
  const refused = Object.entries(REFUSED).flatMap(([name, [number]]) =>
    number === undefined ? [] : [[name, number, [0, 0, 0, 0, 0, 0]] as const],
  )
  const more = [
    ['clone NEWUSER', 56, [0x10000000 | 17, 0]],
    ['clone NEWNET', 56, [0x40000000 | 17, 0]],
    ['socket AF_PACKET', 41, [17, 3, 0]],
    ['socket AF_VSOCK', 41, [40, 1, 0]],
    ['socket AF_ALG', 41, [38, 5, 0]],
    ['socket NETLINK_NETFILTER', 41, [16, 3, 12]],
    ['ioctl TIOCSTI', 16, [0, 0x5412, 0]],
    ['ioctl TIOCLINUX', 16, [0, 0x541c, 0]],
    ['personality', 135, [0x0040000]],
    ['fchmod u+s', 91, [1, 0o4755]],
    ['fchmod g+s', 91, [1, 0o2755]],
    ['mknod u+s', 133, [0, 0o104755, 0]],
    ['openat u+s', 257, [0, 0, 0o101, 0o4755]],
  ] as const
  const fine = [
    ['getpid', 39, []],
    ['socket AF_UNIX', 41, [1, 1, 0]],
    ['socket AF_INET', 41, [2, 1, 0]],
    ['socket NETLINK_ROUTE', 41, [16, 3, 0]],
  ] as const
  const { argv, cwd, env } = here.words(box, `exec /usr/bin/python3 -c '${TRY}'`)
  const { stdout, stderr } = spawnSync(argv[0]!, argv.slice(1), {
    ...{ cwd, env, encoding: 'utf8' },
    input: JSON.stringify([
      ...refused,
      ...more,
      ['clone3', 435, [0, 0]],
      ['openat2', 437, [0, 0, 0, 0]],
      ...fine,
    ]),
  })
  await box.end()
  const results: Record<string, number> = JSON.parse(stdout || stderr)
  for (const [name] of [...refused, ...more]) assert.equal(results[name], 1, name)
  assert.deepEqual([results.clone3, results.openat2], [38, 38])
  for (const [name] of fine) assert.equal(results[name], 0, name)
})
