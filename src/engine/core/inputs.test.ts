import assert from 'node:assert/strict'
import test from 'node:test'
import { scriptedEngine, step } from '../../../test/support/scripted-engine.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { RunEvent } from '../../contract/events.ts'

const talk = step('talk', { action: 'agent.run', args: { prompt: 'x' } })
const prompt = (input_id: string) => ({ type: 'prompt' as const, input_id, text: `do ${input_id}` })
const fates = (events: RunEvent[]) =>
  events.flatMap((event) =>
    event.type === 'input.passed_on'
      ? [`${event.input_id} in ${event.run_id}`]
      : event.type === 'input.dropped'
        ? [`${event.input_id}: ${event.message}`]
        : [],
  )

test('refuses a prompt for a step that takes none, and names the steps that take prompts', async (t) => {
  const { submit, engine } = scriptedEngine(t, () => 'hold')
  const runId = await submit([step('talk', { action: 'agent.run', args: { prompt: 'x' } })])
  await assert.rejects(engine.input(runId, { type: 'prompt', text: 'a' }, { step: 'walk' }), {
    code: 'no_input',
    message: `No attempt of step "walk" in run ${runId} accepts a prompt now.`,
    hint: 'Accepted by: "talk" on local.',
  })
})

test('prompts that an attempt has not taken when it ends are passed on before its end is recorded', async (t) => {
  const requests: string[][] = []
  const { submit, engine, host, events } = scriptedEngine(t, () => 'hold', {
    passOn: async (runId, inputIds) => {
      requests.push([...inputIds])
      assert.equal(
        (await events(runId)).filter(({ type }) => type === 'input.given').length,
        requests.length + 2,
      )
      // One more prompt comes while the others are passed on.
      await engine.input(runId, prompt('late'))
      return inputIds.map((id) => `run_${id}`)
    },
  })
  const runId = await submit([talk])
  const { sink } = host.of('talk')
  for (const id of ['taken', 'one', 'two']) await engine.input(runId, prompt(id))
  await sink.report({ type: 'input_taken', input_id: 'taken' }, 1)
  await host.end(`${runId}.1`, 'success')
  assert.equal((await engine.done(runId)).status, 'success')
  assert.deepEqual(requests, [
    ['one', 'two'],
    ['one', 'two', 'late'],
  ])
  const log = await events(runId)
  assert.deepEqual(fates(log), ['one in run_one', 'two in run_two', 'late in run_late'])
  const types = log.map(({ type }) => type)
  assert.ok(types.indexOf('input.passed_on') < types.indexOf('attempt.finished'))
})

test('a prompt that is refused, stopped, failed or cannot be passed on is reported as dropped', async (t) => {
  const refusal = new ErrandError('no_input', 'there is no session')
  const cases = [
    [undefined, { outcome: 'success' }, 'a: The session ended before its turn came.'],
    [undefined, { outcome: 'failed', reason: 'model' }, 'a: The session failed before its turn came.'],
    [async () => Promise.reject(refusal), { outcome: 'success' }, 'a: there is no session'],
    [async () => ['run_b'], { outcome: 'canceled' }, 'a in run_b'],
  ] as const
  for (const [passOn, end, fate] of cases) {
    const { submit, engine, host, events } = scriptedEngine(t, () => 'hold', { passOn })
    const runId = await submit([talk])
    await engine.input(runId, prompt('a'))
    await host.end(`${runId}.1`, end)
    await engine.done(runId)
    assert.deepEqual(fates(await events(runId)), [fate])
    const [attempt] = (await engine.view(runId)).steps[0]!.instances[0]!.attempts
    const run_id = fate === 'a in run_b' ? 'run_b' : undefined
    assert.deepEqual(attempt?.late_inputs, [{ input_id: 'a', run_id }])
  }
  const { submit, engine, events } = scriptedEngine(t, () => 'hold', { passOn: async () => ['run_b'] })
  const runId = await submit([talk])
  await engine.input(runId, prompt('a'))
  await engine.cancel(runId)
  await engine.done(runId)
  assert.deepEqual(fates(await events(runId)), ['a: The run was stopped before its turn came.'])
})

test('an end whose prompts cannot be passed on yet is refused, and succeeds when it is reported again', async (t) => {
  let tries = 0
  const passOn = async () => {
    if (++tries === 1) throw new ErrandError('store_failed', 'the disk is full')
    return ['run_b']
  }
  const { submit, engine, host, events } = scriptedEngine(t, () => 'hold', { passOn })
  const runId = await submit([talk])
  const { sink } = host.of('talk')
  await engine.input(runId, prompt('a'))
  const end = { type: 'ended', outcome: 'success' } as const
  await assert.rejects(sink.report(end, 1), { code: 'store_failed' })
  assert.equal((await engine.get(runId))?.status, 'running')
  await sink.report(end, 1)
  assert.equal((await engine.done(runId)).status, 'success')
  assert.deepEqual(fates(await events(runId)), ['a in run_b'])
})

test('an engine that stops while it passes prompts on does so after its restart', async (t) => {
  const died = Promise.withResolvers<void>()
  const first = scriptedEngine(t, () => 'hold', {
    dies: true,
    passOn: () => {
      died.resolve()
      return new Promise(() => {})
    },
  })
  const { submit, engine, host, again, events } = first
  const runId = await submit([talk])
  await engine.input(runId, prompt('a'))
  void host.of('talk').sink.report({ type: 'ended', outcome: 'success' }, 1)
  await died.promise
  const requests: (readonly string[])[] = []
  const passOn = async (_: string, inputIds: readonly string[]) => {
    requests.push(inputIds)
    return ['run_b']
  }
  const after = again({ passOn })
  await after.resume()
  await host.endOf('talk')
  assert.equal((await after.done(runId)).status, 'success')
  assert.deepEqual(requests, [['a']])
  assert.deepEqual(fates(await events(runId)), ['a in run_b'])
})
