import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { WebSocket } from 'ws'
import { testingHello as hello } from '../../../test/support/hub/dispatch-fixture.ts'
import type { AttemptReport, AttemptSpec } from '../../contract/attempt.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { HubFrame } from '../../contract/protocol.ts'
import type { TakenSecrets } from '../../contract/secrets.ts'
import { secretUses } from '../../contract/step-secrets.ts'
import type { AttemptSink, SecretSource } from '../../engine/ports.ts'
import { Fleet } from './fleet.ts'

const spec: AttemptSpec = {
  ...{ attempt_id: 'run_1.1', run_id: 'run_1', workflow_name: 'flow', tenant: 'acme', owner: 'ann' },
  ...{ step: 'one', host: 'local', instance: 0, try: 1, action: 'cmd.run', args: { cmd: 'x' }, env: {} },
  secrets: secretUses(['TOKEN']),
  requires: {},
}

/** Starts a fleet with one runner, which records the frames it gets, and an attempt that is placed there. */
async function started(t: TestContext, secrets: SecretSource | undefined) {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const authenticate = async () => ({ tenant: 'acme' })
  const fleet = new Fleet({ authenticate, isDurable: () => true, secrets })
  fleet.attach(server)
  fleet.ready()
  t.after(async () => {
    await fleet.close()
    server.close()
  })
  const frames: HubFrame[] = []
  let changed = Promise.withResolvers<void>()
  const reveal = () => {
    changed.resolve()
    changed = Promise.withResolvers()
  }
  const connect = async () => {
    const ws = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}/api/runner-link`, {
      headers: { authorization: 'Bearer x' },
    })
    ws.on('message', (data) => {
      frames.push(JSON.parse(String(data)))
      reveal()
    })
    await once(ws, 'open')
    ws.send(JSON.stringify(hello))
    return ws
  }
  const reports: AttemptReport[] = []
  const taken: TakenSecrets[] = []
  const sink: AttemptSink = {
    waiting: () => {},
    secrets: (secrets) => void taken.push(secrets),
    assigned: async () => true,
    report: async (report) => {
      reports.push(report)
      reveal()
    },
    output: async (_stream, offset, bytes) => offset + bytes.length,
    length: async () => 0,
  }
  const until = async (condition: () => unknown) => {
    while (!condition()) await changed.promise
  }
  const ws = await connect()
  await until(() => frames.some(({ type }) => type === 'welcome'))
  const placement = fleet.place(spec)
  assert.ok('epoch' in placement)
  const starts = () => frames.filter((frame) => frame.type === 'start')
  return {
    fleet,
    ws,
    connect,
    reports,
    taken,
    until,
    starts,
    frames,
    start: () => fleet.start(spec, placement, sink),
  }
}

test('reports which secrets an attempt gets before it is sent', async (t) => {
  const TOKEN = { name: 'TOKEN', scope: 'tenant', updated_by: 'boss' } as const
  const hub = await started(t, {
    reveal: async (_spec, report) => {
      report?.({ TOKEN })
      return { TOKEN: 'value' }
    },
  })
  hub.start()
  await hub.until(() => hub.starts().length === 1)
  assert.deepEqual(hub.taken, [{ TOKEN }])
})

test('values are sent with the start, and looked up again when it is sent again', async (t) => {
  let requests = 0
  const hub = await started(t, { reveal: async () => ({ TOKEN: `value ${++requests}` }) })
  hub.start()
  await hub.until(() => hub.starts().length === 1)
  assert.deepEqual(hub.starts()[0]!.secrets, { TOKEN: 'value 1' })
  assert.ok(!JSON.stringify(hub.starts()[0]!.spec).includes('value'))
  hub.ws.terminate()
  await hub.connect()
  await hub.until(() => hub.starts().length === 2)
  assert.deepEqual(hub.starts()[1]!.secrets, { TOKEN: 'value 2' })
})

test('an attempt whose secret is missing or cannot be opened fails with a hint, and is not sent', async (t) => {
  for (const [error, reason] of [
    [new ErrandError('secret_not_found', 'There is none.', { hint: 'Set it.' }), 'invalid_argument'],
    [new ErrandError('store_failed', 'There is none.', { hint: 'Set it.' }), 'start_failed'],
  ] as const) {
    const hub = await started(t, { reveal: () => Promise.reject(error) })
    hub.start()
    await hub.until(() => hub.reports.length > 0)
    assert.deepEqual(hub.reports, [
      { type: 'ended', outcome: 'failed', reason, message: 'There is none. Set it.' },
    ])
    assert.deepEqual(hub.starts(), [])
  }
})

test('a hub without secrets says so', async (t) => {
  const hub = await started(t, undefined)
  hub.start()
  await hub.until(() => hub.reports.length > 0)
  assert.match(JSON.stringify(hub.reports), /This hub stores no secrets/)
})

test('an attempt canceled while its secrets are opened is never sent', async (t) => {
  const opened = Promise.withResolvers<Record<string, string>>()
  const hub = await started(t, { reveal: () => opened.promise })
  hub.start()
  hub.fleet.cancel(spec.attempt_id, 'canceled')
  opened.resolve({ TOKEN: 'value' })
  await hub.until(() => hub.reports.length > 0)
  assert.deepEqual(hub.reports, [{ type: 'ended', outcome: 'canceled', reason: 'canceled' }])
  assert.deepEqual(hub.starts(), [])
})

test('an attempt whose link breaks while its secrets are opened is sent over the next link, once', async (t) => {
  const values: PromiseWithResolvers<Record<string, string>>[] = []
  const hub = await started(t, {
    reveal: () => {
      const value = Promise.withResolvers<Record<string, string>>()
      values.push(value)
      return value.promise
    },
  })
  hub.start()
  hub.ws.terminate()
  await hub.connect()
  await hub.until(() => values.length === 2)
  values[0]!.resolve({ TOKEN: 'old' })
  values[1]!.resolve({ TOKEN: 'new' })
  await hub.until(() => hub.starts().length > 0)
  assert.deepEqual(
    hub.starts().map(({ secrets }) => secrets),
    [{ TOKEN: 'new' }],
  )
})
