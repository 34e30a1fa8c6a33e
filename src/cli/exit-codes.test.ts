import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { type ErrorCode, errorStatus } from '../contract/errors.ts'
import { RunStatus } from '../contract/status.ts'
import { writeFileAtomic } from '../platform/files.ts'
import { exitCodeOfError, exitCodeOfRun, exitCodes, reportError } from './exit-codes.ts'

test('the table in docs/cli.md has exactly the exit codes that exist', () => {
  const docs = readFileSync(new URL('../../docs/cli.md', import.meta.url), 'utf8')
  const [, table = ''] = /^## Exit codes$([\s\S]*?)^## /m.exec(docs) ?? []
  const documented = [...table.matchAll(/^\| (\d+) \|/gm)].map(([, code]) => Number(code))
  assert.deepEqual(documented, Object.values(exitCodes))
})

test('each error and each end of a run has an exit code: not found is 7, unauthorized is 6', () => {
  const known: number[] = Object.values(exitCodes)
  for (const code of Object.keys(errorStatus) as ErrorCode[]) {
    const exit = exitCodeOfError(code)
    assert.ok(known.includes(exit), code)
    const { [code]: status } = errorStatus
    assert.equal(exit === exitCodes.not_found, status === 404, code)
    assert.equal(exit === exitCodes.unauthorized, status === 401 || status === 403, code)
    assert.equal(exit === exitCodes.usage, status === 400, code)
  }
  assert.deepEqual(
    RunStatus.options.map((status) => exitCodeOfRun(status)),
    [4, 4, 0, 1, 3, 4],
  )
  assert.equal(exitCodeOfRun('failed', 'host_unreachable'), exitCodes.unreachable)
  assert.equal(exitCodeOfRun('failed', 'host_unauthorized'), exitCodes.unauthorized)
  assert.equal(exitCodeOfRun('failed', 'lost'), exitCodes.failed)
})

test('a command that starts in a deleted folder says so', () => {
  const program = join(import.meta.dirname, '../../bin/errand')
  const inGone = 'cd "$(mktemp -d)" && rmdir "$PWD" && exec "$0" run flow.yaml'
  const { status, stderr } = spawnSync('/bin/sh', ['-c', inGone, program], { encoding: 'utf8' })
  assert.equal(status, exitCodes.usage, stderr)
  assert.match(stderr, /The folder that this command was started in no longer exists\.\n {2}hint: Change to/)
})

test('a disk error names its file and what to do; any other error of a program is reported as a bug', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'errand-faults-'))
  t.after(() => rmSync(folder, { recursive: true }))
  writeFileSync(join(folder, 'file'), '')
  const reported = (fault: () => unknown): [number, string] => {
    const written = t.mock.method(process.stderr, 'write', () => true)
    try {
      fault()
      return [0, '']
    } catch (error) {
      return [reportError(error), written.mock.calls.map(({ arguments: [text] }) => text).join('')]
    } finally {
      written.mock.restore()
    }
  }
  const below = join(folder, 'file/lock')
  const [exitCode, text] = reported(() => writeFileAtomic(below, 'mine'))
  assert.equal(exitCode, exitCodes.failed)
  assert.match(
    text,
    new RegExp(`^error: ${below} could not be read or written: ENOTDIR: .*\\.\n {2}hint: A file`),
  )
  const full =
    'error: No space is left to write a file.\n  hint: Free some space on that disk. Everything that is already stored is intact.\n'
  assert.deepEqual(
    reported(() => writeFileSync('/dev/full', 'mine')),
    [exitCodes.failed, full],
  )
  const forbidden = reported(() => {
    throw spawnSync(folder).error
  })
  assert.match(forbidden[1], /EACCES[\s\S]*this is a bug in Errand/)
  const missing = reported(() => readFileSync(join(folder, 'gone')))
  assert.equal(missing[0], exitCodes.internal)
  assert.match(missing[1], /ENOENT[\s\S]*this is a bug in Errand/)
})
