import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { endOf, until } from '../../../test/support/runner/attempt-fixture.ts'
import {
  kindsOf,
  linesOf,
  type SessionPlace,
  sessionPlace,
  update,
} from '../../../test/support/runner/session-fixture.ts'
import { SessionMutex } from './session-mutex.ts'

/** Builds a prompt that resumes one session, always in the workspace of the run that had it first. */
const goesOn = (here: SessionPlace, run_id: string, prompt: string) => {
  const session = { session_id: 'session-1', workspace_of: 'run_test' }
  return here.spec(prompt, { session }, { run_id, attempt_id: `${run_id}.1` })
}

const prompts = (here: SessionPlace) => linesOf(here.log).filter((line) => line.startsWith('prompt'))
const go = (here: SessionPlace, name: string) => {
  mkdirSync(join(here.path, 'workspaces/run_test'), { recursive: true })
  writeFileSync(join(here.path, 'workspaces/run_test', name), '')
}

test('in one session an attempt starts only when nothing is left of the previous one', async () => {
  using here = sessionPlace()
  const attempts = here.open()
  const first = await attempts.start(goesOn(here, 'run_a', 'wait go\nsay one'), 1)
  await update(first, 'prompt')
  const second = await attempts.start(goesOn(here, 'run_b', 'say two'), 1)
  const third = await attempts.start(goesOn(here, 'run_c', 'say three'), 1)
  const fourth = await attempts.start(goesOn(here, 'run_d', 'say four'), 1)
  assert.match((await update(second, 'notice')).text, /^Run run_a is using this session/)
  await update(fourth, 'notice')
  third.cancel(1000, 'canceled')
  assert.equal((await endOf(third)).outcome, 'canceled')
  assert.deepEqual([second.ended, fourth.ended, prompts(here)], [false, false, ['prompt wait go']])
  go(here, 'go')
  for (const held of [first, second, fourth]) assert.equal((await endOf(held)).outcome, 'success')
  assert.deepEqual(prompts(here), ['prompt wait go', 'prompt say two', 'prompt say four'])
  await attempts.close()
})

test('an attempt that ended before its turn blocks no other', async () => {
  const mutex = new SessionMutex()
  const attempt = (run_id: string) => ({ run_id, attempt_id: `${run_id}.1` })
  const waited: string[] = []
  const take = (run_id: string, signal: AbortSignal) =>
    mutex.acquire('session', attempt(run_id), signal, (by) => waited.push(by))
  await assert.rejects(take('run_a', AbortSignal.abort()))
  await Promise.race([take('run_b', new AbortController().signal), sleep(1000)])
  assert.deepEqual(waited, [])
})

test('the next runner also waits for a session that a runner left running', async () => {
  using here = sessionPlace()
  const before = here.open()
  const spec = goesOn(here, 'run_a', 'wait go\nsay one')
  await update(await before.start(spec, 1), 'prompt')
  await update(await before.start(goesOn(here, 'run_b', 'say two'), 1), 'notice')
  await before.close()
  const attempts = here.open()
  await attempts.recover()
  const [first, second] = ['run_a.1', 'run_b.1'].map((id) => attempts.get(id)!)
  const notices = () => kindsOf(second!).filter((kind) => kind === 'notice').length
  await until(() => notices() === 2, 'that it waits again')
  assert.deepEqual(prompts(here), ['prompt wait go'])
  go(here, 'go')
  for (const held of [first!, second!]) assert.equal((await endOf(held)).outcome, 'success')
  assert.deepEqual(prompts(here), ['prompt wait go', 'prompt say two'])
  await attempts.close()
})

test('a session older than the retention time is still there after a restart if it was in use', async () => {
  using here = sessionPlace()
  const before = here.open()
  const first = await before.start(here.spec('say one', {}, { attempt_id: 'run_test.1' }), 1)
  const { session_id } = await update(first, 'session')
  await endOf(first)
  await first.release()
  const session = { session_id, workspace_of: 'run_test' }
  const more = { run_id: 'run_a', attempt_id: 'run_a.1' }
  const spec = here.spec('wait go\nsay two', { session }, more)
  await update(await before.start(spec, 1), 'prompt')
  await before.close()
  const there = () => ['homes', 'ids'].map((kind) => readdirSync(join(here.path, 'sessions', kind)))
  const names = there()
  assert.deepEqual(names[0], ['run_test.1'])
  const old = Date.now() / 1000 - 8 * 24 * 3600
  for (const [kind, each] of Object.entries({ homes: names[0], ids: names[1] }))
    for (const name of each!) utimesSync(join(here.path, 'sessions', kind, name), old, old)
  const attempts = here.open()
  await attempts.recover()
  assert.deepEqual(there(), names)
  go(here, 'go')
  assert.equal((await endOf(attempts.get(spec.attempt_id)!)).outcome, 'success')
  await attempts.close()
})
