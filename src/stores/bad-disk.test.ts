import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { it, type TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { noMountNamespace } from '../../test/faults/small-disk.ts'

const mount = 'mount -t tmpfs -o size=4m tmpfs "$1"'

/** Runs the program with its own small file system at its only argument, in a namespace that ends with it. */
function withSmallDisk(t: TestContext, program: URL): void {
  const dir = mkdtempSync(path.join(tmpdir(), 'errand-disk-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  const run = (script: string, ...args: string[]) =>
    spawnSync('unshare', ['-rm', 'sh', '-c', `${mount} && ${script}`, 'sh', dir, ...args], {
      encoding: 'utf8',
    })
  const skip = noMountNamespace()
  if (skip) {
    t.skip(skip)
    return
  }
  const { status, stderr } = run('exec "$2" "$3" "$1"', process.execPath, fileURLToPath(program))
  assert.equal(status, 0, stderr)
}

it('every store reports a full disk, loses nothing, and continues when there is space', (t) =>
  withSmallDisk(t, new URL('../../test/support/stores/full-disk-fixture.ts', import.meta.url)))

it('every store reports a read-only disk, and file stores can still be read', (t) =>
  withSmallDisk(t, new URL('../../test/support/stores/read-only-disk-fixture.ts', import.meta.url)))
