import assert from 'node:assert/strict'
import test from 'node:test'
import { OutsideServices } from './outside-services.ts'

function place() {
  const log: string[] = []
  const clock = { ms: Date.parse('2026-01-01T00:00:00Z') }
  const outside = new OutsideServices(
    (line) => void log.push(line),
    () => clock.ms,
  )
  return { outside, log, clock }
}

const mail = { service: 'smtp', address: 'mail.example:587' } as const
const hook = { service: 'webhook', address: 'chat.example', tenant: 'shop' } as const

test('a service that had worked fails from its first failure on, and is reported once', () => {
  const { outside, log, clock } = place()
  outside.worked(mail)
  assert.deepEqual(outside.list('default', true), [])
  outside.failed(mail, new Error('no answer'))
  clock.ms += 60_000
  outside.failed(mail, new Error('refused'))
  assert.deepEqual(outside.list('default', true), [
    {
      ...mail,
      since: '2026-01-01T00:00:00.000Z',
      last_at: '2026-01-01T00:01:00.000Z',
      message: 'refused',
      times: 2,
    },
  ])
  outside.worked(mail)
  assert.deepEqual(outside.list('default', true), [])
  assert.deepEqual(log, [
    'The mail server at mail.example:587 is failing: no answer',
    'The mail server at mail.example:587 works again. It had been failing since 2026-01-01T00:00:00.000Z.',
  ])
})

test("services named by users of a tenant are reported only to that tenant, the operator's to operators", () => {
  const { outside } = place()
  outside.failed(mail, new Error('away'))
  outside.failed(hook, new Error('away'))
  const seen = (tenant: string, operator: boolean) =>
    outside.list(tenant, operator).map(({ address }) => address)
  assert.deepEqual(seen('shop', false), [hook.address])
  assert.deepEqual(seen('other', false), [])
  assert.deepEqual(seen('default', true), [mail.address])
  assert.ok(!JSON.stringify(outside.list('shop', false)).includes('tenant'))
  assert.deepEqual([...outside.counts()].sort(), [
    ['smtp', 1],
    ['webhook', 1],
  ])
})

test('a service that nobody uses any more is forgotten, and their number is limited', () => {
  const { outside, clock } = place()
  outside.failed(hook, new Error('away'))
  clock.ms += 3_600_000
  outside.failed(mail, new Error('away'))
  clock.ms += 3_600_001
  assert.deepEqual(
    outside.list('shop', true).map(({ service }) => service),
    ['smtp'],
  )
  for (let count = 0; count < 1100; count++)
    outside.failed({ ...hook, address: `host-${count}` }, new Error('away'))
  assert.equal(outside.list('shop', false).length, 1000)
  assert.equal(outside.list('shop', false)[0]!.address, 'host-100')
})
