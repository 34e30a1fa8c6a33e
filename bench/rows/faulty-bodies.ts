import type { BenchHub } from '../hub.ts'
import { quantile, type Row, timed } from '../measure.ts'

const BODIES = 16
const BUDGET_MS = 1_000

/** Returns a body that no schema accepts, with `count` unknown fields. */
const faulty = (count: number): string =>
  JSON.stringify(
    Object.fromEntries(Array.from({ length: count }, (_, index) => [`unknown_field_${index}`, index])),
  )

const wrongFile = JSON.stringify({
  yaml: `version: v0.1\nname: wrong\nsteps:\n${'  - {name: one, actoin: cmd.run}\n'.repeat(9_000)}`,
})

/** Measures the hub's health while 16 large invalid bodies arrive at once: from strangers, and from a user. */
export async function faultyBodies(hub: BenchHub): Promise<Row[]> {
  const post = async (path: string, body: string, headers: Record<string, string> = {}) => {
    const answer = await fetch(hub.url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body,
    })
    return (await answer.text()).length
  }
  const user = { authorization: `Bearer ${hub.token}` }
  return [
    await during('16 login bodies of 6.6 MB without a token', hub, () =>
      post('/api/auth/login', faulty(230_000)),
    ),
    await during('16 login bodies of 60 KB without a token', hub, () =>
      post('/api/auth/login', faulty(2_000)),
    ),
    await during('16 bodies of a run with 90,000 faults', hub, () => post('/api/runs', faulty(90_000), user)),
    await during('16 workflow files with 9,000 wrong steps', hub, () =>
      post('/api/validate', wrongFile, user),
    ),
  ]
}

async function during(what: string, hub: BenchHub, send: () => Promise<number>): Promise<Row> {
  let isOver = false
  const sent = Promise.all(Array.from({ length: BODIES }, send)).finally(() => {
    isOver = true
  })
  const delays: number[] = []
  while (!isOver) delays.push(await timed(async () => (await fetch(`${hub.url}/health`)).text()))
  const largest = Math.max(...(await sent))
  const worst = quantile(delays, 1)
  return {
    name: `health during ${what}`,
    unit: 'ms',
    value: worst,
    budget: { what: '<= 1 s', holds: worst <= BUDGET_MS },
    details: { 'characters of the largest answer': largest },
  }
}
