import assert from 'node:assert/strict'
import { afterEach, test } from 'node:test'
import { GB, TestingDispatch } from '../../../test/support/hub/dispatch-fixture.ts'
import { BotLimits } from '../../contract/bots/bot.ts'
import type { Hello } from '../../contract/protocol.ts'
import { checkBotRoom } from './bot-room.ts'

const open: TestingDispatch[] = []
afterEach(() => {
  for (const world of open.splice(0)) world.close()
})
function openWorld() {
  const world = new TestingDispatch()
  open.push(world)
  const check = (limits: object, host: object = {}, tenant = 'default') =>
    checkBotRoom(world.runners.values(), { tenant, host, limits: BotLimits.parse(limits) })
  const connect = (id: string, change: Partial<Hello> = {}) =>
    world.connect(id, { containers: { engine: 'docker', version: '0' }, ...change })
  return { world, check, connect }
}

test('refuses a bot that no current runner could ever hold, and names both numbers', () => {
  const { check, connect } = openWorld()
  connect('a', { cpus: 2, memory_bytes: 8 * GB })
  connect('b', { cpus: 1, memory_bytes: 15.99 * GB })
  check({ memory: '15GB', cpus: 1 })
  check({ memory: '8GB', cpus: 2 })
  const refused: [object, RegExp][] = [
    [{ memory: '999GB' }, /^limits\.memory is 999GB; .* at most 15\.9 GB here \(on runner "b"\)\.$/],
    [{ memory: 16 * GB }, /^limits\.memory is 17179869184; .* at most 15\.9 GB here/],
    [{ cpus: 2.5 }, /^limits\.cpus is 2\.5; .* at most 2 here \(on runner "a"\)/],
    [{ cpus: 2, memory: '9GB' }, /^No connected runner allows a bot with 2 cpus, 9 GB of memory/],
  ]
  for (const [limits, message] of refused)
    assert.throws(() => check(limits), { code: 'invalid_argument', message, hint: /^Lower / })
})

test('each limit that operators set applies', () => {
  const { check, connect } = openWorld()
  const most = {
    ...{ memory_bytes: GB, cpus: 0.5, processes: 200, disk_bytes: 64 * 1024 ** 2 },
    ...{ work_bytes: 2 * GB, log_bytes: 100 * 1024 ** 2 },
  }
  connect('a', { bots: { most } })
  check({ memory: '1GB', processes: 200, disk: '64MB', log: '100MB' })
  for (const [name, value, message] of [
    ['memory', '1025MB', '1 GB'],
    ['cpus', 0.6, '0.5'],
    ['processes', 201, '200'],
    ['disk', '65MB', '64 MB'],
    ['work', '3GB', '2 GB'],
    ['log', '101MB', '100 MB'],
  ] as const)
    assert.throws(() => check({ [name]: value }), {
      code: 'invalid_argument',
      message: `limits.${name} is ${value}; a bot may have at most ${message} here (on runner "a").`,
      hint: new RegExp(`ERRAND_BOT_MAX_${name.toUpperCase()}`),
    })
  connect('small', { bots: { most: { work_bytes: GB / 2 } } })
  assert.throws(() => check({}, { runner: 'small' }), { message: /^limits\.work is 1GB; .* at most 512 MB/ })
  // A runner of an older release reports no limits: it refuses by itself.
  connect('old')
  check({ processes: 100_000, memory: '2GB', cpus: 4 })
})

test('a bot waits if no suitable runner is connected, or if a large one may come back', () => {
  const { world, check, connect } = openWorld()
  const large = { memory: '999GB' }
  check(large)
  world.connect('no-engine')
  connect('elsewhere', { group: 'gpu' })
  connect('chats', { mode: 'chat' })
  check(large)
  check(large, { runner: 'nobody' })
  assert.throws(() => check(large, { group: 'gpu' }), /on runner "elsewhere"/)
  check(large, { group: 'gpu' }, 'other')
  connect('small')
  assert.throws(() => check(large), /on runner "small"/)
  check(large, { labels: { size: 'l' } })
  connect('large', { memory_bytes: 1000 * GB })
  check(large)
  world.disconnect('large', true)
  check(large)
  world.disconnect('large')
  assert.throws(() => check(large), /4 GB here \(on runner "small"\)/)
})
