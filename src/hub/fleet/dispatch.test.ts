import assert from 'node:assert/strict'
import { afterEach, test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import fc from 'fast-check'
import { GB, key, TestingDispatch } from '../../../test/support/hub/dispatch-fixture.ts'
import type { Assignment } from './assignments.ts'
import type { WaitLimits } from './dispatch.ts'

const open: TestingDispatch[] = []
afterEach(() => {
  for (const world of open.splice(0)) world.close()
})
function openWorld(limits?: WaitLimits): TestingDispatch {
  const world = new TestingDispatch(limits)
  open.push(world)
  return world
}
const isRunning = ({ stage }: Assignment) => stage.type === 'assigning' || stage.type === 'placed'
const users = ['ann', 'bob', 'cem', 'dia']

test('a user who arrives later gets every second freed slot, until both have the same number', () => {
  const world = openWorld()
  world.connect('r1')
  for (let i = 0; i < 12; i++) world.submit('ann')
  for (let i = 0; i < 12; i++) world.submit('bob')
  assert.equal(world.slotsOf('ann'), 4)
  for (const expected of [
    [3, 1],
    [2, 2],
    [2, 2],
  ]) {
    world.end(world.running.find(({ spec }) => spec.owner === 'ann')!)
    assert.deepEqual([world.slotsOf('ann'), world.slotsOf('bob')], expected)
  }
})

test('users of two tenants do not count for each other', () => {
  const world = openWorld()
  world.connect('r1', { slots: 1 })
  const first = world.submit('ann', {}, { tenant: 'other' })
  assert.equal(world.whys.get(first)!.at(-1), 'no runner is connected')
  const own = world.submit('ann')
  assert.ok(isRunning(own))
})

test('each slot goes to a user with the fewest, and within one user to the oldest step', () => {
  const operation = fc.record({
    submit: fc.boolean(),
    user: fc.constantFrom(...users),
    which: fc.nat(),
  })
  fc.assert(
    fc.property(
      fc.array(operation, { maxLength: 120 }),
      fc.integer({ min: 1, max: 3 }),
      (operations, count) => {
        const world = openWorld()
        for (let i = 0; i < count; i++) world.connect(`r${i}`, { slots: 2 })
        for (const { submit, user, which } of operations) {
          const { waiting, running } = world
          if (submit || running.length === 0) world.submit(user)
          else {
            const over = running[which % running.length]!
            const slots = new Map(users.map((name) => [name, world.slotsOf(name)]))
            slots.set(over.spec.owner!, slots.get(over.spec.owner!)! - 1)
            world.end(over)
            const values = waiting.filter(isRunning)
            assert.equal(values.length, Math.min(1, waiting.length))
            for (const { spec, arrival } of values) {
              const fewest = Math.min(...waiting.map((each) => slots.get(each.spec.owner!)!))
              assert.equal(slots.get(spec.owner!), fewest)
              const own = waiting.filter((each) => each.spec.owner === spec.owner)
              assert.equal(arrival, Math.min(...own.map((each) => each.arrival)))
            }
          }
          assert.deepEqual(world.complaints(), [])
        }
      },
    ),
  )
})

test('at saturation, users with work differ by at most one slot, once the first steps have ended', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(), { minLength: 60, maxLength: 60 }), (choices) => {
      const world = openWorld()
      world.connect('r1', { slots: 5 })
      world.connect('r2', { slots: 4 })
      for (const user of users) for (let i = 0; i < 80; i++) world.submit(user)
      for (const assignment of [...world.running]) world.end(assignment)
      for (const which of choices) {
        const { running } = world
        world.end(running[which % running.length]!)
        const slots = users.map((user) => world.slotsOf(user))
        assert.equal(
          slots.reduce((a, b) => a + b),
          9,
        )
        assert.ok(Math.max(...slots) - Math.min(...slots) <= 1, String(slots))
      }
    }),
    { numRuns: 20 },
  )
})

