import assert from 'node:assert/strict'
import { test } from 'node:test'
import { scriptedEngine, step, until } from '../../../test/support/scripted-engine.ts'
import type { Held } from '../../../test/support/scripted-host.ts'
import type { AttemptSpec } from '../../contract/attempt.ts'
import { type Isolation, networkText } from '../../contract/isolation.ts'
import { environmentSecrets, secretMark, secretUses, withSecrets } from '../../contract/step-secrets.ts'
import { argsWithMarks } from './attempt-spec.ts'

const uses = environmentSecrets(
  secretUses({ TOKEN: 'deploy', KEY: { mounted: 'key', as: 'file' }, DB: { as: 'mask' } }),
)

test('a secret is a mark in the arguments until the machine fills in its value', () => {
  const args = {
    url: 'x/${NAME}',
    headers: { a: 'Bearer ${TOKEN}' },
    list: ['${KEY:-none}', 1],
    hidden: '${DB}',
    cmd: '${TOKEN}',
  }
  const marked = argsWithMarks(args, ['cmd'], { get: (name) => `<${name}>`, names: () => [] }, uses)
  assert.deepEqual(marked, {
    url: 'x/<NAME>',
    headers: { a: `Bearer ${secretMark('TOKEN')}` },
    list: [secretMark('KEY'), 1],
    hidden: '<DB>',
    cmd: '${TOKEN}',
  })
  const filled = withSecrets(marked, { TOKEN: '$& t', KEY: '/folder/KEY' })
  assert.deepEqual([filled.headers, filled.list], [{ a: 'Bearer $& t' }, ['/folder/KEY', 1]])
})

test('neither a variable nor the file itself can forge a mark', () => {
  const forged = secretMark('TOKEN')
  const args = { a: '${EVIL}', b: forged, c: { d: [forged] }, raw: forged }
  const marked = argsWithMarks(args, ['raw'], { get: () => forged, names: () => [] }, uses)
  const filled = withSecrets(marked, { TOKEN: 'value' })
  assert.ok(!JSON.stringify(filled).includes('value'))
  // A value that looks like a mark is not replaced again.
  assert.deepEqual(withSecrets({ a: secretMark('A') }, { A: secretMark('B'), B: 'b' }), {
    a: secretMark('B'),
  })
})

test('a mark without a given secret stays unchanged', () => {
  assert.equal(withSecrets(secretMark('TOKEN'), {}), secretMark('TOKEN'))
})

/** Lists the box that each started attempt asks for, as `step: isolation network image`. */
const boxes = (begun: readonly AttemptSpec[]) =>
  begun.map(({ step, isolation, network, image }) =>
    [`${step}:`, isolation, network && networkText(network), image].filter(Boolean).join(' '),
  )

test('a machine is asked for the strictest box of the file, the step and the request', async (t) => {
  const { play, host } = scriptedEngine(t)
  const steps = [
    step('plain'),
    step('stricter', { isolation: 'container', network: 'none', image: 'node:22' }),
    step('looser', { isolation: 'none' }),
    step('hosts', { network: { allow: ['*.example', 'b.org'] } }),
  ]
  await play(steps)
  assert.deepEqual(boxes(host.begun.splice(0)), [
    'plain:',
    'stricter: container none node:22',
    'looser: none',
    'hosts: sandbox *.example, b.org',
  ])
  const file = { isolation: 'sandbox' as const, network: { allow: ['a.example'] } }
  await play(steps, file)
  assert.deepEqual(boxes(host.begun.splice(0)), [
    'plain: sandbox a.example',
    'stricter: container none node:22',
    'looser: sandbox a.example',
    'hosts: sandbox a.example',
  ])
  await play(steps, file, { box: { network: 'models' } })
  assert.deepEqual(boxes(host.begun.splice(0)), [
    'plain: sandbox models',
    'stricter: container none node:22',
    'looser: sandbox models',
    'hosts: sandbox models',
  ])
  await play(steps, {}, { box: { isolation: 'container', image: 'python:3' } })
  assert.deepEqual(boxes(host.begun.splice(0)), [
    'plain: container python:3',
    'stricter: container none node:22',
    'looser: container python:3',
    'hosts: container *.example, b.org python:3',
  ])
  await assert.rejects(play([step('a')], {}, { box: { image: 'node:22' } }), { code: 'invalid_argument' })
})

