import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { expectedEnd, Schedule, type Width, type Work, weightOf } from './test-schedule.ts'

/** Returns a file that keeps this share of a processor busy. */
const work = (file: string, share: number, also: Partial<Work> = {}): Work => ({
  file,
  services: [],
  duration: { wallMs: 1000, cpuMs: 1000 * share },
  ...also,
})
const kubernetes = { services: ['kubernetes'] }
const alone = { ...kubernetes, alone: 'kubernetes' }

const namesOf = (works: readonly Work[]) => works.map(({ file }) => file).join(' ')

/** Starts all files that may begin now, and returns them. */
function begin(schedule: Schedule): Work[] {
  const begun: Work[] = []
  for (let next = schedule.next(); next !== undefined; next = schedule.next()) begun.push(next)
  return begun
}

test('the weight of a file is the share of a processor that it used, within limits', () => {
  assert.equal(weightOf(work('a', 0.5)), 0.5)
  assert.equal(weightOf(work('a', 0.01)), 0.2)
  assert.equal(weightOf(work('a', 3)), 1)
  assert.equal(weightOf(work('a', 0, { duration: { wallMs: 0, cpuMs: 0 } })), 0.2)
  assert.equal(weightOf(work('a', 0, { duration: { wallMs: 400 } })), 1)
  assert.equal(weightOf({ file: 'new', services: [] }), 2 / 3)
})

test('a file with a browser counts as one that computes most of the time', () => {
  const duration = { wallMs: 1000, cpuMs: 100 }
  assert.equal(weightOf({ file: '', services: ['browsers'], duration }), 0.75)
  assert.equal(weightOf({ file: '', services: ['browsers'], duration: { wallMs: 1000, cpuMs: 900 } }), 0.9)
})

test('files start in their order', () => {
  const works = ['a', 'b', 'c', 'd'].map((file) => work(file, 1))
  const schedule = new Schedule(works, { cores: 1, most: 3 })
  for (const expected of works) {
    assert.deepEqual(begin(schedule), [expected])
    schedule.ended(expected)
  }
  assert.deepEqual(schedule.waiting, [])
  assert.equal(schedule.next(), undefined)
  assert.equal(works.length, 4)
})

test('waiting files run beside computing ones, and a later file may overtake one that does not fit', () => {
  const works = [work('busy', 1), work('busy too', 1), work('waits', 0), work('waits too', 0)]
  const schedule = new Schedule(works, { cores: 1, most: 8 })
  assert.equal(namesOf(begin(schedule)), 'busy waits')
  assert.equal(namesOf(schedule.waiting), 'busy too waits too')
  schedule.ended(works[2]!)
  assert.equal(namesOf(begin(schedule)), 'waits too')
  schedule.ended(works[0]!)
  assert.equal(namesOf(begin(schedule)), 'busy too')
})

test('no more than the maximum number of files run, however little they compute', () => {
  const works = Array.from({ length: 9 }, (_, n) => work(`${n}`, 0))
  const schedule = new Schedule(works, { cores: 8, most: 3 })
  assert.equal(namesOf(begin(schedule)), '0 1 2')
  schedule.ended(works[1]!)
  assert.equal(namesOf(begin(schedule)), '3')
})

test('the first file starts when nothing runs, however heavy it is', () => {
  const schedule = new Schedule([work('a', 1), work('b', 1)], { cores: 0.5, most: 3 })
  assert.equal(namesOf(begin(schedule)), 'a')
})

test('a file whose service is not ready waits while others run, and then takes its turn', () => {
  const ready = new Set<string>(['agents'])
  const works = [
    work('cluster', 0, { services: ['agents', 'kubernetes'] }),
    work('agent', 0, { services: ['agents'] }),
    work('none', 0),
  ]
  const schedule = new Schedule(works, { cores: 4, most: 4 }, (service) => ready.has(service))
  assert.equal(namesOf(begin(schedule)), 'agent none')
  schedule.ended(works[1]!)
  schedule.ended(works[2]!)
  assert.deepEqual(begin(schedule), [])
  ready.add('kubernetes')
  assert.equal(namesOf(begin(schedule)), 'cluster')
})