test('nothing waits forever, however large it is and however many small steps there are', () => {
  const work = fc.record({
    user: fc.constantFrom(...users),
    cpus: fc.constantFrom(undefined, 1, 2, 4),
    memory_bytes: fc.constantFrom(undefined, GB, 4 * GB),
  })
  fc.assert(
    fc.property(
      fc.array(work, { minLength: 1, maxLength: 15 }),
      fc.array(fc.nat(), { minLength: 50, maxLength: 50 }),
      (works, choices) => {
        const world = openWorld({ patience: 3 })
        world.connect('r1')
        world.connect('r2', { slots: 2 })
        for (const { user, ...requires } of works) world.submit(user, requires)
        const early = [...world.assignments]
        for (
          let round = 0;
          round < 25 * works.length && early.some(({ stage }) => stage.type === 'waiting');
          round++
        ) {
          const choice = choices[round % choices.length]!
          for (let i = 0; i < 2; i++) world.submit(users[(choice + i) % 4]!, { cpus: 1 })
          // Late attempts overtake nothing because they end late.
          const { running } = world
          world.end(running[choice % Math.min(2, running.length)]!)
          assert.deepEqual(world.complaints(), [])
        }
        assert.deepEqual(
          early.filter(({ stage }) => stage.type === 'waiting').map(({ spec }) => spec.requires),
          [],
        )
      },
    ),
    { numRuns: 60 },
  )
})

test('a large step that was passed over often enough gets a runner reserved, for a limited time', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const world = openWorld({ patience: 2, keepMs: 60_000 })
  const runner = world.connect('r1', { slots: 8 })
  const endless = world.submit('ann', { cpus: 1 })
  const [first, second, third] = [1, 2, 3].map(() => world.submit('ann', { cpus: 1 }))
  const large = world.submit('bob', { cpus: 4 })
  const small = [1, 2, 3, 4].map(() => world.submit('ann', { cpus: 1 }))
  assert.match(world.whys.get(large)!.at(-1)!, /has less than 4 cpus free \(0\)/)
  world.end(first!)
  world.end(second!)
  assert.deepEqual(small.map(isRunning), [true, true, false, false])
  world.end(third!)
  assert.ok(runner.reserved)
  assert.deepEqual(small.map(isRunning), [true, true, false, false])
  t.mock.timers.tick(500)
  assert.match(world.whys.get(small[2]!)!.at(-1)!, /is reserved for a larger step/)

  t.mock.timers.tick(60_000)
  assert.deepEqual(small.map(isRunning), [true, true, true, false])
  for (const each of world.running) if (each !== endless) world.end(each)
  for (const each of world.running) if (each !== endless) world.end(each)
  assert.ok(!isRunning(large))
  world.end(endless)
  assert.ok(isRunning(large))
  assert.ok(!runner.reserved)
})

test('canceling a step releases the runner that is reserved for it', () => {
  const world = openWorld({ patience: 1 })
  const runner = world.connect('r1', { cpus: 2 })
  const first = [1, 2].map(() => world.submit('ann', { cpus: 1 }))
  const large = world.submit('bob', { cpus: 2 })
  const small = [1, 2].map(() => world.submit('ann', { cpus: 1 }))
  world.end(first[0]!)
  world.end(first[1]!)
  assert.ok(runner.reserved)
  assert.ok(!isRunning(small[1]!))
  world.end(large)
  assert.ok(!runner.reserved)
  assert.ok(isRunning(small[1]!))
})

