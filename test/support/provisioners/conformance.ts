import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import { nameOf, newHubId, spareStem } from '../../../src/hub/provisioners/names.ts'
import type { FoundRunner, Provisioner, ProvisionNeed } from '../../../src/hub/provisioners/provisioner.ts'
import { eventually } from '../errand-command.ts'

/** A provisioner whose promises are checked, and the view of it from outside. */
export interface Subject {
  provisioner: Provisioner
  /** The id of the hub that it provisions runners for. */
  hub: string
  /** Returns another provisioner of the same hub, as after a restart. */
  again(): Provisioner
  /** Counts the runners of that name, as seen from outside. */
  count(name: string): number | Promise<number>
  /** Ends a runner from outside. */
  kill(name: string): void | Promise<void>
}

/** A signal that never aborts: no caller cancels these calls. */
const { signal } = new AbortController()

/** Returns a need of the hub, with a runner's environment. */
export function needOf(hub: string, change: Partial<ProvisionNeed> = {}): ProvisionNeed {
  const name = nameOf(spareStem(hub), 1)
  return {
    name,
    group: 'builders',
    env: {
      ERRAND_HUB_URL: 'http://127.0.0.1:9',
      ERRAND_ENROLL_TOKEN: 'errand_enroll_none',
      ERRAND_RUNNER_ID: name,
    },
    marks: { hub, run: '', epoch: '1', group: 'builders' },
    deadlineMs: Date.now() + 600_000,
    ...change,
  }
}

const stateOf = (found: readonly FoundRunner[], name: string) =>
  found.find((each) => each.name === name)?.state

/**
 * Checks a provisioner's promises: it creates one runner per name, another provisioner of the same hub finds it, and
 * it is gone once it is removed.
 */
export function provisionerSuite(what: string, open: (t: TestContext) => Subject | Promise<Subject>): void {
  test(`${what}: a runner that is requested twice is created once`, async (t) => {
    const { provisioner, hub, count } = await open(t)
    const need = needOf(hub)
    await provisioner.provision(need, signal)
    await provisioner.provision(need, signal)
    await eventually('one of it', async () => (await count(need.name)) === 1)
    const found = await provisioner.find(signal)
    assert.equal(found.filter(({ name }) => name === need.name).length, 1)
    await provisioner.remove(need.name, signal)
    assert.equal(await count(need.name), 0)
  })

  test(`${what}: another hub process finds an existing runner, and removes it`, async (t) => {
    const { provisioner, hub, again, count } = await open(t)
    const need = needOf(hub)
    await provisioner.provision(need, signal)
    const later = again()
    await eventually('its start', async () => stateOf(await later.find(signal), need.name) === 'running')
    await later.provision(need, signal)
    assert.equal(await count(need.name), 1)
    await later.remove(need.name, signal)
    assert.equal(await count(need.name), 0)
    assert.equal(stateOf(await provisioner.find(signal), need.name), undefined)
  })

  test(`${what}: a runner that is gone, or never existed, can be removed`, async (t) => {
    const { provisioner, hub } = await open(t)
    const { name } = needOf(hub)
    await provisioner.remove(name, signal)
    await provisioner.remove(name, signal)
    assert.equal(stateOf(await provisioner.find(signal), name), undefined)
  })

  test(`${what}: a runner that dies is found as ended until it is removed`, async (t) => {
    const { provisioner, hub, count, kill } = await open(t)
    const need = needOf(hub)
    await provisioner.provision(need, signal)
    await eventually('one of it', async () => (await count(need.name)) === 1)
    await kill(need.name)
    await eventually('its end', async () =>
      ['ended', undefined].includes(stateOf(await provisioner.find(signal), need.name)),
    )
    await provisioner.remove(need.name, signal)
    assert.equal(stateOf(await provisioner.find(signal), need.name), undefined)
  })

  test(`${what}: the runners of another hub are never its own`, async (t) => {
    const { provisioner, hub, count } = await open(t)
    const [mine, other] = [needOf(hub), needOf(newHubId())]
    await provisioner.provision(mine, signal)
    await provisioner.remove(other.name, signal)
    await eventually('one of it', async () => (await count(mine.name)) === 1)
    await provisioner.remove(mine.name, signal)
  })
}
