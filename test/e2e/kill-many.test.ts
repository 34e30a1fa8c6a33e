import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { eventually } from '../support/errand-command.ts'
import { type Programs, startPrograms, workflowText } from '../support/programs.ts'
import {
  numbered,
  numberedLines,
  outputHash,
  readIfThere,
  sha256,
  textOf,
  wholeLog,
} from '../support/programs-output.ts'
import { seeded } from '../support/seeded.ts'

async function killAndStart(programs: Programs, which: ('hub' | 'runner')[]): Promise<void> {
  await programs.kill(...which)
  for (const name of which) await (name === 'hub' ? programs.startHub() : programs.startRunner())
}

test('after kills in the middle of many quick steps, each step ran once, in order', async (t) => {
  const random = seeded()
  const programs = await startPrograms(t)
  const mark = join(programs.home, 'began')
  const names = Array.from({ length: 150 }, (_, index) => `s${index}`)
  const steps = names.map((name) => ({ name, cmd: `echo ${name} >>"${mark}"; echo said ${name}` }))
  const { run_id } = await programs.client.runs.create({ yaml: workflowText(steps) })
  for (const which of [['hub'], ['runner'], ['hub', 'runner'], ['runner'], ['hub']] as const) {
    const before = readIfThere(mark).length
    await eventually('some more steps', () => readIfThere(mark).length > before + 40)
    // Sleeps: a random time, because the kill or the fault must be able to hit any point.
    await sleep(random.between(0, 60))
    await killAndStart(programs, [...which])
  }
  const run = await programs.ended(run_id)
  assert.equal(run.status, 'success', JSON.stringify(run))
  assert.equal(readIfThere(mark), names.map((name) => `${name}\n`).join(''))
  const events = await wholeLog(programs.client, run_id)
  assert.equal(
    names.map((_, index) => textOf(events, index + 1)).join(''),
    names.map((name) => `said ${name}\n`).join(''),
  )
})

test('after kills with twenty runs at once, each has every line once, and each command started once', async (t) => {
  const random = seeded()
  const programs = await startPrograms(t)
  const marks = Array.from({ length: 20 }, (_, index) => join(programs.home, `mark-${index}`))
  const ids: string[] = []
  for (const [index, mark] of marks.entries()) {
    const yaml = workflowText([{ name: 'count', cmd: numberedLines(mark, 200) }])
    const run = await programs.client.runs.create({ yaml, run_id: `run-${index}` })
    ids.push(run.run_id)
    if (index === 5) await killAndStart(programs, ['runner'])
    if (index === 12) await killAndStart(programs, ['hub'])
  }
  await eventually('one that has started', () => marks.some((mark) => readIfThere(mark) !== ''))
  // Sleeps: a random time, because the kill or the fault must be able to hit any point.
  await sleep(random.between(0, 100))
  await killAndStart(programs, ['hub', 'runner'])
  for (const mark of marks) writeFileSync(`${mark}.go`, '')
  // Sleeps: a random time, because the kill or the fault must be able to hit any point.
  await sleep(random.between(0, 200))
  await killAndStart(programs, ['hub'])
  for (const [index, id] of ids.entries()) {
    assert.equal((await programs.ended(id)).status, 'success')
    assert.equal(readIfThere(marks[index]!), 'x\n', id)
    assert.equal((await outputHash(programs.client, id, 1)).sha256, sha256(numbered(200)), id)
    await wholeLog(programs.client, id)
  }
})

test('runs that wait for a person, a retry, a sub-workflow or their turn still wait after a kill', async (t) => {
  const programs = await startPrograms(t)
  const { client, home } = programs
  const at = (name: string): string => join(home, name)
  const wait = (name: string): string =>
    `echo x >>"${at(name)}"; while [ ! -e "${at(name)}.go" ]; do sleep 0.02; done`
  await client.runs.create({
    run_id: 'approval',
    yaml: workflowText([
      { name: 'before', cmd: `echo x >>"${at('before')}"` },
      { name: 'ask', action: 'approval.wait' },
      { name: 'after', cmd: 'echo after' },
    ]),
  })
  const backoff = { delay_seconds: 4, factor: 1 }
  await client.runs.create({
    run_id: 'retry',
    yaml: workflowText([
      {
        name: 'flaky',
        cmd: `echo x >>"${at('tries')}"; [ "$ERRAND_TRY" = 2 ]`,
        retry: { max_attempts: 2, backoff },
      },
    ]),
  })
  const child = JSON.parse(workflowText([{ name: 'inner', cmd: wait('inner') }]))
  await client.runs.create({
    run_id: 'parent',
    yaml: workflowText([
      { name: 'sub', action: 'workflow.run', args: { workflow: child } },
      { name: 'after', cmd: 'echo after' },
    ]),
  })
  for (const name of ['first', 'second', 'third']) {
    await client.runs.create({
      run_id: name,
      yaml: workflowText([{ name: 'one', cmd: wait(name) }], { concurrency: { group: 'g' } }),
    })
  }
  const stepOf = async (id: string, step: string) =>
    (await client.runs.get(id)).steps.find((one) => one.step === step)
  await eventually('the question', async () => (await stepOf('approval', 'ask'))?.approval)
  await eventually('the first try', async () => (await stepOf('retry', 'flaky'))?.status === 'waiting')
  await eventually(
    'the sub-workflow and the first of the queue',
    () => readIfThere(at('inner')) && readIfThere(at('first')),
  )

  for (const which of [['hub'], ['runner'], ['hub', 'runner']] as const)
    await killAndStart(programs, [...which])

  await client.runs.approve('approval', { step: 'ask' })
  for (const name of ['inner', 'first', 'second', 'third']) writeFileSync(`${at(name)}.go`, '')
  for (const id of ['approval', 'retry', 'parent', 'first', 'second', 'third']) {
    const run = await programs.ended(id)
    assert.equal(run.status, 'success', JSON.stringify(run))
    await wholeLog(client, id)
  }
  for (const name of ['before', 'inner', 'first', 'second', 'third'])
    assert.equal(readIfThere(at(name)), 'x\n', name)
  assert.equal(readIfThere(at('tries')), 'x\nx\n')
  const startedAt = async (id: string): Promise<string> => (await client.runs.get(id)).started_at!
  const endedAt = async (id: string): Promise<string> => (await client.runs.get(id)).finished_at!
  assert.ok((await endedAt('first')) <= (await startedAt('second')), 'one after another')
  assert.ok((await endedAt('second')) <= (await startedAt('third')), 'one after another')
})
