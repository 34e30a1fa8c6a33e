import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { errandCommand, eventually } from '../support/errand-command.ts'
import { endProcessesOf, workflowText } from '../support/programs.ts'

/** Returns runs of one group. Their step notes when it begins and ends, and waits for a file in between. */
function runsOfOneGroup(t: TestContext, limit = 1) {
  const errand = errandCommand(t)
  t.after(() => endProcessesOf(errand.home))
  const file = join(errand.home, 'flow.yaml')
  const log = join(errand.home, 'log')
  writeFileSync(log, '')
  const cmd = `echo "$ME begins" >>${log}; while [ ! -e ${errand.home}/$ME.go ]; do sleep 0.05; done; echo "$ME ends" >>${log}`
  const concurrency = { group: 'deploy ${WHERE}', limit }
  writeFileSync(file, workflowText([{ name: 'work', cmd }], { concurrency, env: { WHERE: 'here' } }))
  return {
    errand,
    begin: (me: string, ...more: string[]) =>
      errand.start(['run', file, '--run-id', `run-${me}`, '--var', `ME=${me}`, ...more]),
    go: (me: string) => writeFileSync(join(errand.home, `${me}.go`), ''),
    log: () => readFileSync(log, 'utf8').trim().split('\n'),
    groups: join(errand.home, '.errand/local/groups'),
  }
}

test('errand run waits for another run of its group, says for which, and continues when that ends', async (t) => {
  const { begin, go, log, groups } = runsOfOneGroup(t)
  const first = begin('a')
  await eventually('the first', () => log().includes('a begins'))
  const second = begin('b')
  await second.until(
    `waiting: concurrency group "deploy here" runs 1 of 1 (run-a of process ${first.child.pid}); next in line`,
  )
  const elsewhere = begin('c', '--var', 'WHERE=there')
  go('c')
  assert.equal((await elsewhere.finished).code, 0)
  const canceled = begin('d')
  await canceled.until('1 ahead in line')
  canceled.child.kill('SIGINT')
  assert.equal((await canceled.finished).code, 3)
  go('a')
  go('b')
  for (const run of [first, second]) assert.equal((await run.finished).code, 0)
  assert.deepEqual(
    log().filter((line) => !line.startsWith('c')),
    ['a begins', 'a ends', 'b begins', 'b ends'],
  )
  assert.equal(existsSync(groups), false)
})

test("a killed command's place is free once its step is ended, and only as many run as the limit says", async (t) => {
  const { begin, go, log, errand } = runsOfOneGroup(t, 2)
  const [first, second] = [begin('a'), begin('b')]
  await eventually('both', () => log().length === 2)
  const third = begin('c')
  await third.until('runs 2 of 2')
  first.child.kill('SIGKILL')
  await first.finished
  await eventually('the third', () => log().includes('c begins'))
  // The leftovers of the killed run were ended before; otherwise they would note their end.
  for (const me of ['a', 'b', 'c']) go(me)
  for (const run of [second, third]) assert.equal((await run.finished).code, 0)
  assert.ok(!log().includes('a ends'), log().join())
  assert.deepEqual(
    readdirSync(errand.home).filter((name) => name === '.errand'),
    [],
  )
})
