import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import type { RunEvent } from '../../src/contract/events.ts'
import { eventually } from '../support/errand-command.ts'
import { type Programs, startPrograms, workflowText } from '../support/programs.ts'
import { numbered } from '../support/programs-output.ts'

const LINES = 120

/** Ends a program as a service manager does. */
async function stop(programs: Programs, which: 'hub' | 'runner'): Promise<void> {
  const { child, finished } = programs[which]!
  child.kill('SIGTERM')
  const { code, stderr } = await finished
  assert.equal(code, 0, stderr)
}

/** Returns two steps of numbered lines, which note each time that one begins. */
const lines = (home: string, name: string): string => {
  const loop = `i=1; while [ $i -le ${LINES} ]; do echo "line $i"; i=$((i+1)); sleep 0.02; done`
  const step = (n: number) => ({ name: `part${n}`, cmd: `echo x >> ${home}/begun-${name}-${n}; ${loop}` })
  return workflowText([step(1), step(2)])
}

test('hub and runner are restarted, alone and together, and no run and no reader notices', async (t) => {
  const programs = await startPrograms(t)
  const { home, client } = programs
  const ids = ['a', 'b', 'c', 'd']
  const readers = ids.map(async (name) => {
    const { run_id } = await client.runs.create({ yaml: lines(home, name) })
    const events: RunEvent[] = []
    for await (const event of client.events(run_id, { reached: true })) events.push(event)
    return { name, run_id, events }
  })
  await eventually(
    'the start of everything',
    async () => (await client.runs.list({ status: 'running' })).runs.length === 4,
  )

  await stop(programs, 'hub')
  await programs.startHub()
  await stop(programs, 'runner')
  await programs.startRunner()
  await Promise.all([stop(programs, 'hub'), stop(programs, 'runner')])
  await programs.startRunner()
  await programs.startHub()

  for (const { name, run_id, events } of await Promise.all(readers)) {
    assert.deepEqual(
      events.map(({ seq }) => seq),
      events.map((_, index) => index + 1),
      'each event once and in order',
    )
    const last = events.at(-1)!
    assert.deepEqual([last.type, 'status' in last && last.status], ['run.finished', 'success'], run_id)
    for (const attempt of [1, 2]) {
      const text = events.map((e) => (e.type === 'output' && e.attempt === attempt ? e.text : '')).join('')
      assert.equal(text, numbered(LINES))
      assert.equal(readFileSync(join(home, `begun-${name}-${attempt}`), 'utf8'), 'x\n')
    }
  }
})

/** Starts a server that answers a request when told to. */
async function slowServer(t: TestContext) {
  const { promise: isRequested, resolve: onRequest } = Promise.withResolvers<void>()
  const { promise: answered, resolve: answer } = Promise.withResolvers<void>()
  const server = createServer((_, response) => {
    onRequest()
    void answered.then(() => response.end('done'))
  }).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  t.after(() => server.close())
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, asked: isRequested, answer }
}

test('a runner that is asked to stop finishes the current request', async (t) => {
  const programs = await startPrograms(t)
  const server = await slowServer(t)
  const yaml = workflowText([{ name: 'ask', action: 'http.request', args: { url: server.url } }])
  const { run_id } = await programs.client.runs.create({ yaml })
  await server.asked
  const runner = programs.runner!
  runner.child.kill('SIGTERM')
  const draining = async () => (await programs.client.runners.list())[0]?.status === 'draining'
  await eventually('the runner to accept nothing new', draining)
  server.answer()
  assert.equal((await programs.ended(run_id)).status, 'success')
  assert.equal((await runner.finished).code, 0)
})

test('a run waits for the restarted runner that has its files, also across a hub restart, with another free', async (t) => {
  const programs = await startPrograms(t)
  const { client, home, data, errand, url } = programs
  const yaml = workflowText([
    { name: 'write', cmd: 'echo kept > file' },
    { name: 'ask', action: 'approval.wait', needs: ['write'] },
    { name: 'read', cmd: 'cat file', needs: ['ask'] },
  ])
  const { run_id } = await client.runs.create({ yaml })
  const step = async (name: string) =>
    (await client.runs.get(run_id)).steps.find((each) => each.step === name)
  await eventually('the question', async () => (await step('ask'))?.status === 'waiting')

  const token = readFileSync(join(data, 'runner-token'), 'utf8').trim()
  const startOther = async () => {
    const other = errand.start(['runner', '--id', 'other', '--workspace', join(home, 'other')], {
      env: { ERRAND_HUB_URL: url, ERRAND_TOKEN: token },
    })
    await other.until('Connected to the hub')
    return other
  }
  const other = await startOther()
  await stop(programs, 'runner')
  await client.runs.approve(run_id, { step: 'ask' })
  const away = async () =>
    (await step('read'))?.waiting === 'runner "apart", which has the files of this run, is not connected'
  await eventually('the wait for the runner', away)

  other.child.kill('SIGTERM')
  await other.finished
  await stop(programs, 'hub')
  await programs.startHub()
  await startOther()
  await eventually('the wait for the runner at the new hub', away)
  await programs.startRunner()
  assert.equal((await programs.ended(run_id)).status, 'success')
})

test('Ctrl-C while the hub is away cancels the run when it is back', async (t) => {
  const programs = await startPrograms(t)
  const file = join(programs.home, 'flow.yaml')
  writeFileSync(file, workflowText([{ name: 'long', cmd: 'echo begun; sleep 100000' }]))
  const run = programs.errand.start(['run', '--hub', file], { env: programs.env })
  await run.until('| begun')
  await stop(programs, 'hub')
  run.child.kill('SIGINT')
  await run.until('Canceling.')
  await programs.startHub()
  assert.equal((await run.finished).code, 3)
})
