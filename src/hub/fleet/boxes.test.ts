import assert from 'node:assert/strict'
import { afterEach, test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { key, TestingDispatch } from '../../../test/support/hub/dispatch-fixture.ts'
import type { Network } from '../../contract/isolation.ts'
import type { OfferedIsolation } from '../../contract/protocol.ts'
import { runnerOf } from './assignments.ts'
import { withGroupBox } from './matching.ts'

const open: TestingDispatch[] = []
afterEach(() => {
  for (const world of open.splice(0)) world.close()
})
function openWorld(): TestingDispatch {
  const world = new TestingDispatch({ reportIntervalMs: 1 })
  open.push(world)
  return world
}

const usable = { usable: true }
const both: OfferedIsolation = { sandbox: usable, container: usable }
const no = (why: string) => ({ usable: false, why })
const sandboxOnly: OfferedIsolation = { sandbox: usable, container: no('There is no container engine.') }

test('a run that no runner can isolate as asked waits with their reasons, until a suitable one connects', () => {
  const world = openWorld()
  world.connect('old')
  world.connect('bare', { isolation: { ...both, sandbox: no('bubblewrap is not installed.') } })
  const runId = world.submit('ann', {}, { isolation: 'sandbox' })
  assert.deepEqual(world.whys.get(runId), [
    'no runner in group "default" can provide a sandbox: runner "old": its version of Errand provides none; runner "bare": bubblewrap is not installed',
  ])
  const named = world.submit('ann', { runner: 'old' }, { isolation: 'container' })
  assert.deepEqual(world.whys.get(named), [
    'runner "old" cannot provide a container: its version of Errand provides none',
  ])
  const free = world.submit('ann')
  assert.notEqual(runnerOf(free), undefined)
  world.connect('boxed', { isolation: sandboxOnly })
  assert.equal(runnerOf(runId), key('boxed'))
  assert.equal(runnerOf(named), undefined)
  const contained = world.submit('ann', {}, { isolation: 'container', requires: {} })
  assert.equal(runnerOf(contained), key('bare'))
})

test('a limited network needs a box, even if the file asks for none', () => {
  const world = openWorld()
  world.connect('old')
  const limited = world.submit('ann', {}, { isolation: 'none', network: 'models' })
  assert.match(world.whys.get(limited)!.at(-1)!, /can provide a sandbox/)
})

test('uses a box at once that its machine has become able to provide', () => {
  const world = openWorld()
  const runner = world.connect('r1', {
    isolation: { ...both, container: no('There is no container engine.') },
  })
  const runId = world.submit('ann', {}, { isolation: 'container' })
  assert.equal(
    world.whys.get(runId)!.at(-1),
    'no runner in group "default" can provide a container: runner "r1": There is no container engine',
  )
  runner.hello!.isolation = both
  world.dispatch.rosterChanged(runner)
  assert.equal(runnerOf(runId), key('r1'))
})

test('adds the box that a group requires when it places an attempt, and stores it with the placement', async () => {
  const world = openWorld()
  world.groupBoxes = {
    shared: { isolation: 'sandbox', network: { allow: ['a.example', 'db:5432@private'] } },
  }
  world.connect('weak', { group: 'shared' })
  const runId = world.submit('ann', { group: 'shared' })
  assert.match(
    world.whys.get(runId)!.at(-1)!,
    /^no runner in group "shared" can provide a sandbox: runner "weak"/,
  )
  world.connect('r1', { group: 'shared', isolation: both })
  await setImmediate()
  world.connect('r2', { isolation: both })
  const free = world.submit('ann')
  const stricter = world.submit(
    'ann',
    { group: 'shared' },
    {
      isolation: 'container',
      network: { allow: ['*.example', 'db:5432@private', 'pc@private'] },
      image: 'node:22',
    },
  )
  // A runner that is named may be of any group.
  const named = world.submit('ann', { runner: 'r1' }, { isolation: 'none' })
  const sent = new Map(world.sent.map(({ runner, spec }) => [spec.attempt_id, { runner, spec }]))
  const of = ({ spec }: typeof runId) => {
    const { isolation, network, image } = sent.get(spec.attempt_id)!.spec
    return { isolation, network, image }
  }
  const group = world.groupBoxes.shared
  assert.deepEqual(of(runId), { ...group, image: undefined })
  assert.deepEqual(of(named), { ...group, image: undefined })
  assert.deepEqual(of(free), { isolation: undefined, network: undefined, image: undefined })
  assert.deepEqual(of(stricter), {
    isolation: 'container',
    network: { allow: ['db:5432@private', 'a.example'] },
    image: 'node:22',
  })
  assert.deepEqual(runId.box, group)
  // The operator asks for less from now on. What is already placed stays with its old box.
  world.groupBoxes = {}
  world.dispatch.startOn(runId, world.runners.get(key('r1'))!)
  assert.equal(world.sent.at(-1)!.spec.isolation, 'sandbox')
})

test('a runner that comes back without the box is not sent the attempt that it had', async () => {
  const world = openWorld()
  const runner = world.connect('r1', { isolation: both })
  const runId = world.submit('ann', {}, { isolation: 'sandbox' })
  world.disconnect('r1', true)
  // After a downgrade the runner reports no boxes any more.
  runner.hello = { ...runner.hello!, isolation: undefined }
  runner.link = { boot: 'again', sendText: () => assert.fail('sent'), send: () => {} } as never
  world.dispatch.startOn(runId, runner)
  await setImmediate()
  assert.equal(runId.stage.type, 'waiting')
  assert.match(world.whys.get(runId)!.at(-1)!, /can provide a sandbox: runner "r1": its version/)
  world.connect('r2', { isolation: both })
  assert.equal(runnerOf(runId), key('r2'))
})

test('a run waits for the runner with its files, whose boxes are unknown while it is away', () => {
  const world = openWorld()
  world.connect('r1', { isolation: sandboxOnly })
  const run = { run_id: 'run_x' }
  const first = world.submit('ann', {}, { ...run, attempt_id: 'run_x.1', isolation: 'sandbox' })
  world.dispatch.begun(first)
  world.end(first)
  world.disconnect('r1', true)
  // After a restart the hub knows the runner from its store, which has no boxes.
  const runner = world.runners.get(key('r1'))!
  runner.hello = { ...runner.hello!, isolation: undefined }
  world.connect('r2', { isolation: both })
  const second = world.submit('ann', {}, { ...run, attempt_id: 'run_x.2', isolation: 'sandbox' })
  assert.equal(
    world.whys.get(second)!.at(-1),
    'runner "r1", which has the files of this run, is not connected',
  )
  world.connect('r1', { isolation: sandboxOnly })
  assert.equal(runnerOf(second), key('r1'))
})

test('a bot runs in its own container, whatever its group requires', () => {
  const world = openWorld()
  world.groupBoxes = { default: { isolation: 'sandbox', network: 'none' } }
  world.connect('r1', { containers: { engine: 'docker', version: '1' } })
  const bot = world.submit('ann', { containers: true })
  assert.equal(runnerOf(bot), key('r1'))
  assert.equal(withGroupBox(bot.spec, { isolation: 'sandbox' }), bot.spec)
})

test('the private hosts of a run reach a runner only if its group opens them', () => {
  const spec = { requires: {}, network: { allow: ['db@private', 'a.example'] } as Network } as never
  assert.deepEqual(withGroupBox(spec, {}).network, { allow: ['db', 'a.example'] })
  assert.deepEqual(withGroupBox(spec, { network: { allow: ['db@private'] } }).network, {
    allow: ['db@private'],
  })
})

test('a run goes to a runner that has the boxes for all of its steps, since it stays there', () => {
  const world = openWorld()
  world.connect('r1', { isolation: sandboxOnly })
  const requires = { boxes: ['container' as const, 'sandbox' as const] }
  const first = world.submit('ann', requires, { isolation: 'sandbox' })
  assert.equal(
    world.whys.get(first)!.at(-1),
    'no runner in group "default" can provide a container: runner "r1": There is no container engine',
  )
  world.connect('r2', { isolation: both })
  assert.equal(runnerOf(first), key('r2'))
})
