import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { ErrandClient } from '../../src/client/client.ts'
import type { Health } from '../../src/contract/run-api.ts'
import { startHub } from '../../src/hub/start-hub.ts'
import { seedOpenRuns } from '../support/open-runs.ts'
import { freePort } from '../support/programs.ts'

const COUNT = 3_000

function folder(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'errand-open-runs-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

test('a hub with many open runs answers at once, reports its progress, and serves requested runs first', async (t) => {
  const data = folder(t)
  await seedOpenRuns(data, COUNT)
  const port = await freePort()
  const starting = startHub({
    ...{ data, host: '127.0.0.1', port, version: '0.0.0-test', env: {} },
    isDurable: () => true,
    own: { reportAdmin: () => {} },
    log: () => {},
  })
  t.after(async () => (await starting).close())
  const url = `http://127.0.0.1:${port}`
  const health = async () => (await fetch(`${url}/health`)).json() as Promise<Health>
  const seen: Health[] = []
  const canceled: Promise<void>[] = []
  let client = new ErrandClient({ url })
  let up = false
  void starting.then(() => {
    up = true
  })
  while (!up) {
    await health().then(
      (each) => seen.push(each),
      () => {},
    )
    if (seen.at(-1)?.taking_up === undefined || canceled.length > 0) continue
    client = new ErrandClient({ url, token: readFileSync(join(data, 'local-token'), 'utf8').trim() })
    const { runs } = await client.runs.list({ limit: 1 })
    canceled.push(
      client.runs.cancel(runs[0]!.run_id).then(() => assert.equal(up, false, 'it did not have to wait')),
    )
  }
  assert.equal(canceled.length, 1)
  await canceled[0]
  const { of, done } = seen.find(({ taking_up }) => taking_up)!.taking_up!
  assert.equal(of, COUNT)
  assert.ok(done < COUNT)
  assert.equal((await health()).taking_up, undefined)
})
