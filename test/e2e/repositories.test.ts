import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { errandCommand, eventually } from '../support/errand-command.ts'
import { startPrograms, writeWorkflow } from '../support/programs.ts'

test('a run for a repository goes only to runners of its group', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'errand-repos-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const config = join(folder, 'ados.yaml')
  const repos = (group: string) => `repos: [{name: frontend-app, work_runner_group: ${group}}]\n`
  writeFileSync(config, `theme: dark\n${repos('frontend-runners')}`)
  const programs = await startPrograms(t, { hubEnv: { ERRAND_CONFIG: config } })
  const { call, home, client, hub } = programs
  assert.match(hub.printed.stderr, /ados.yaml:1:1: warning: unknown key "theme" is ignored/)

  const file = writeWorkflow(join(home, 'flow.yaml'), [{ name: 'one', cmd: 'echo hi' }])
  const start = (id: string, ...more: string[]) =>
    call('run', '--hub', '--detach', '--run-id', id, file, ...more)
  assert.equal((await start('other', '--repository', 'backend-app')).code, 0)
  assert.equal((await programs.ended('other')).status, 'success')
  assert.equal((await start('front', '--repository', 'frontend-app')).code, 0)
  assert.match((await client.runs.get('front')).waiting ?? '', /group "frontend-runners"/)
  const token = (await client.tokens.create({ name: 'front', scope: 'runner' })).token
  const env = { ERRAND_HUB_URL: programs.url, ERRAND_TOKEN: token, WORKSPACE_DIR: join(home, 'front') }
  await programs.errand
    .start(['runner', '--id', 'front-1', '--group', 'frontend-runners'], { env })
    .until('Connected')
  const run = await programs.ended('front')
  assert.deepEqual([run.status, run.repository], ['success', 'frontend-app'])
  assert.equal(run.steps[0]?.instances[0]?.attempts[0]?.runner, 'front-1')

  const hosts = { inventory: { hosts: { box: { group: 'backend-runners' } } } }
  const elsewhere = writeWorkflow(
    join(home, 'else.yaml'),
    [{ name: 'one', targets: ['box'], cmd: 'echo hi' }],
    hosts,
  )
  const refused = await call('run', '--hub', elsewhere, '--repository', 'frontend-app')
  assert.equal(refused.code, 2)
  assert.match(
    refused.stderr,
    /Host "box" .* in group "backend-runners", but .* run in group "frontend-runners"/,
  )
  assert.match(refused.stderr, /hint: /)

  // Another process asks for it, as from a server, because the hub has no terminal.
  writeFileSync(config, repos('default'))
  hub.child.kill('SIGHUP')
  await hub.until('was reloaded')
  assert.equal((await start('moved', '--repository', 'frontend-app')).code, 0)
  const moved = await programs.ended('moved')
  assert.equal(moved.steps[0]?.instances[0]?.attempts[0]?.runner, 'apart')
  writeFileSync(config, 'repos: none\n')
  await eventually('the warning', () =>
    /ados.yaml:1:8: .*must be a list.*stays in effect/.test(hub.printed.stderr),
  )
})

test('a hub does not start with an invalid configuration', async (t) => {
  const errand = errandCommand(t)
  const config = join(errand.home, 'errand.yaml')
  writeFileSync(config, 'repos:\n  - work_runner_group: gpu\n')
  const up = await errand.run(['up', '--port', '0', '--data', join(errand.home, 'data'), '--config', config])
  assert.notEqual(up.code, 0)
  assert.match(up.stderr, /errand.yaml:2:5: name .*is missing/)
  assert.match(up.stderr, /hint: /)
})
