import assert from 'node:assert/strict'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { eventually } from '../support/errand-command.ts'
import { BEFORE_BOXES, lastRelease } from '../support/last-release.ts'
import { type Programs, type ProgramsOptions, startPrograms, workflowText } from '../support/programs.ts'
import {
  numbered,
  numberedLines,
  outputHash,
  readIfThere,
  sha256,
  textOf,
  wholeLog,
} from '../support/programs-output.ts'

const { skip, within } = lastRelease()
for (const [what, which] of [
  ['a runner of the last release at this hub', { runnerWithin: within }],
  ['this runner at a hub of the last release', { hubWithin: within }],
] as const)
  test(`${what}: steps, output and a retry arrive whole, across a restart of both`, { skip }, async (t) => {
    const programs = await startPrograms(t, which)
    const { client, home } = programs
    const go = join(home, 'go')
    const lines = 'i=1; while [ $i -le 3000 ]; do echo "line $i"; i=$((i+1)); done'
    const retry = { max_attempts: 2, backoff: { delay_seconds: 0 } }
    const steps = [
      { name: 'print', cmd: lines },
      { name: 'again', cmd: 'echo "try $ERRAND_TRY" >&2; [ "$ERRAND_TRY" = 2 ]', retry },
      {
        name: 'wait',
        cmd: `echo begun | tee "${home}/begun"; while [ ! -e "${go}" ]; do sleep 0.02; done; ${lines}`,
      },
      { name: 'write', action: 'vars.set', args: { vars: { A: 'b' } } },
    ]
    const { run_id } = await client.runs.create({ yaml: workflowText(steps) })
    const other = await client.runs.create({ yaml: workflowText([{ name: 'long', cmd: 'sleep 100000' }]) })
    await eventually('the last step', () => existsSync(join(home, 'begun')))
    // Both come back and compare their data.
    await programs.kill('runner', 'hub')
    await programs.startHub()
    await programs.startRunner()
    await programs.runner!.until('Connected to the hub')
    writeFileSync(go, '')
    const run = await programs.ended(run_id)
    assert.equal(run.status, 'success', JSON.stringify(run))
    await client.runs.cancel(other.run_id)
    assert.equal((await programs.ended(other.run_id)).status, 'canceled')

    const events = await wholeLog(client, run_id)
    const printed = Array.from({ length: 3000 }, (_, index) => `line ${index + 1}\n`).join('')
    assert.equal((await outputHash(client, run_id, 1)).sha256, sha256(printed))
    assert.equal(textOf(events, 1), printed)
    assert.equal(textOf(events, 4), `begun\n${printed}`)
    assert.deepEqual(
      run.steps[1]!.instances[0]!.attempts.map(({ outcome }) => outcome),
      ['failed', 'success'],
    )
    const printedByBoth = `${programs.hub.printed.stderr}${programs.runner!.printed.stderr}`
    assert.doesNotMatch(printedByBoth, /left aside|frames that|are ignored|no frame|not a frame|refused/)
  })

const COUNT = 400
const SECRET = 'k7#Vq-of-the-hub-9$Zt'
const CREDENTIAL = 'c0-of-the-file-#4$xY'

/** Returns a command that shows a variable, which is masked, and its hash, which is not. */
const show = (variable: string) => `echo "${variable} is $${variable}"; printf %s "$${variable}" | sha256sum`
const shown = (variable: string, value: string) => `${variable} is ***\n${sha256(value)}  -\n`

const countTo = (last: number) => `i=1; while [ $i -le ${last} ]; do echo "line $i"; i=$((i+1)); done`

/**
 * Creates a run that has ended, and one for each way of being open. The runner has two slots. Resolves when they have
 * got that far.
 */
async function makeRuns({ client, home, ended }: Programs) {
  const marks = ['counts', 'knows'].map((name) => join(home, name))
  const [counts, knows] = marks as [string, string]
  const create = (run_id: string, ...flow: Parameters<typeof workflowText>) =>
    client.runs.create({ run_id, yaml: workflowText(...flow) })
  await client.secrets.set('DEPLOY', { value: SECRET })
  await create('ended', [{ name: 'count', cmd: countTo(COUNT) }])
  await ended('ended')
  await create('counts', [
    { name: 'count', cmd: numberedLines(counts, COUNT) },
    { name: 'after', cmd: 'echo after' },
  ])
  const secrets = { FROM_HUB: 'DEPLOY' }
  const wait = `echo x >>"${knows}"; while [ ! -e "${knows}.go" ]; do sleep 0.02; done`
  await create(
    'knows',
    [
      { name: 'before', secrets, cmd: `${show('FROM_HUB')}; ${show('API_TOKEN')}` },
      { name: 'during', secrets, cmd: `${show('FROM_HUB')}; ${wait}; ${show('FROM_HUB')}` },
      { name: 'after', secrets, cmd: `${show('FROM_HUB')}; ${show('API_TOKEN')}` },
    ],
    { env: { API_TOKEN: CREDENTIAL } },
  )
  await create('asks', [
    { name: 'ask', action: 'approval.wait', args: { message: 'Go on?' } },
    { name: 'after', cmd: 'echo after' },
  ])
  await eventually('the commands', () => marks.every((mark) => existsSync(mark)))
  await create('waits', [{ name: 'late', cmd: 'echo late' }])
  await eventually('why it waits', async () => (await client.runs.get('waits')).waiting !== undefined)
  await eventually('the first half of the output', async () => {
    const [step] = (await client.runs.get('counts')).steps
    return (step!.instances[0]!.attempts[0]!.streams?.stdout?.length ?? 0) > 0
  })
  return marks
}

