import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { builtinActionRegistry } from '../../src/actions/registry.ts'
import { openAttempts } from '../../src/runner/open-attempts.ts'
import { EngineStandIn } from './engine-stand-in.ts'
import { HubSetup, openRunner, spec, until } from './setup.ts'

test('a command continues while hub and runner restart, and each of its numbered lines arrives once', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'errand-link-'))
  const paths = { dir: join(folder, 'attempts'), workspaceDir: join(folder, 'workspace') }
  const hub = await HubSetup.open()
  const engine = new EngineStandIn()
  hub.fleet.ready()
  const open = async () => {
    const attempts = openAttempts({ ...paths, registry: builtinActionRegistry })
    await attempts.recover()
    const runner = openRunner(hub.url, attempts)
    return async () => {
      runner.link.close()
      await runner.done
      await attempts.close()
    }
  }
  let closeRunner = await open()
  const began = join(folder, 'began')
  const go = join(folder, 'go')
  // The second half waits for the test, so that the restarts happen in the middle of it.
  const script = `echo once >> '${began}'; i=0
    while [ $i -lt 200 ]; do
      i=$((i+1)); echo "line $i"
      if [ $i -gt 50 ] && [ $((i % 10)) -eq 0 ]; then sleep 0.02; fi
      if [ $i -eq 100 ]; then while [ ! -e '${go}' ]; do sleep 0.02; done; fi
    done; echo late >&2`
  try {
    const attempt = engine.start(hub.fleet, spec({ action: 'shell.run', args: { script } }))
    const other = engine.start(hub.fleet, spec({ action: 'noop' }))
    await until('some lines came', () => attempt.length('stdout') > 0)
    await closeRunner()
    closeRunner = await open()
    await until('half of the lines came', () => Buffer.concat(attempt.chunks.stdout).includes('line 100\n'))
    engine.forget()
    await hub.fleet.close()
    hub.newFleet()
    engine.resume(hub.fleet)
    hub.fleet.ready()
    await closeRunner()
    const again = engine.start(hub.fleet, spec({ action: 'cmd.run', args: { cmd: `touch '${go}'` } }))
    closeRunner = await open()
    await until('all ended', () => [attempt, other, again].every(({ end }) => end !== undefined))
    assert.equal(attempt.end?.outcome, 'success')
    const lines = Array.from({ length: 200 }, (_, i) => `line ${i + 1}\n`)
    assert.equal(Buffer.concat(attempt.chunks.stdout).toString(), lines.join(''))
    assert.equal(attempt.sha256('stdout'), attempt.end?.streams?.stdout?.sha256)
    assert.equal(Buffer.concat(attempt.chunks.stderr).toString(), 'late\n')
    assert.equal(await readFile(began, 'utf8'), 'once\n')
    assert.deepEqual(
      attempt.reports.map(({ type }) => type),
      ['started', 'ended'],
    )
    assert.deepEqual(engine.complaints, [])
  } finally {
    await closeRunner()
    await hub.close()
    await rm(folder, { recursive: true, force: true })
  }
})
