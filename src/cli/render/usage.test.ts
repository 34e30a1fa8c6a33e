import assert from 'node:assert/strict'
import { test } from 'node:test'
import { holdersText, usageCells } from './usage.ts'

const MiB = 1024 ** 2

test('the figures of every try stand beside each other', () => {
  const tries = [
    { usage: { peak_memory_bytes: 150.4 * MiB, cpu_ms: 1300, held_by: 'cgroup_v2' as const } },
    { usage: { cpu_ms: 20, held_by: 'watchdog' as const, not_held: ['cpus' as const] } },
    {},
  ]
  assert.deepEqual(usageCells(tries), ['150 MB, ?', '1.3 s, 20 ms'])
  assert.equal(
    holdersText(tries),
    'Measured, and held to what limits they have, by cgroups (v2) and a watchdog; not held: cpus.\n',
  )
})

test('what was not measured leaves its cells empty', () => {
  assert.deepEqual(usageCells([{}]), ['', ''])
  assert.deepEqual(usageCells([{ usage: { held_by: 'watchdog', peak_memory_bytes: 3 * 1024 * MiB } }]), [
    '3.0 GB',
    '',
  ])
  assert.equal(holdersText([{}]), '')
})