const wide: Width = { cores: 8, most: 8 }

test('a file that needs a service to itself starts when no other uses it, and none uses it meanwhile', () => {
  const works = [work('user', 0, kubernetes), work('alone', 0, alone), work('other', 0)]
  const schedule = new Schedule(works, wide)
  assert.equal(namesOf(begin(schedule)), 'user other')
  schedule.ended(works[0]!)
  assert.equal(namesOf(begin(schedule)), 'alone')

  const later = [
    work('alone', 0, alone),
    work('user', 0, kubernetes),
    work('other', 0),
    work('too', 0, alone),
  ]
  const next = new Schedule(later, wide)
  assert.equal(namesOf(begin(next)), 'alone other')
  next.ended(later[0]!)
  assert.equal(namesOf(begin(next)), 'user')
  next.ended(later[1]!)
  assert.equal(namesOf(begin(next)), 'too')
})

test('later files that ask for its service do not overtake a file that waits to be alone', () => {
  const works = [work('user', 0, kubernetes), work('alone', 0, alone), work('later', 0, kubernetes)]
  const schedule = new Schedule(works, wide)
  assert.equal(namesOf(begin(schedule)), 'user')
  schedule.ended(works[0]!)
  assert.equal(namesOf(begin(schedule)), 'alone')
})

test('such files do not overtake a file that must be alone and does not fit yet either', () => {
  const works = [
    work('busy', 1),
    work('alone', 1, alone),
    work('later', 0, kubernetes),
    work('other', 0, { services: ['docker'] }),
  ]
  const schedule = new Schedule(works, { cores: 1, most: 8 })
  assert.equal(namesOf(begin(schedule)), 'busy other')
  schedule.ended(works[0]!)
  assert.equal(namesOf(begin(schedule)), 'alone')
})

test('a file with a browser and one that changes the network do not run at the same time', () => {
  const [browser, container] = [{ services: ['browsers'] }, { services: ['docker'], changesNetwork: true }]
  const works = [
    work('page', 0, browser),
    work('bot', 0, container),
    work('page 2', 0, browser),
    work('none', 0),
  ]
  const schedule = new Schedule(works, wide)
  assert.equal(namesOf(begin(schedule)), 'page page 2 none')
  schedule.ended(works[0]!)
  assert.deepEqual(begin(schedule), [])
  schedule.ended(works[2]!)
  assert.equal(namesOf(begin(schedule)), 'bot')
  const other = [work('cable', 0, { changesNetwork: true }), work('page', 0, browser)]
  const next = new Schedule(other, wide)
  assert.equal(namesOf(begin(next)), 'cable')
  next.ended(other[0]!)
  assert.equal(namesOf(begin(next)), 'page')
})

const took = (file: string, wallMs: number, also: Partial<Work> = {}): Work =>
  work(file, 0, { duration: { wallMs, cpuMs: wallMs }, ...also })

test('the expected end is that of the last file', () => {
  const one = { cores: 1, most: 3 }
  assert.equal(expectedEnd([], one), 0)
  assert.equal(expectedEnd([took('a', 300), took('b', 200)], one), 500)
  assert.equal(expectedEnd([took('a', 300), took('b', 200), took('c', 200)], { cores: 2, most: 6 }), 400)
  assert.equal(expectedEnd([took('a', 300), took('b', 200), took('c', 200)], { cores: 2, most: 1 }), 700)
  assert.equal(expectedEnd([{ file: 'new', services: [] }], one), 3000)
  const idle = { duration: { wallMs: 300, cpuMs: 0 } }
  assert.equal(expectedEnd([work('a', 0, idle), work('b', 0, idle)], one), 300)
  assert.equal(expectedEnd([took('a', 300, alone), took('b', 300, alone)], { cores: 4, most: 8 }), 600)
})

