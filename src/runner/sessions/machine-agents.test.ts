import assert from 'node:assert/strict'
import test from 'node:test'
import { boxPlace, sandboxMissing } from '../../../test/support/runner/box-fixture.ts'
import type { Agent } from '../../agents/agent.ts'
import type { AgentState } from '../../contract/agent.ts'
import type { BoxesOptions } from '../sandbox/boxes.ts'
import { AgentServices } from './agent-services.ts'
import { agentStates } from './machine-agents.ts'

const program = { path: '/bin/true', version: '1', command: ['/bin/true'] }
const agent = {
  name: 'mine',
  title: 'Mine',
  keys: [],
  locate: async () => ({ type: 'found', program }),
  launch: () => ({}),
} as unknown as Agent
const lacking = {
  ...agent,
  name: 'gone',
  locate: async () => ({ type: 'missing', why: 'it is not there' }),
} as Agent

const NO_BUBBLEWRAP = { type: 'unusable', why: 'bubblewrap is not installed.', hint: 'Install it.' } as const

/** Returns the state of the two agents, on a machine with such boxes. */
async function states(options?: Partial<BoxesOptions>): Promise<Record<string, Partial<AgentState>>> {
  using place = boxPlace(options)
  const services = new AgentServices(
    { known: [agent, lacking], folder: place.path, sessionsDir: place.path, allowedDirs: 'any' },
    {},
  )
  const found = await agentStates(services, {}, options && place.boxes)
  return Object.fromEntries(
    found.map(({ name, usable, why, isolation, isolation_why }) => [
      name,
      { usable, why, isolation, isolation_why },
    ]),
  )
}

test('each agent reports the default box of its sessions', {
  skip: sandboxMissing(),
}, async () => {
  const { mine, gone } = await states({ least: 'auto' })
  assert.deepEqual(mine, { usable: true, why: undefined, isolation: 'sandbox', isolation_why: undefined })
  assert.deepEqual([gone!.usable, gone!.isolation], [false, 'sandbox'])
})

test('an agent without a box says why, and is unusable if one is required', async () => {
  const without = await states({ least: 'auto', bubblewrap: NO_BUBBLEWRAP })
  assert.deepEqual([without.mine!.usable, without.mine!.isolation], [true, 'none'])
  assert.match(without.mine!.isolation_why!, /without a sandbox.*bubblewrap is not installed\. Install it\./)
  const boxed = await states({ least: 'none' })
  assert.deepEqual([boxed.mine!.isolation, boxed.mine!.isolation_why], ['none', 'ERRAND_ISOLATION is none.'])
  const required = await states({ least: 'auto', required: true, bubblewrap: NO_BUBBLEWRAP })
  assert.deepEqual([required.mine!.usable, required.mine!.isolation], [false, 'none'])
  assert.match(required.mine!.why!, /bubblewrap is not installed.*Install it/)
  // The message says what prevents its use, not what else would.
  assert.match(required.gone!.why!, /it is not installed/)
  assert.deepEqual((await states()).mine, {
    ...{ usable: true, why: undefined, isolation: undefined, isolation_why: undefined },
  })
})