/** Lets the runs of `makeRuns` continue, and checks how each has ended. */
async function assertAllEndRight({ client, ended }: Programs, marks: readonly string[]): Promise<void> {
  for (const mark of marks) writeFileSync(`${mark}.go`, '')
  await client.runs.approve('asks', { step: 'ask' })
  const texts: Record<string, readonly (readonly [attempt: number, text: string])[]> = {
    ended: [[1, numbered(COUNT)]],
    counts: [
      [1, numbered(COUNT)],
      [2, 'after\n'],
    ],
    knows: [
      [1, shown('FROM_HUB', SECRET) + shown('API_TOKEN', CREDENTIAL)],
      [2, shown('FROM_HUB', SECRET).repeat(2)],
      [3, shown('FROM_HUB', SECRET) + shown('API_TOKEN', CREDENTIAL)],
    ],
    asks: [[1, 'after\n']],
    waits: [[1, 'late\n']],
  }
  for (const [runId, attempts] of Object.entries(texts)) {
    const run = await ended(runId)
    assert.equal(run.status, 'success', JSON.stringify(run))
    const log = await wholeLog(client, runId)
    for (const [attempt, text] of attempts) {
      assert.equal(textOf(log, attempt), text, `${runId}.${attempt}`)
      assert.equal((await outputHash(client, runId, attempt)).sha256, sha256(text), `${runId}.${attempt}`)
    }
    assert.equal(log.filter(({ type }) => type === 'attempt.created').length, attempts.length, runId)
    assert.doesNotMatch(JSON.stringify(log), /of-the-hub|of-the-file/)
  }
  for (const mark of marks) assert.equal(readIfThere(mark), 'x\n', 'the command started once')
}

test('this release continues the open runs of the last one, after kill -9 of its hub and runner', {
  skip,
}, async (t) => {
  const which: ProgramsOptions = { hubWithin: within, runnerWithin: within, slots: 2 }
  const programs = await startPrograms(t, which)
  const marks = await makeRuns(programs)
  await programs.kill('hub', 'runner')
  which.hubWithin = undefined
  which.runnerWithin = undefined
  await programs.startHub()
  await programs.startRunner()
  await assertAllEndRight(programs, marks)
})

test('a runner of this release continues the work of one of the last release, at a hub of the last release', {
  skip,
}, async (t) => {
  const which: ProgramsOptions = { hubWithin: within, runnerWithin: within, slots: 2 }
  const programs = await startPrograms(t, which)
  const marks = await makeRuns(programs)
  await programs.kill('runner')
  which.runnerWithin = undefined
  await programs.startRunner()
  await assertAllEndRight(programs, marks)
})

const old = lastRelease(BEFORE_BOXES)

test('a runner from before boxes gets no steps that require a box, because it would run them without one', {
  skip: old.skip,
}, async (t) => {
  const { client } = await startPrograms(t, { runnerWithin: old.within })
  const yaml = workflowText([{ name: 'one', cmd: 'echo hi' }])
  for (const box of [{ isolation: 'sandbox' }, { network: 'models' }] as const) {
    const { run_id } = await client.runs.create({ yaml, ...box })
    assert.equal(
      (await client.runs.get(run_id)).waiting,
      'no runner in group "default" can provide a sandbox: runner "apart": its version of Errand provides none',
    )
  }
})

test('a hub from before boxes refuses a request for a box, which it does not know', {
  skip: old.skip,
}, async (t) => {
  const { client, call, home } = await startPrograms(t, { hubWithin: old.within })
  const file = join(home, 'flow.yaml')
  writeFileSync(file, workflowText([{ name: 'one', cmd: 'echo hi' }]))
  for (const options of [
    ['--isolation', 'sandbox'],
    ['--network', 'none'],
  ]) {
    const { code, stderr } = await call('run', '--hub', file, ...options)
    assert.equal(code, 2)
    assert.match(stderr, /isolation|network/)
  }
  assert.deepEqual((await client.runs.list()).runs, [])
})
