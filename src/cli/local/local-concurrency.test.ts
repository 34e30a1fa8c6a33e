import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { LocalConcurrency } from './local-concurrency.ts'

/** Creates gates on one folder, each as if it were its own process. */
function gates(t: TestContext, sweep = async () => {}) {
  const home = mkdtempSync(join(tmpdir(), 'errand-groups-'))
  const folder = join(home, 'groups')
  const made: LocalConcurrency[] = []
  t.after(() => {
    for (const gate of made) gate.close()
    rmSync(home, { recursive: true, force: true })
  })
  const gate = () => {
    made.push(new LocalConcurrency(folder, sweep))
    return made.at(-1)!
  }
  const started: string[] = []
  const enter = (of: LocalConcurrency, runId: string, limit = 1, running = false) =>
    of.enter('group', limit, runId, running, () => started.push(runId))
  const until = async (...runIds: string[]) => {
    while (started.length < runIds.length) await sleep(10)
    assert.deepEqual(started, runIds)
  }
  return { folder, gate, enter, started, until }
}

test('runs of several processes wait for their turn in order, and learn who holds the place', async (t) => {
  const { folder, gate, enter, until } = gates(t)
  const [one, two, three] = [gate(), gate(), gate()]
  assert.equal(enter(one, 'a'), undefined)
  assert.deepEqual(enter(two, 'b'), { inside: 1, before: 0, holders: `a of process ${process.pid}` })
  assert.deepEqual(enter(three, 'c'), { inside: 1, before: 1, holders: `a of process ${process.pid}` })
  assert.equal(
    one.enter('other group', 1, 'd', false, () => {}),
    undefined,
  )
  assert.ok(two.has('group', 'b') && !two.has('group', 'a') && !two.has('other group', 'b'))
  one.leave('a')
  await until('b')
  two.leave('b')
  two.leave('b')
  await until('b', 'c')
  three.leave('c')
  one.leave('d')
  assert.deepEqual(readdirSync(folder), [])
  one.close()
  one.close()
  assert.equal(existsSync(folder), false)
})

test("the latest run's limit decides how many run at once; a run that is already running always gets in", async (t) => {
  const { gate, enter, until } = gates(t)
  const [one, two] = [gate(), gate()]
  assert.equal(enter(one, 'a', 2), undefined)
  assert.equal(enter(two, 'b', 2), undefined)
  assert.equal(enter(one, 'c', 2)?.inside, 2)
  assert.equal(enter(two, 'd', 2)?.before, 1)
  assert.equal(enter(two, 'e', 1, true), undefined)
  for (const [of, run] of [
    [one, 'a'],
    [two, 'b'],
  ] as const)
    of.leave(run)
  two.leave('e')
  await until('c')
  assert.equal(enter(one, 'f', 3), undefined)
  await until('c', 'd')
})

test('a run that leaves while it waits never starts, and nobody waits for it', async (t) => {
  const { gate, enter, until } = gates(t)
  const [one, two, three] = [gate(), gate(), gate()]
  for (const [of, run] of [
    [one, 'a'],
    [two, 'b'],
    [three, 'c'],
  ] as const)
    enter(of, run)
  two.leave('b')
  one.close()
  await until('c')
})

test("a killed process's place becomes free after its remains are ended", async (t) => {
  const swept = Promise.withResolvers<void>()
  let sweeps = 0
  const { folder, gate, enter, started, until } = gates(t, () => {
    sweeps++
    return swept.promise
  })
  const one = gate()
  enter(one, 'a')
  const [name] = readdirSync(folder)
  const file = join(folder, name!)
  const dead = spawnSync('true').pid
  const group = JSON.parse(readFileSync(file, 'utf8'))
  const [mine] = group.places
  // A process with the number of an ended process is a different process.
  const places = [
    { ...mine, run_id: 'gone', pid: dead },
    { ...mine, run_id: 'reused', started: 'of another boot 1' },
  ]
  writeFileSync(file, JSON.stringify({ ...group, places }))
  const two = gate()
  assert.equal(enter(two, 'b')?.inside, 2)
  while (sweeps === 0) await sleep(10)
  assert.deepEqual(started, [])
  swept.resolve()
  await until('b')
})

test('a run whose group was removed or damaged still waits for its turn', async (t) => {
  const { folder, gate, enter, until } = gates(t)
  const [one, two] = [gate(), gate()]
  enter(one, 'a')
  enter(two, 'b')
  const [name] = readdirSync(folder)
  writeFileSync(join(folder, name!), '{"pla')
  await until('b')
})
