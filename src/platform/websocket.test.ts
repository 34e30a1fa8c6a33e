import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { type TestContext, test } from 'node:test'
import type { WebSocket } from 'ws'
import { Liveness } from './websocket.ts'

const HEARTBEAT_MS = 1_000

/** Imitates a link whose other end answers pings, or stops doing so. */
class LinkStandIn extends EventEmitter {
  isPaused = false
  answers = true
  pings = 0

  ping(): void {
    this.pings++
    if (this.answers) this.emit('pong')
  }
}

function watched(t: TestContext) {
  t.mock.timers.enable({ apis: ['setInterval'] })
  const link = new LinkStandIn()
  const seen = { gone: 0 }
  const liveness = new Liveness(link as unknown as WebSocket, HEARTBEAT_MS, () => seen.gone++)
  t.after(() => {
    liveness.stop()
    liveness.stop()
  })
  /** Advances the time by hundredths of a heartbeat. */
  const pass = (hundredths: number) => {
    for (let i = 0; i < hundredths; i++) t.mock.timers.tick(HEARTBEAT_MS / 100)
  }
  return { link, seen, pass }
}

for (const at of [0, 1, 25, 49, 50, 51, 75, 99])
  test(`silence from ${at} hundredths of a heartbeat on is noticed after 2.5 to 3 heartbeats`, (t) => {
    const { link, seen, pass } = watched(t)
    pass(1_000 + at)
    link.emit('message')
    link.answers = false
    pass(249)
    assert.equal(seen.gone, 0)
    pass(51)
    assert.ok(seen.gone > 0)
  })

test('a silent link gets a ping once per heartbeat, and stays open', (t) => {
  const { link, seen, pass } = watched(t)
  pass(10_000)
  assert.equal(seen.gone, 0)
  assert.ok(link.pings > 90 && link.pings <= 100, `${link.pings} pings`)
})

test('silence does not count while reading is paused', (t) => {
  const { link, seen, pass } = watched(t)
  link.answers = false
  link.isPaused = true
  pass(1_000)
  link.isPaused = false
  pass(200)
  assert.equal(seen.gone, 0)
})