test('for a running file the rest is expected, and a quarter more once it takes longer than before', () => {
  const one = { cores: 1, most: 3 }
  const [runs, waits] = [took('runs', 300), took('waits', 200)]
  assert.equal(expectedEnd([], one, new Map([[runs, 100]])), 200)
  assert.equal(expectedEnd([waits], one, new Map([[runs, 100]])), 400)
  assert.equal(expectedEnd([], one, new Map([[runs, 400]])), 100)
  assert.equal(expectedEnd([waits], one, new Map([[runs, 400]])), 300)
})

const services = ['docker', 'kubernetes', 'browsers'] as const

const someWork = fc
  .record({
    asked: fc.subarray([...services]),
    isAlone: fc.boolean(),
    changesNetwork: fc.boolean(),
    duration: fc.option(
      fc.record({ wallMs: fc.nat(1000), cpuMs: fc.option(fc.nat(2000), { nil: undefined }) }),
      { nil: undefined },
    ),
  })
  .map(({ asked, isAlone, changesNetwork, duration }): Work => {
    const { wallMs, cpuMs } = duration ?? {}
    return {
      file: '',
      services: asked,
      changesNetwork,
      ...(isAlone && asked.length > 0 && { alone: asked[0] }),
      ...(wallMs !== undefined && { duration: { wallMs, ...(cpuMs !== undefined && { cpuMs }) } }),
    }
  })

test('each file starts exactly once, and no rule is ever broken', () => {
  const setting = fc.record({
    works: fc.array(someWork, { maxLength: 30 }),
    cores: fc.integer({ min: 1, max: 4 }),
    most: fc.integer({ min: 1, max: 8 }),
    // The service that becomes ready after so many files have ended.
    late: fc.record({ service: fc.constantFrom(...services, undefined), after: fc.nat(10) }),
    // Which of the running files ends next.
    ends: fc.infiniteStream(fc.nat()),
  })
  fc.assert(
    fc.property(setting, ({ works, cores, most, late, ends }) => {
      const isReady = (service: string) => service !== late.service || ended >= late.after
      const schedule = new Schedule(works, { cores, most }, isReady)
      const running = new Set<Work>()
      const begun = new Set<Work>()
      let ended = 0
      const startAll = () => {
        for (const next of begin(schedule)) {
          assert.ok(!begun.has(next) && works.includes(next))
          assert.ok(next.services.every(isReady))
          const passed = works.slice(0, works.indexOf(next)).filter((one) => !begun.has(one))
          for (const one of passed) assert.ok(!one.services.every(isReady) || !usesService(next, one.alone))
          begun.add(next)
          running.add(next)
          assertRules([...running], { cores, most })
        }
        const waiting = works.filter((one) => !begun.has(one))
        assert.deepEqual(schedule.waiting, waiting)
        if (running.size === 0) assert.ok(!waiting.some((one) => one.services.every(isReady)))
      }
      startAll()
      while (running.size > 0 || begun.size < works.length) {
        const ending = [...running][ends.next().value! % (running.size || 1)]
        ended++
        if (ending !== undefined) {
          running.delete(ending)
          schedule.ended(ending)
        }
        startAll()
      }
      assert.equal(begun.size, works.length)
    }),
  )
})

function assertRules(running: readonly Work[], { cores, most }: Width): void {
  assert.ok(running.length <= most)
  for (const one of running.filter(({ changesNetwork }) => changesNetwork))
    assert.ok(!running.some((other) => other !== one && other.services.includes('browsers')))
  const weight = running.reduce((sum, one) => sum + weightOf(one), 0)
  assert.ok(running.length === 1 || weight <= cores * 1.35 + 1e-9, `weight ${weight}`)
  for (const one of running)
    for (const other of running) assert.ok(one === other || !usesService(other, one.alone))
}

const usesService = ({ services }: Work, service: string | undefined) =>
  service !== undefined && services.includes(service)
