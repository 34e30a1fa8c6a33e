import assert from 'node:assert/strict'
import test from 'node:test'
import { attemptSpec, command, endOf } from '../../../test/support/runner/attempt-fixture.ts'
import { boxPlace } from '../../../test/support/runner/box-fixture.ts'
import type { AttemptReport, AttemptSpec } from '../../contract/attempt.ts'
import type { Isolation, Network } from '../../contract/isolation.ts'
import type { BoxesOptions } from './boxes.ts'

const usable = {
  type: 'usable',
  path: '/usr/bin/bwrap',
  version: '1',
  disablesUserNamespaces: true,
  sizesTemp: true,
  closesDevices: false,
} as const
const unusable = { type: 'unusable', why: 'There is none.', hint: 'Install it.' } as const

/** Returns the box of an attempt with these wishes, on a machine with these settings. */
function got(
  kind: 'process' | 'agent',
  requested: { isolation?: Isolation; network?: Network },
  options: Partial<BoxesOptions> = {},
) {
  using place = boxPlace({ least: 'auto', bubblewrap: usable, ...options })
  const facts = place.boxes.facts(requested as AttemptSpec, kind)
  return facts && [facts.isolation, facts.network]
}

test("an attempt gets the strictest of its own and the machine's settings", () => {
  assert.deepEqual(got('agent', {}), ['sandbox', 'all'])
  assert.equal(got('process', {}), undefined)
  assert.equal(got('agent', { isolation: 'none' }), undefined)
  assert.deepEqual(got('process', { isolation: 'none' }, { least: 'sandbox' }), ['sandbox', 'all'])
  assert.deepEqual(got('agent', { isolation: 'none' }, { least: 'sandbox' }), ['sandbox', 'all'])
  assert.deepEqual(got('process', { isolation: 'sandbox' }, { least: 'none' }), ['sandbox', 'all'])
  assert.deepEqual(
    got('agent', { network: { allow: ['*.example'] } }, { network: { allow: ['a.example', 'b.org'] } }),
    ['sandbox', { allow: ['a.example'] }],
  )
  assert.deepEqual(got('agent', {}, { network: 'models' }), ['sandbox', 'models'])
})

test('an unavailable box is refused with what to do, and never replaced by a weaker one', () => {
  assert.equal(got('agent', {}, { bubblewrap: unusable }), undefined)
  for (const [kind, requested, options] of [
    ['process', { isolation: 'sandbox' }, {}],
    ['agent', {}, { least: 'sandbox' }],
    ['agent', {}, { required: true }],
    ['agent', { isolation: 'none' }, { required: true, bubblewrap: usable }],
    ['process', { isolation: 'container' }, { bubblewrap: usable }],
  ] as const)
    assert.throws(() => got(kind, requested, { bubblewrap: unusable, ...options }), { code: 'unavailable' })
})

test("an attempt without a box of its own runs in its provisioned runner's box, whose network counts as open", async () => {
  using place = boxPlace({ least: 'auto', bubblewrap: unusable, provisionedBox: 'pod' })
  const { boxes } = place
  assert.match(
    boxes.without({} as AttemptSpec)!,
    /^The agent's box is the pod .* network of the pod counts as open/,
  )
  assert.equal(boxes.without({ isolation: 'none' } as AttemptSpec), undefined)
  assert.match(boxes.text, /^This runner is a pod/)
  assert.deepEqual([boxes.offered.made_box, boxes.offered.sandbox.usable], ['pod', false])
  // It makes no boxes of its own.
  assert.throws(() => boxes.facts({ isolation: 'sandbox' } as AttemptSpec, 'process'), {
    code: 'unavailable',
  })
  const attempts = place.open()
  for (const spec of [command('true'), attemptSpec('noop', {})]) {
    const attempt = await attempts.start(spec, 1)
    await endOf(attempt)
    const [{ isolation, made_box, network }] = attempt.reports as [
      Extract<AttemptReport, { type: 'started' }>,
    ]
    assert.deepEqual(
      { isolation, made_box, network },
      { isolation: undefined, made_box: 'pod', network: 'all' },
    )
  }
  await attempts.close()
  using other = boxPlace({ least: 'auto', bubblewrap: unusable })
  assert.equal(other.boxes.made, undefined)
  assert.match(other.boxes.without({} as AttemptSpec)!, /without a sandbox/)
})

test("only the operator, of the machine or of the hub's group, opens a private host that a file names", () => {
  const requested = { isolation: 'sandbox', network: { allow: ['db:5432@private', 'a.example'] } } as const
  const file = { ...requested, network: { allow: [...requested.network.allow] } }
  assert.deepEqual(got('process', file), ['sandbox', { allow: ['db:5432', 'a.example'] }])
  assert.deepEqual(got('process', file, { network: { allow: ['db:5432@private'] } }), [
    'sandbox',
    { allow: ['db:5432@private'] },
  ])
  // The hub has asked its group.
  assert.deepEqual(got('process', file, { fromHub: true }), ['sandbox', file.network])
  using place = boxPlace({ least: 'auto', bubblewrap: usable })
  assert.deepEqual(place.boxes.apart(file as unknown as AttemptSpec), {
    network: { allow: ['db:5432', 'a.example'] },
  })
})
