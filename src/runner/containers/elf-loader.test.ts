import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { elfLoader } from './elf-loader.ts'

/** Builds a 64-bit program with these headers: the type of each, and the text that it points at. */
function program(headers: readonly (readonly [type: number, text: string])[]): Buffer {
  const file = Buffer.alloc(64 + headers.length * 56 + 200 * headers.length)
  file.write('\x7fELF\x02\x01', 'latin1')
  file.writeBigUInt64LE(64n, 32)
  file.writeUInt16LE(56, 54)
  file.writeUInt16LE(headers.length, 56)
  for (const [index, [type, text]] of headers.entries()) {
    const entry = 64 + index * 56
    const at = 64 + headers.length * 56 + 200 * index
    file.writeUInt32LE(type, entry)
    file.writeBigUInt64LE(BigInt(at), entry + 8)
    file.writeBigUInt64LE(BigInt(text.length + 1), entry + 32)
    file.write(text, at, 'latin1')
  }
  return file
}

test('the loader of a program is the one that its header names', (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'errand-elf-'))
  t.after(() => rmSync(dir, { recursive: true }))
  const loaderOf = (contents: Buffer | string) => {
    writeFileSync(join(dir, 'file'), contents)
    return elfLoader(join(dir, 'file'))
  }
  const musl = '/lib/ld-musl-x86_64.so.1'
  assert.equal(
    loaderOf(
      program([
        [6, 'x'],
        [3, musl],
      ]),
    ),
    musl,
  )
  assert.equal(loaderOf(program([[1, 'static']])), undefined)
  assert.equal(loaderOf('#!/bin/sh\n'), undefined)
  assert.equal(loaderOf(''), undefined)
  assert.equal(loaderOf(program([[3, musl]]).subarray(0, 70)), undefined)
  assert.equal(elfLoader(join(dir, 'none')), undefined)
})

test('the loader of the running Node is a file of this machine', {
  skip: process.platform !== 'linux',
}, () => {
  assert.match(elfLoader(process.execPath) ?? '', /\/ld-/)
})
