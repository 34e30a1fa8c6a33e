import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { ChildRunner } from './child-runner.ts'

for (const [when, name] of [
  ['comes later', 'missing'],
  ['comes at once', 'no\0name'],
] as const)
  test(`a runner process that cannot be started is tried again, if the error ${when}`, async (t) => {
    const workspace = mkdtempSync(join(tmpdir(), 'errand-test-'))
    const { execPath } = process
    const logged: string[] = []
    process.execPath = join(workspace, name)
    const runner = new ChildRunner({
      ...{
        url: 'http://127.0.0.1:1',
        token: 'none',
        localToken: 'none',
        workspace,
        data: workspace,
        allowedDirs: [],
      },
      log: (message) => void logged.push(message),
    })
    t.after(async () => {
      process.execPath = execPath
      await runner.close()
      await runner.close()
      rmSync(workspace, { recursive: true })
    })
    for (const endMs = Date.now() + 120_000; logged.length < 2; await sleep(5))
      assert.ok(Date.now() < endMs, logged.join('\n'))
    for (const line of logged) assert.match(line, /could not be started: .* restarts in \d+\.\d s\.$/)
  })
