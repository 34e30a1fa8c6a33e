import assert from 'node:assert/strict'
import test from 'node:test'
import type { StepView } from '../../contract/run.ts'
import {
  boxesText,
  holdersText,
  refusedText,
  secretScopeText,
  takenSecretsText,
  usageCells,
  whyText,
} from './summary.ts'

const MiB = 1024 ** 2

test('the reason for a failure is one line: the exit code, or otherwise the message', () => {
  assert.equal(whyText({ reason: 'exit_code', exitCode: 3, message: 'long' }), 'exit code 3')
  const message = 'Step "b" failed: The command ended with exit code 1.'
  assert.equal(whyText({ reason: 'exit_code', message }), message)
  assert.equal(whyText({ reason: 'host_unreachable', message: 'web1\nmore' }), 'host unreachable: web1')
  assert.equal(whyText({}), '')
})

test('the figures of all tries are in one cell', () => {
  const tries = [
    { usage: { peak_memory_bytes: 150.4 * MiB, cpu_ms: 1300, held_by: 'cgroup_v2' as const } },
    { usage: { cpu_ms: 20, held_by: 'watchdog' as const, not_held: ['cpus' as const] } },
    {},
  ]
  assert.deepEqual(usageCells(tries), ['150 MB, ?', '1.3 s, 20 ms'])
  assert.equal(
    holdersText(tries),
    'Measured and limited by cgroups (v2) and a watchdog; not enforced: cpus.\n',
  )
})

test('cells without a measurement are empty', () => {
  assert.deepEqual(usageCells([{}]), ['', ''])
  assert.deepEqual(usageCells([{ usage: { held_by: 'watchdog', peak_memory_bytes: 3 * 1024 * MiB } }]), [
    '3.0 GB',
    '',
  ])
  assert.equal(holdersText([{}]), '')
})

test('the scope of a secret names what it is for and whose runs it is for', () => {
  assert.deepEqual(
    [
      {},
      { workflow: 'deploy' },
      { workflow: 'deploy', owner: 'ann' },
      { repository: 'shop', owner: 'ann' },
    ].map(secretScopeText),
    ['all runs', 'runs of deploy', 'runs of deploy by ann', 'runs for shop by ann'],
  )
})

test('each step is shown once, with the secrets that it received last', () => {
  const secretOf = (updated_by: string) => ({
    TOKEN: { name: 'TOKEN', scope: 'tenant', updated_by },
    KEY: { name: 'SSH_KEY', scope: 'workflow', workflow: 'deploy', owner: 'ann', updated_by: 'ann' },
  })
  const tries = { attempts: [{ secrets: secretOf('old') }, { secrets: secretOf('boss') }, {}] }
  const steps = [
    { step: 'one', instances: [tries, tries] },
    { step: 'two', instances: [{ attempts: [{}] }] },
  ] as unknown as StepView[]
  assert.equal(
    takenSecretsText(steps),
    'Secret TOKEN of one: the one for all runs, set by boss.\n' +
      'Secret KEY (SSH_KEY) of one: the one for runs of deploy by ann, set by ann.\n',
  )
  assert.equal(takenSecretsText(steps.slice(1)), '')
})

test("a step's box is shown with what it refused, and nothing is shown without a box", () => {
  const refused = [
    { host: 'x.org', port: 443, why: 'not allowed', count: 1200 },
    { host: '\x1b[31m10.0.0.1', why: 'a private address', count: 1 },
  ]
  const many = Array.from({ length: 23 }, (_, n) => ({ host: `h${n}`, why: 'not allowed', count: 1 }))
  const steps = [
    ['none', {}],
    ['bare', { isolation: 'none' }],
    ['made', { made_box: 'pod', network: 'all' }],
    ['build', { isolation: 'sandbox', network: { allow: ['a.example', '*.b.org'] }, refused }],
    ['test', { isolation: 'container', network: 'none', refused: many }],
  ].map(([step, attempt]) => ({ step, instances: [{ attempts: [attempt] }, { attempts: [attempt] }] }))
  const lines = boxesText(steps as never).split('\n')
  assert.deepEqual(lines.slice(0, 5), [
    'made in the pod made for its run, network all',
    'build in a sandbox, network a.example, *.b.org',
    '  x.org:443 refused: not allowed (1,200 times)',
    `  ${lines[3]!.trim()}`,
    'test in a container, network none',
  ])
  assert.ok(!lines[3]!.includes('\x1b'))
  assert.deepEqual(lines.slice(-2), ['  and 3 more hosts refused', ''])
  assert.equal(boxesText(steps.slice(0, 2) as never), '')
  assert.equal(refusedText({ to: 'x', why: 'no', count: 1 }), 'x refused: no')
  const known = { to: 'x', port: 443, why: 'host_not_allowed' }
  assert.equal(
    refusedText({ ...known, count: 1 }),
    'x:443 refused: that host is not allowed (host_not_allowed)',
  )
  assert.equal(
    refusedText({ ...known, count: 1200 }),
    'x:443 refused: that host is not allowed (host_not_allowed, 1,200 times)',
  )
})
