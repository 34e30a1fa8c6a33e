import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inventory, scriptedEngine, step, until } from '../../../test/support/scripted-engine.ts'
import type { AgentUpdate } from '../../contract/agent.ts'
import type { RunListRow } from '../../contract/run.ts'
import { runSummary } from './view.ts'

test('a row says which step runs, who is asked what, and how the run ended, with a stop for each step', async (t) => {
  const { engine, submit, store } = scriptedEngine(t)
  const ask = step('ask', { action: 'approval.wait', args: { message: `Go on? ${'x'.repeat(500)}` } })
  const id = await submit([step('one'), ask, step('three', { when: 'false' }), step('four')])
  const row = async (): Promise<RunListRow> => runSummary((await store.get(id))!)
  await until(async () => (await row()).now?.question !== undefined)
  const { route, now } = await row()
  assert.deepEqual(route, { stops: 'dqaa' })
  assert.deepEqual([now!.step, now!.question!.kind, now!.question!.step], ['ask', 'approval', 'ask'])
  assert.equal(now!.question!.text.length, 200)
  await engine.answer(id, { step: 'ask', decision: 'approve', by: 'ann' })
  await engine.done(id)
  assert.deepEqual(await row().then(({ route, now }) => [route, now]), [{ stops: 'ddkd' }, undefined])
})

test('an on-demand step has a stop only if it runs', async (t) => {
  const { play } = scriptedEngine(t)
  const idle = step('idle', { on_demand: true, when: 'false' })
  const needed = step('needed', { on_demand: true })
  assert.deepEqual((await play([step('one'), idle, needed])).route, { stops: 'dd' })
  const far = Array.from({ length: 20 }, (_, index) => ({ ...idle, name: `idle${index}` }))
  assert.deepEqual((await play([step('one'), ...far])).route, { stops: 'd' })
})

test('a row keeps the first failure of a run', async (t) => {
  const { play } = scriptedEngine(t, ({ step, host }) =>
    step === 'two' && host === 'y'
      ? {
          outcome: 'failed',
          reason: 'exit_code',
          exit_code: 3,
          message: 'm'.repeat(300),
          last_error_line: 'gone',
        }
      : 'success',
  )
  const two = step('two', { targets: ['x', 'y'] })
  const { route, now } = await play([step('one'), two, step('three')], inventory('x', 'y'))
  assert.deepEqual(route, { stops: 'dfk' })
  assert.deepEqual(
    [now!.step, now!.question, now!.failure!.step, now!.failure!.host],
    [undefined, undefined, 'two', 'y'],
  )
  const { reason, exit_code, last_error_line } = now!.failure!
  assert.deepEqual([reason, exit_code, last_error_line], ['exit_code', 3, 'gone'])
  assert.equal(now!.failure!.message.length, 200)
  assert.ok(Buffer.byteLength(JSON.stringify({ route, now })) < 1024)
})

test('many steps are counted, and so are many instances of one step', async (t) => {
  const { play } = scriptedEngine(t, ({ env }) =>
    env.N === '3' ? { outcome: 'failed', reason: 'exit_code' } : 'success',
  )
  const names = Array.from({ length: 14 }, (_, index) => step(`s${index}`))
  assert.deepEqual((await play(names)).route, { counts: { succeeded: 14 } })
  const many = step('many', { matrix: { N: Array.from({ length: 20 }, (_, index) => index) } })
  assert.deepEqual((await play([many])).route, { counts: { succeeded: 19, failed: 1 } })
  const [before, after] = [step('before'), step('after')]
  assert.deepEqual((await play([before, many, after])).route, {
    counts: { succeeded: 20, failed: 1, skipped: 1 },
  })
})

test('a row shows the progress of the instances of the running step', async (t) => {
  const { submit, store, host } = scriptedEngine(t, ({ env }) =>
    env.N === '3' ? { outcome: 'failed', reason: 'exit_code' } : env.N === '4' ? 'hold' : 'success',
  )
  const N = Array.from({ length: 20 }, (_, index) => index)
  const id = await submit([step('one'), step('many', { matrix: { N } }), step('last')])
  const row = async () => runSummary((await store.get(id))!)
  await until(async () => (await row()).now?.instances?.done === 18)
  assert.deepEqual((await row()).now!.instances, { done: 18, failed: 1, all: 20 })
  assert.deepEqual((await row()).route, { counts: { succeeded: 19, failed: 1, running: 1, ahead: 1 } })
  assert.ok(host.of('many'))
})

