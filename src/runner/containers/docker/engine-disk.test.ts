import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { noSmallDisk } from '../../../../test/faults/small-disk.ts'
import { isAlmostFull } from './engine-disk.ts'

test('a disk is almost full that has few bytes left, or room for few files', {
  skip: noSmallDisk,
}, async (t) => {
  const disk = (options: string): string => {
    const folder = mkdtempSync(join(tmpdir(), 'errand-disk-'))
    execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'disk', folder])
    t.after(() => {
      execFileSync('umount', [folder])
      rmdirSync(folder)
    })
    return folder
  }
  assert.equal(await isAlmostFull(disk('size=2g,nr_inodes=200k')), false)
  assert.equal(await isAlmostFull(disk('size=2g,nr_inodes=50k')), true)
  assert.equal(await isAlmostFull(disk('size=1m,nr_inodes=200k')), true)
  assert.equal(await isAlmostFull('/none/such'), false)
})