test('steps of a run wait for the runner that has its files, and move on when it goes', () => {
  const world = openWorld()
  world.connect('r1', { slots: 1 })
  const first = world.submit('ann', {}, { run_id: 'run' })
  world.connect('r2', { slots: 1 })
  const second = world.submit('ann', {}, { run_id: 'run', attempt_id: 'run.2' })
  const third = world.submit('ann', {}, { run_id: 'run', attempt_id: 'run.3' })
  assert.ok(isRunning(first))
  assert.equal(
    world.whys.get(second)!.at(-1),
    'runner "r1", which has the files of this run, is busy (1 of 1 slots)',
  )
  world.disconnect('r1')
  assert.deepEqual(second.stage.type === 'assigning' && second.stage.runner, key('r2'))
  assert.ok(!isRunning(third))
  world.end(second)
  assert.deepEqual(third.stage.type === 'assigning' && third.stage.runner, key('r2'))
})

test('two waiting steps of a run with different needs move on when its runner goes, and leave no empty queue', async () => {
  const world = openWorld()
  world.connect('r1', { slots: 1 })
  const step = (number: number, cpus: number) =>
    world.submit('ann', { cpus }, { run_id: 'run_x', attempt_id: `run_x.${number}` })
  const [, small, large] = [step(1, 0), step(2, 1), step(3, 2)]
  world.connect('r2', { slots: 1 })
  world.disconnect('r1')
  // Wait until the placement is committed.
  await setImmediate()
  assert.deepEqual(small.stage, { type: 'placed', runner: key('r2') })
  assert.equal(large.stage.type, 'waiting')
  world.end(small)
  assert.ok(isRunning(large))
})

test('steps of a run wait for the runner that has its files while it is expected back', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const world = openWorld()
  world.connect('r1', { slots: 1 })
  const first = world.submit('ann', {}, { run_id: 'run' })
  world.dispatch.begun(first)
  world.connect('r2')
  const [second, third] = ['run.2', 'run.3'].map((attempt_id) =>
    world.submit('ann', {}, { run_id: 'run', attempt_id }),
  ) as [Assignment, Assignment]
  const runnerOfIt = ({ stage }: Assignment) => ('runner' in stage ? stage.runner : stage.type)
  world.end(first)
  assert.equal(runnerOfIt(second), key('r1'))

  world.disconnect('r1', true)
  const fourth = world.submit('ann', {}, { run_id: 'run', attempt_id: 'run.4' })
  world.end(second)
  assert.deepEqual([third, fourth].map(runnerOfIt), ['waiting', 'waiting'])
  t.mock.timers.tick(500)
  assert.equal(
    world.whys.get(fourth)!.at(-1),
    'runner "r1", which has the files of this run, is not connected',
  )

  world.connect('r1', { slots: 1 })
  assert.deepEqual([third, fourth].map(runnerOfIt), [key('r1'), 'waiting'])
  world.disconnect('r1', true)
  world.disconnect('r1')
  assert.equal(runnerOfIt(fourth), key('r2'), 'the runner was given up')
})

test('a drained runner takes only the next steps of the runs whose files it has, as slots become free', () => {
  const world = openWorld()
  const runner = world.connect('r1', { slots: 1 })
  const first = world.submit('ann', {}, { run_id: 'run' })
  world.dispatch.begun(first)
  const second = world.submit('ann', {}, { run_id: 'run', attempt_id: 'run.2' })
  const other = world.submit('bob')
  runner.drained = true
  world.dispatch.rosterChanged(runner)
  world.end(first)
  assert.deepEqual([isRunning(second), isRunning(other)], [true, false])
  world.end(second)
  const third = world.submit('ann', {}, { run_id: 'run', attempt_id: 'run.3' })
  assert.deepEqual([isRunning(third), isRunning(other)], [true, false])
})

test('a run that has not begun does not wait for a runner that goes, and each step is handed out once', async () => {
  const world = openWorld()
  const runner = world.connect('r1', { slots: 1 })
  const first = world.submit('ann', {}, { run_id: 'run' })
  const [second, third] = ['run.2', 'run.3'].map((attempt_id) =>
    world.submit('ann', {}, { run_id: 'run', attempt_id }),
  ) as [Assignment, Assignment]
  world.connect('r2')
  runner.draining = true
  world.dispatch.rosterChanged(runner)
  world.dispatch.again(first)
  for (const { stage } of [first, second, third]) assert.equal('runner' in stage && stage.runner, key('r2'))
  await setImmediate()
  assert.deepEqual(new Set(world.given), new Set([first, second, third]))
  assert.equal(world.given.length, 3)
})

