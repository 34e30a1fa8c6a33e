import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { eventually, type Started } from '../support/errand-command.ts'
import {
  freePort,
  type Programs,
  processesOf,
  type Step,
  startPrograms,
  writeWorkflow,
} from '../support/programs.ts'

type Way = 'run' | 'dispatch' | 'run --hub'
const ways: Way[] = ['run', 'dispatch', 'run --hub']

/**
 * A text in the command line of every process that a step starts, and of no other test's, so that they can be found.
 */
const MARK = `98765.${randomInt(10 ** 9, 10 ** 10)}`
/** A tree of processes: a child, one in a session of its own, and one whose parent has ended. */
const TREE = `sleep ${MARK} & setsid sleep ${MARK} & (sleep ${MARK} &) ; echo begun; sleep ${MARK}`
/** Receives the signals and ignores them. */
const STUBBORN = `trap '' TERM INT HUP; echo begun; while :; do sleep 0.1; : ${MARK}; done`

interface Fixture extends Programs {
  begin(way: Way, steps: Step[], more?: Record<string, unknown>): Promise<Started>
  /** Returns the status of the run that was started last, if it is on the hub. */
  hubStatus(): Promise<string | undefined>
}

/** Starts a hub with its runner and an agent server, both unknown to the other tests. */
async function place(t: TestContext): Promise<Fixture> {
  const programs = await startPrograms(t, { runner: 'own' })
  const { errand, home, env, client } = programs
  const address = `127.0.0.1:${await freePort()}`
  await errand.start(['agent-server', '--addr', address, '--token', 'T']).until('Agent server on')
  let count = 0
  return {
    ...programs,
    async begin(way, steps, more) {
      count++
      const inventory = { hosts: { local: { address: `http://${address}` } } }
      const file = writeWorkflow(join(home, `flow-${count}.yaml`), steps, { inventory, ...more })
      const words = way === 'dispatch' ? ['dispatch', '--token', 'T'] : way.split(' ')
      return errand.start([...words, '--run-id', `run-${count}`, file], { env })
    },
    hubStatus: async () => (await client.runs.get(`run-${count}`)).status,
  }
}

const noneLeft = (): Promise<boolean> =>
  eventually('the end of all processes', () => processesOf(MARK).length === 0)

test('SIGINT, SIGTERM and SIGHUP cancel: the final steps run, no process is left, the exit code is 3', async (t) => {
  const here = await place(t)
  const finale = { finally: [{ name: 'last', action: 'cmd.run', args: { cmd: 'echo cleaned' } }] }
  for (const way of ways) {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      const run = await here.begin(
        way,
        [
          { name: 'one', cmd: TREE },
          { name: 'two', cmd: 'echo never' },
        ],
        finale,
      )
      await run.until('local | begun')
      run.child.kill(signal)
      const { code, stdout, stderr } = await run.finished
      assert.equal(code, 3, `${way} ${signal}: ${stdout}\n${stderr}`)
      assert.match(stdout, /local \| cleaned\n/)
      assert.match(stdout, /\none +local +canceled/)
      assert.match(stdout, /\ncanceled in /)
      assert.doesNotMatch(stdout, /never/)
      assert.deepEqual(processesOf(MARK), [], `${way} ${signal}`)
      if (way === 'run --hub') assert.equal(await here.hubStatus(), 'canceled')
    }
  }
})

test('a second Ctrl-C ends steps that do not end, including the finally steps', async (t) => {
  const here = await place(t)
  for (const way of ways) {
    const more = { finally: [{ name: 'last', action: 'cmd.run', args: { cmd: STUBBORN } }] }
    const run = await here.begin(way, [{ name: 'one', cmd: STUBBORN }], more)
    await run.until('local | begun')
    run.child.kill('SIGINT')
    await run.until('Canceling. Press Ctrl-C again to kill everything now.')
    run.child.kill('SIGINT')
    const { code, stdout, stderr } = await run.finished
    assert.equal(code, 3, `${way}: ${stdout}\n${stderr}`)
    assert.deepEqual(processesOf(MARK), [], way)
    if (way === 'run --hub') assert.equal(await here.hubStatus(), 'canceled')
  }
})

test('a reader that closes the pipe cancels the run quietly', async (t) => {
  const here = await place(t)
  for (const way of ways) {
    const run = await here.begin(way, [{ name: 'one', cmd: `while :; do echo line; : ${MARK}; done` }])
    await run.until('local | line')
    run.child.stdout.destroy()
    const { code, stderr } = await run.finished
    assert.equal(code, 3, way)
    assert.equal(stderr, '', way)
    await noneLeft()
    if (way === 'run --hub') assert.equal(await here.hubStatus(), 'canceled')
  }
})

test('Ctrl-C also cancels what has not started: an approval, a retry, a place in the queue', async (t) => {
  const here = await place(t)
  const waiting: [string, Step[], string][] = [
    ['an approval', [{ name: 'ask', action: 'approval.wait', args: { timeout_seconds: 3600 } }], '? ask'],
    [
      'a retry',
      [
        {
          name: 'one',
          cmd: 'exit 1',
          retry: { max_attempts: 2, backoff: { delay_seconds: 3600, max_delay_seconds: 3600 } },
        },
      ],
      'retrying in',
    ],
  ]
  for (const [what, steps, text] of waiting) {
    // An approval that nobody can answer is refused when there is no hub.
    for (const way of what === 'an approval' ? (['run --hub'] as const) : ways) {
      const run = await here.begin(way, steps)
      await run.until(text)
      run.child.kill('SIGINT')
      assert.equal((await run.finished).code, 3, `${what}, ${way}`)
    }
  }
  const concurrency = { concurrency: { group: 'one at a time' } }
  const first = await here.begin('run --hub', [{ name: 'one', cmd: TREE }], concurrency)
  await first.until('local | begun')
  const second = await here.begin('run --hub', [{ name: 'one', cmd: 'echo never' }], concurrency)
  await second.until('waiting')
  second.child.kill('SIGINT')
  assert.equal((await second.finished).code, 3)
  assert.equal(await here.hubStatus(), 'canceled')
  first.child.kill('SIGINT')
  assert.equal((await first.finished).code, 3)
  assert.deepEqual(processesOf(MARK), [])
})

test('runs canceled through the API while the command waits end it with 3', async (t) => {
  const here = await place(t)
  const run = await here.begin('run --hub', [{ name: 'one', cmd: TREE }])
  await run.until('local | begun')
  const canceled = await here.call('runs', 'cancel', 'run-1')
  assert.equal(canceled.code, 0, canceled.stderr)
  assert.equal((await run.finished).code, 3)
  assert.deepEqual(processesOf(MARK), [])
})

test('a run continues at the hub when the command that waits for it is killed', async (t) => {
  const here = await place(t)
  const onHub = await here.begin('run --hub', [{ name: 'one', cmd: 'echo begun; sleep 1; echo done' }])
  await onHub.until('local | begun')
  onHub.child.kill('SIGKILL')
  await onHub.finished
  assert.equal((await here.ended('run-1')).status, 'success')
})