test('a question of an agent has its command, and its id if nothing of the command is left out', async (t) => {
  const { submit, store, host } = scriptedEngine(t, () => 'hold')
  const id = await submit([step('talk', { action: 'agent.run', args: { prompt: 'x' } })])
  const { sink } = host.of('talk')
  let seq = 0
  const questionOf = async (of: object) => {
    const request_id = `q${++seq}`
    const update = { kind: 'permission', request_id, title: 'npm test', tool_kind: 'execute', ...of }
    await sink.report({ type: 'update', update: update as AgentUpdate }, seq)
    const { now } = runSummary((await store.get(id))!)
    await sink.report(
      { type: 'update', update: { kind: 'permission_answered', request_id, decision: 'deny', by: 'rule' } },
      ++seq,
    )
    const { kind, step, host: _, ...question } = now!.question!
    assert.deepEqual([kind, step], ['agent', 'talk'])
    return question
  }
  const input = (value: object) => ({ input: JSON.stringify(value) })
  const test = input({ command: 'npm test' })
  const all = (request_id: string) => ({ text: 'npm test', request_id, attempt: 1 })
  assert.deepEqual(await questionOf({ ...test, expires_at: 'T' }), { ...all('q1'), expires_at: 'T' })
  assert.deepEqual(await questionOf({ ...test, paths: ['/w/runs/run_1a'] }), all('q3'))
  assert.deepEqual(await questionOf({ ...test, paths: ['/w/shop'] }), { ...all('q5'), folder: '/w/shop' })
  const title = input({ command: 'npm test', description: 'Run the tests' })
  assert.deepEqual(await questionOf({ ...title, title: 'Run the tests' }), all('q7'))
  // A field left out here must be read before the request can be allowed.
  const bare = { text: 'npm test' }
  assert.deepEqual(await questionOf(input({ command: 'npm test', sandbox: false })), bare)
  assert.deepEqual(await questionOf({ ...test, title: 'npm test (outside of the sandbox)' }), bare)
  assert.deepEqual(await questionOf({ ...test, paths: ['/a', '/b'] }), bare)
  const long = await questionOf({ ...input({ command: 'x'.repeat(201) }), title: 'x'.repeat(201) })
  assert.deepEqual([long.text.length, long.request_id], [200, undefined])
  assert.deepEqual(await questionOf({ title: 'Write a.ts', input: '{"content":"…' }), { text: 'Write a.ts' })
  assert.deepEqual(await questionOf({ title: '' }), { text: 'The agent asks for permission.' })
})

test('a step runs, or waits for room', async (t) => {
  const { submit, store, host } = scriptedEngine(t, () => 'hold')
  const row = async (id: string) => runSummary((await store.get(id))!)
  const machine = step('one', { action: 'cmd.run', args: { cmd: 'x' } })
  const id = await submit([machine, step('two')])
  const stops = (id: string, expected: string) => until(async () => (await row(id)).route?.stops === expected)
  await stops(id, 'ra')
  assert.deepEqual((await row(id)).now, { step: 'one', host: 'local' })
  host.full = () => 'no room'
  await stops(await submit([machine, step('two')]), 'wa')
})

test('a row shows the latest session, with its last words once they are complete', async (t) => {
  const { submit, store, host } = scriptedEngine(t, () => 'hold')
  const id = await submit([step('talk', { action: 'agent.run', args: { prompt: 'x' } })])
  const { sink } = host.of('talk')
  const row = async () => runSummary((await store.get(id))!).session
  let seq = 0
  const report = (update: AgentUpdate) => sink.report({ type: 'update', update }, ++seq)
  await report({ kind: 'message', text: 'of no session' })
  assert.equal(await row(), undefined)
  await report({ kind: 'session', agent: 'acp', model: 'm', origin: 'new' })
  await report({ kind: 'message', text: '\n First\n' })
  await report({ kind: 'message', text: `words ${'x'.repeat(900)}` })
  assert.deepEqual(await row(), { agent: 'acp', model: 'm' })
  const used = { input_tokens: 1, cached_input_tokens: 20, output_tokens: 300, cost_usd: 0.5 }
  await report({ kind: 'usage', turn: used, session: used })
  const { last_words, ...rest } = (await row())!
  assert.deepEqual(rest, { agent: 'acp', model: 'm', tokens: 321, cost_usd: 0.5 })
  assert.match(last_words!, /^First words x+…$/)
  assert.equal(last_words!.length, 200)
  await report({ kind: 'message', text: 'Second.' })
  await report({ kind: 'turn_ended', stop_reason: 'end_turn' })
  assert.equal((await row())!.last_words, 'Second.')
})

test('a row says where else a person is asked, and each answer goes to the agent that asked', async (t) => {
  const { engine, submit, store, host, events } = scriptedEngine(t, () => 'hold')
  const items = ['a', 'b', 'c', 'd', 'e', 'f']
  const id = await submit([step('mend', { action: 'agent.run', foreach: items, args: { prompt: 'x' } })])
  await until(async () => host.held.size === items.length)
  const row = async () => runSummary((await store.get(id))!).now!
  // Each agent numbers its questions on its own.
  const question: AgentUpdate = { kind: 'permission', request_id: '1.call', title: 'a command' }
  for (const { sink } of [...host.held.values()].slice(1))
    await sink.report({ type: 'update', update: question }, 1)
  const place = (instance: number) => ({ kind: 'agent' as const, step: 'mend', host: 'local', instance })
  assert.deepEqual((await row()).question, { ...place(1), text: 'a command' })
  assert.deepEqual((await row()).asked_too, { count: 4, places: [2, 3, 4].map(place) })
  const shown = (await engine.view(id))!.steps[0]!.instances.map(({ asks }) => asks)
  assert.deepEqual(shown, [undefined, true, true, true, true, true])
  const allow = { type: 'permission', request_id: '1.call', decision: 'allow' } as const
  await engine.input(id, allow, { attempt: 4 })
  const inputs = (await events(id)).flatMap((event) => (event.type === 'input.given' ? [event.attempt] : []))
  assert.deepEqual(inputs, [4])
  assert.deepEqual((await row()).asked_too, { count: 3, places: [2, 4, 5].map(place) })
})