test('a runner that returns gets the step that waits for its files, even if another was reserved for it', () => {
  const world = openWorld({ patience: 1 })
  world.connect('home')
  const step = (number: number) =>
    world.submit('ann', { cpus: 4 }, { run_id: 'run_x', attempt_id: `run_x.${number}` })
  const first = step(1)
  world.disconnect('home')
  const other = world.connect('other')
  world.submit('bob', { cpus: 1 })
  const large = step(2)
  // This one arrives later and passes it over.
  world.submit('bob', { cpus: 1 })
  assert.ok(other.reservedFor)
  world.connect('home')
  for (const each of world.running) if (each.spec.owner === 'bob') world.end(each)
  assert.equal(large.stage.type, 'waiting')
  world.end(first)
  assert.ok(world.runners.get(key('home'))!.held.has(large.spec.attempt_id))
})

const small = { containers: true, cpus: 0.5, memory_bytes: 64 * 1024 ** 2 }
const withEngine = { containers: { engine: 'docker', version: '0' } }

test('twenty bots of half a core run next to a workflow on two cores, and leave it all slots and cores', () => {
  const world = openWorld()
  const runner = world.connect('r1', { cpus: 2, memory_bytes: 2 * GB, slots: 8, ...withEngine })
  const steps = Array.from({ length: 4 }, () => world.submit('ann', { cpus: 0.5 }))
  const bots = Array.from({ length: 20 }, () => world.submit('bob', small))
  assert.ok([...steps, ...bots].every(isRunning))
  assert.deepEqual([runner.used, runner.freeCpus, runner.freeMemoryBytes], [4, 0, 768 * 1024 ** 2])
  const { running, bots: count, bots_memory, free_memory } = runner.view(runner.hello!)
  assert.deepEqual([running, count, bots_memory, free_memory], [4, 20, '1.3GB', '768MB'])
  const more = Array.from({ length: 4 }, () => world.submit('ann'))
  assert.ok(more.every(isRunning), 'each slot is for a step')
  const last = Array.from({ length: 13 }, () => world.submit('bob', small)).at(-1)!
  assert.equal(
    world.whys.get(last)!.at(-1),
    'runner "r1" of group "default" has less than 64 MB free (0 MB)',
    'bots also fit while no slot is free, until the memory is used up',
  )
  world.end(bots[0]!)
  assert.ok(isRunning(last))
  for (const each of world.running) world.end(each)
  assert.deepEqual([runner.used, runner.freeCpus, runner.freeMemoryBytes], [0, 2, 2 * GB])
})

test('a runner reserves cores for bots if its operator says so, and a change applies to its current bots', () => {
  const world = openWorld()
  const runner = world.connect('r1', { cpus: 2, ...withEngine, bots: { cpu_overcommit: 3 } })
  const bots = Array.from({ length: 13 }, () => world.submit('bob', small))
  assert.deepEqual(bots.map(isRunning).indexOf(false), 12)
  assert.match(world.whys.get(bots[12]!)!.at(-1)!, /has less than 0\.1\d* cpus free \(0\)$/)
  assert.ok(!isRunning(world.submit('ann', { cpus: 0.5 })))
  world.connect('r1', { cpus: 2, ...withEngine, bots: { cpu_overcommit: 6 } })
  assert.ok(isRunning(bots[12]!))
  assert.equal(Math.round(runner.freeCpus * 1000), 417)
})

