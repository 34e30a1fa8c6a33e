import assert from 'node:assert/strict'
import { test } from 'node:test'
import { scriptedEngine, statusesOf, step, until } from '../../../test/support/scripted-engine.ts'

test('repeats a failed try after a delay that grows up to a maximum', async (t) => {
  const { submit, engine, host, clock } = scriptedEngine(t, (spec) => (spec.try < 5 ? 'failed' : 'success'))
  const retry = { max_attempts: 5, backoff: { delay_seconds: 2, factor: 3, max_delay_seconds: 20 } }
  const runId = await submit([step('a', { retry })])
  for (const delayMs of [2000, 6000, 18_000, 20_000]) {
    await until(() => clock.pendingMs.length === 1)
    assert.deepEqual(clock.pendingMs, [delayMs])
    assert.equal((await engine.view(runId)).steps[0]!.status, 'waiting')
    clock.advance()
  }
  assert.equal((await engine.done(runId)).status, 'success')
  assert.deepEqual(
    host.begun.map((spec) => [spec.attempt_id, spec.try]),
    [1, 2, 3, 4, 5].map((n) => [`${runId}.${n}`, n]),
  )
})

test('after the last try, the step fails with the last reason', async (t) => {
  const { submit, engine, clock } = scriptedEngine(t, (spec) => ({
    outcome: 'failed',
    reason: spec.try === 1 ? 'signal' : 'oom',
  }))
  const runId = await submit([step('a', { retry: { max_attempts: 2 } })])
  await until(() => clock.advance())
  assert.equal((await engine.done(runId)).reason, 'oom')
  assert.deepEqual(
    (await engine.view(runId)).steps[0]!.instances[0]!.attempts.map(({ outcome }) => outcome),
    ['failed', 'failed'],
  )
})

test('retries a lost attempt too, and treats missing exports as a failure', async (t) => {
  const { submit, engine, clock } = scriptedEngine(t, (spec) =>
    spec.try === 1
      ? { outcome: 'interrupted', reason: 'lost' }
      : spec.try === 2
        ? {}
        : { exports: { T: '1' } },
  )
  const more = {
    action: 'vars.set',
    args: { vars: { T: '1' } },
    expect_vars: ['T'],
    retry: { max_attempts: 3 },
  }
  const runId = await submit([step('a', more)])
  for (let advanced = 0; advanced < 2; )
    if (await Promise.resolve(clock.advance())) advanced++
    else await new Promise(setImmediate)
  assert.equal((await engine.done(runId)).status, 'success')
})

test('the message of an end stays next to the report of missing exports', async (t) => {
  const { play } = scriptedEngine(t, () => ({ message: 'A line is no export.' }))
  const view = await play([
    step('a', { ...{ action: 'cmd.run', args: { cmd: 'x', export_vars: true } }, expect_vars: ['T'] }),
  ])
  assert.equal(view.reason, 'expect_vars')
  assert.match(
    view.message!,
    /Step "a" failed: did not export T, which expect_vars requires\. A line is no export\.$/,
  )
})

test('a failure keeps the last line on stderr, a success does not', async (t) => {
  const { play } = scriptedEngine(t, ({ step }) => ({
    ...(step === 'bad' && { outcome: 'failed' as const, reason: 'exit_code' as const }),
    last_error_line: `${step} said this`,
  }))
  const view = await play([step('good'), step('bad')])
  assert.deepEqual(
    view.steps.map(({ instances }) => instances[0]!.last_error_line),
    [undefined, 'bad said this'],
  )
})

test('no try follows a cancellation, neither of a waiting step nor of a running one', async (t) => {
  const { submit, engine, host, clock } = scriptedEngine(t, () => 'hold')
  const retry = { max_attempts: 3, backoff: { delay_seconds: 60 } }
  const waits = await submit([step('a', { retry })])
  await host.endOf('a', 'failed')
  await engine.cancel(waits)
  assert.equal((await engine.done(waits)).status, 'canceled')
  assert.deepEqual([statusesOf(await engine.view(waits)), clock.pendingMs], [['a: canceled canceled'], []])
  host.obeys = false
  const runs = await submit([step('b', { retry })])
  await engine.cancel(runs)
  await host.endOf('b', 'failed')
  assert.equal((await engine.done(runs)).status, 'canceled')
  assert.deepEqual(host.ran, ['a', 'b'])
})

test('a step that succeeds before its cancellation reaches it counts as a success', async (t) => {
  const { submit, engine, host } = scriptedEngine(t, () => 'hold')
  host.obeys = false
  const runId = await submit([step('a'), step('b')])
  await engine.cancel(runId)
  await host.endOf('a', 'success')
  await engine.done(runId)
  assert.deepEqual(statusesOf(await engine.view(runId)), ['a: success', 'b: skipped canceled'])
})

test('a try that may be repeated must not continue without the hub; the last one may, unless the step forbids it', async (t) => {
  const { submit, engine, host, clock } = scriptedEngine(t, (spec) => (spec.try < 2 ? 'failed' : 'success'))
  const retry = { max_attempts: 2, backoff: { delay_seconds: 0 } }
  const steps = [
    step('once'),
    step('again', { retry }),
    step('on', { retry, on_disconnect: 'continue' }),
    step('never', { on_disconnect: 'stop' }),
  ].map((each) => ({ ...each, continue_on_error: true }))
  const runId = await submit(steps)
  await until(() => {
    clock.advance()
    return host.begun.length === 6
  })
  await engine.done(runId)
  assert.deepEqual(
    host.begun.map((spec) => [spec.step, spec.try, spec.on_disconnect]),
    [
      ['once', 1, undefined],
      ['again', 1, 'stop'],
      ['again', 2, undefined],
      ['on', 1, 'continue'],
      ['on', 2, 'continue'],
      ['never', 1, 'stop'],
    ],
  )
})
