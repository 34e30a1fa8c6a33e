import assert from 'node:assert/strict'
import test from 'node:test'
import type { Pool } from '../../contract/fleet/provisioning.ts'
import { PoolSettings } from './pool-settings.ts'

const pool = (change: Partial<Pool> = {}): Pool => ({
  ...{ group: 'builders', provisioner: 'process', max: 4, spare: 1, idle_seconds: 60, start_seconds: 300 },
  ...{ paused: false, labels: {} },
  ...change,
})

/** Opens settings next to a file and a store; `again` opens the next process with both. */
async function settingsOf() {
  const stored = new Map<string, string>()
  const logged: string[] = []
  const place = { file: [pool()] as readonly Pool[], fails: false }
  const again = async () => {
    const settings = new PoolSettings({
      file: () => place.file,
      store: {
        setting: async (key) => stored.get(key),
        setSetting: async (key, value) => {
          if (place.fails) throw new Error('no space left')
          stored.set(key, value)
        },
      },
      log: (text) => void logged.push(text),
    })
    await settings.restore()
    return settings
  }
  return { settings: await again(), again, place, said: logged }
}

test("an admin's change takes precedence over the file, is shown with the file's value, and survives restarts", async () => {
  const { settings, again, said } = await settingsOf()
  await settings.change('builders', { max: 9, paused: true }, 'ann')
  await settings.change('builders', { spare: 3 }, 'bob')
  for (const each of [settings, await again()]) {
    const [{ max, spare, paused, idle_seconds } = pool()] = each.pools()
    assert.deepEqual([max, spare, paused, idle_seconds], [9, 3, true, 60])
    assert.deepEqual(
      each.changesOf('builders').map(({ key, value, file, by }) => [key, value, file, by]),
      [
        ['max', 9, 4, 'ann'],
        ['spare', 3, 1, 'bob'],
        ['paused', true, false, 'ann'],
      ],
    )
  }
  assert.equal(settings.pools(), settings.pools(), 'the list stays the same object until something changes')
  assert.deepEqual(said, [
    'ann changed group "builders": max: 9, paused: true.',
    'bob changed group "builders": spare: 3.',
  ])
})

test('a change ends when it is withdrawn, matches the file, or the file later changes that key', async () => {
  const { settings, again, place } = await settingsOf()
  await settings.change('builders', { max: 9, spare: 2, paused: true }, 'ann')
  await settings.change('builders', { spare: null, paused: false }, 'ann')
  assert.deepEqual(
    settings.changesOf('builders').map(({ key }) => key),
    ['max'],
  )
  place.file = [pool({ spare: 2 })]
  assert.equal(settings.pools()[0]?.max, 9, 'the file has changed another key')
  place.file = [pool({ max: 5 })]
  assert.equal(settings.pools()[0]?.max, 5)
  place.file = [pool()]
  assert.equal(settings.pools()[0]?.max, 4, 'the change does not come back')
  await settings.change('builders', { spare: 2 }, 'ann')
  place.file = []
  const next = await again()
  assert.deepEqual(next.pools(), [])
  place.file = [pool()]
  assert.equal(next.pools()[0]?.spare, 1, 'the change of a removed group does not come back either')
})

test('a change that is invalid or cannot be stored changes nothing', async () => {
  const { settings, place } = await settingsOf()
  await assert.rejects(settings.change('others', { max: 2 }, 'ann'), { code: 'not_found' })
  await assert.rejects(settings.change('builders', { spare: 5 }, 'ann'), {
    code: 'invalid_argument',
    message: 'spare is 5, which is more than max (4).',
  })
  place.fails = true
  await assert.rejects(settings.change('builders', { max: 2 }, 'ann'), /no space left/)
  place.fails = false
  assert.deepEqual([settings.changesOf('builders'), settings.pools()[0]?.max], [[], 4])
  await settings.change('builders', { spare: 5, max: 5 }, 'ann')
  assert.equal(settings.pools()[0]?.spare, 5)
})