test('instances, finally steps, rollbacks and sub-workflows have the box of what they belong to', async (t) => {
  const { play, engine, host } = scriptedEngine(t, ({ step }) => (step === 'breaks' ? 'failed' : 'success'))
  const rollback = { action: 'noop', args: {} }
  const inner = (steps: unknown[], more: object = {}) => ({ version: 'v0.1', name: 'inner', steps, ...more })
  const sub = (name: string, workflow: object, more: object = {}) =>
    step(name, { action: 'workflow.run', args: { workflow }, ...more })
  const deepest = inner([step('deepest')], { isolation: 'none' })
  const view = await play(
    [
      step('each', { foreach: [1, 2], isolation: 'container', image: 'node:22', rollback }),
      sub('sub', inner([step('below', { network: 'none' }), sub('subsub', deepest)]), {
        isolation: 'container',
      }),
      step('breaks'),
    ],
    { network: 'models', finally: [step('last', { network: 'none' })] },
  )
  assert.equal(view.status, 'failed')
  assert.deepEqual(boxes(host.begun.splice(0)), [
    'each: container models node:22',
    'each: container models node:22',
    'below: container none',
    'deepest: container models',
    'breaks: sandbox models',
    'each: container models node:22',
    'each: container models node:22',
    'last: sandbox none',
  ])
  // A manual rollback, in its own run.
  const done = await play([step('a', { isolation: 'container', rollback })], { network: 'none' })
  const { run_id } = await engine.rollback(done.run_id)
  assert.equal((await engine.done(run_id)).status, 'success')
  assert.deepEqual(boxes(host.begun), ['a: container none', 'a: container none'])
})

test('another try and a retry of the run get no weaker box than the one before, and no more network', async (t) => {
  const { engine, host, play, submit, clock } = scriptedEngine(t, () => 'hold')
  const runId = await submit([
    step('a', { retry: { max_attempts: 2, backoff: { delay_seconds: 1 } } }),
    step('b'),
  ])
  const end = async (isolation: Isolation | undefined, outcome: 'success' | 'failed') => {
    await until(() => host.held.size === 1)
    const [{ spec, sink }] = [...host.held.values()] as [Held]
    await sink.report({ type: 'started', isolation, network: isolation && 'models' }, 1)
    await host.end(spec.attempt_id, outcome)
  }
  await end('sandbox', 'failed')
  await until(() => clock.advance())
  // If a runner reports `none`, nobody asked it for a box: later attempts may still be in one.
  await end('sandbox', 'success')
  await end('none', 'failed')
  assert.equal((await engine.done(runId)).status, 'failed')
  assert.deepEqual(boxes(host.begun.splice(0)), ['a:', 'a: sandbox models', 'b:'])
  host.script = () => 'success'
  const { run_id } = await engine.retry(runId, { only: 'all' })
  await engine.done(run_id)
  assert.deepEqual(boxes(host.begun.splice(0)), ['a: sandbox models', 'b:'])
  const [first] = (await engine.view(runId)).steps[0]!.instances[0]!.attempts
  assert.deepEqual([first?.isolation, first?.network], ['sandbox', 'models'])
  // The request's box is part of the run, and so of each of its retries.
  const requested = await play([step('a')], {}, { box: { isolation: 'container', network: 'none' } })
  await engine.done((await engine.retry(requested.run_id, { only: 'all' })).run_id)
  assert.deepEqual(boxes(host.begun), ['a: container none', 'a: container none'])
})
