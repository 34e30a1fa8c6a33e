import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { eventually } from '../../../test/support/errand-command.ts'
import { RunnerStop } from '../attempts/runner-stop.ts'
import { Verifier } from './verifier.ts'

/** Longer than any test: whoever waits for it waits for the runner to be told to stop. */
const LONG_MS = 600_000

function opened(t: TestContext, holdMs: number) {
  const folder = mkdtempSync(join(tmpdir(), 'errand-verify-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const stop = new RunnerStop({ file: join(folder, 'stopped.json'), holdMs })
  const results: { passed: boolean; how: string }[] = []
  const verifier = new Verifier({
    env: { PATH: process.env.PATH },
    attemptKey: randomUUID(),
    machineStop: stop,
    onResult: ({ passed, how }) => void results.push({ passed, how }),
  })
  t.after(() => verifier.stop())
  const pid = join(folder, 'pid')
  /** Signals the first process of the command, like a machine that stops. */
  const killed = async (signal: NodeJS.Signals) => {
    await eventually('it starts', () => existsSync(pid) && readFileSync(pid, 'utf8').endsWith('\n'))
    process.kill(Number(readFileSync(pid, 'utf8')), signal)
  }
  return { folder, verifier, stop, results, killed }
}

const WAITS = 'test -e done || { echo $$ >pid; exec sleep 600; }'

test('a verify command that ends because the machine stops does not count, in either order of events', async (t) => {
  const { folder, verifier, stop, results, killed } = opened(t, LONG_MS)
  const over = verifier.run({ command: WAITS, number: 1 }, folder)
  await killed('SIGTERM')
  stop.announce()
  await over
  rmSync(join(folder, 'pid'))
  const after = verifier.run({ command: WAITS, number: 2 }, folder)
  await killed('SIGKILL')
  await after
  assert.deepEqual(results, [])
})

test('a verify command that was killed in a stop of the previous process runs again', async (t) => {
  const { folder, results, killed } = opened(t, LONG_MS)
  const file = join(folder, 'before.json')
  new RunnerStop({ file }).announce()
  const verifier = new Verifier({
    env: { PATH: process.env.PATH },
    attemptKey: randomUUID(),
    machineStop: new RunnerStop({ file, holdMs: LONG_MS }),
    onResult: ({ passed, how }) => void results.push({ passed, how }),
  })
  t.after(() => verifier.stop())
  const over = verifier.run({ command: WAITS, number: 1 }, folder)
  await eventually('it starts', () => existsSync(join(folder, 'pid')))
  writeFileSync(join(folder, 'done'), '')
  await killed('SIGKILL')
  await over
  assert.deepEqual(results, [{ passed: true, how: 'exit code 0' }])
})

test('a verify command that an unrelated signal ends while the runner keeps running has failed', async (t) => {
  const { folder, verifier, results, killed } = opened(t, 1)
  const over = verifier.run({ command: WAITS, number: 1 }, folder)
  await killed('SIGKILL')
  await over
  assert.deepEqual(results, [{ passed: false, how: 'killed by SIGKILL' }])
})
