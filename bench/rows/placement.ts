import { TestingDispatch } from '../../test/support/hub/dispatch-fixture.ts'
import type { Row } from '../measure.ts'

const RUNNERS = 100
const USERS = 50
const PLACEMENTS = 20_000
const FEW = 100
const needs = [{}, { cpus: 1 }, { memory_bytes: 1024 ** 3 }, { cpus: 2, labels: { os: 'linux' } }]

/** Returns placements a second while `waiting` attempts wait. Each ended attempt frees room for the next in turn. */
async function perSecond(waiting: number): Promise<number> {
  const world = new TestingDispatch()
  for (let index = 0; index < RUNNERS; index++) world.connect(`r${index}`, { labels: { os: 'linux' } })
  let count = 0
  const submit = () => {
    count++
    return world.submit(`user ${count % USERS}`, needs[count % needs.length])
  }
  while (world.dispatch.waiting < waiting) submit()
  const started = world.assignments.filter(({ stage }) => stage.type !== 'waiting')
  const before = performance.now()
  for (let placed = 0; placed < PLACEMENTS; placed++) {
    world.end(started[placed] ?? world.given[placed - started.length]!)
    submit()
  }
  const seconds = (performance.now() - before) / 1000
  world.close()
  return PLACEMENTS / seconds
}

/** Measures placement while very many attempts wait. */
export async function placement(): Promise<Row[]> {
  await perSecond(FEW)
  const baseline = { what: `with ${FEW} waiting`, value: await perSecond(FEW) }
  const row = async (waiting: number): Promise<Row> => {
    const value = await perSecond(waiting)
    return {
      name: `placements on ${RUNNERS} runners with ${waiting.toLocaleString('en')} waiting`,
      unit: 'a second',
      value,
      baseline,
      budget: {
        what: '>= 5,000 a second, and >= 0.5 x',
        holds: value >= 5_000 && value / baseline.value >= 0.5,
      },
    }
  }
  return [await row(10_000), await row(100_000)]
}