test('a bot does not count as a step of its owner, and among bots the owner with fewer comes first', () => {
  const world = openWorld()
  world.connect('r1', { slots: 1, memory_bytes: 192 * 1024 ** 2, ...withEngine })
  for (let i = 0; i < 3; i++) world.submit('ann', small)
  const step = world.submit('cem')
  const [bobs, anns] = ['bob', 'ann'].map((owner) => world.submit(owner))
  const [annsBot, bobsBot] = ['ann', 'bob'].map((owner) => world.submit(owner, small))
  world.end(step)
  assert.deepEqual(
    [bobs, anns].map((each) => isRunning(each!)),
    [true, false],
    'in order of arrival',
  )
  world.end(world.running.find(({ spec }) => spec.requires.containers)!)
  assert.deepEqual(
    [annsBot, bobsBot].map((each) => isRunning(each!)),
    [false, true],
  )
})

test('starting bots do not pass over a step that waits for a slot, and no runner is reserved for a bot', () => {
  const world = openWorld({ patience: 2 })
  const runner = world.connect('r1', { slots: 1, memory_bytes: GB, ...withEngine })
  const [, waiting] = [world.submit('ann', { memory_bytes: GB / 2 }), world.submit('ann')]
  const bots = Array.from({ length: 3 }, () => world.submit('cem', small))
  assert.ok(bots.every(isRunning))
  const large = world.submit('bob', { ...small, memory_bytes: 0.75 * GB })
  for (const each of bots) {
    world.end(each)
    assert.ok(isRunning(world.submit('cem', small)))
  }
  assert.deepEqual(
    [waiting, large].map((each) => isRunning(each!)),
    [false, false],
  )
  assert.ok(!runner.reserved)
})

test('no runner is reserved for a step that its bots leave no room for', () => {
  const world = openWorld({ patience: 2 })
  const runner = world.connect('r1', { memory_bytes: GB, ...withEngine })
  const bot = world.submit('cem', small)
  const large = world.submit('bob', { memory_bytes: GB })
  for (let i = 0; i < 8; i++) {
    const step = world.submit('ann')
    assert.ok(isRunning(step))
    world.end(step)
  }
  assert.ok(!runner.reserved)
  const filling = world.submit('ann', { memory_bytes: GB / 2 })
  world.end(bot)
  for (let i = 0; i < 2; i++) world.submit('ann')
  assert.ok(runner.reserved, 'a step is known to end')
  world.end(filling)
  assert.ok(isRunning(large))
})

test('waiting steps learn a new cause, and a hundred of them new numbers', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const world = openWorld()
  const waiting = Array.from({ length: 150 }, () => world.submit('ann'))
  world.connect('r1', { slots: 1 })
  world.connect('r2', { slots: 1 })
  t.mock.timers.tick(500)
  const reasons = () =>
    waiting.filter((each) => each.stage.type === 'waiting').map((each) => world.whys.get(each)!)
  const two = 'all 2 runners of group "default" are busy (2 of 2 slots)'
  for (const whys of reasons()) assert.deepEqual(whys, ['no runner is connected', two])
  world.connect('r3', { slots: 1 })
  t.mock.timers.tick(500)
  const three = 'all 3 runners of group "default" are busy (3 of 3 slots)'
  assert.equal(reasons().filter((whys) => whys.at(-1) === three).length, 100)
})

test('an attempt that all runners have rejected ends with their reasons', () => {
  const world = openWorld()
  world.connect('r1')
  const assignment = world.submit('ann')
  assignment.rejections.set(key('r1'), 'no')
  world.dispatch.again(assignment)
  assert.equal(assignment.stage.type, 'ending')
})

test('a canceled attempt that is rejected ends, and waits for no other runner', () => {
  const world = openWorld()
  const { held } = world.connect('r1')
  const assignment = world.submit('ann')
  assignment.cancel = { reason: 'canceled', force: false }
  world.dispatch.again(assignment)
  assert.deepEqual([assignment.stage.type, held.size, world.waiting], ['ending', 0, []])
})
