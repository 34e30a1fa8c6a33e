import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import test from 'node:test'
import type { Finding } from '../../src/cli/doctor/check.ts'
import type { AgentState } from '../../src/contract/agent.ts'
import { openSqliteStores } from '../../src/stores/sqlite/open.ts'
import { errandCommand } from '../support/errand-command.ts'
import { freePort, startPrograms } from '../support/programs.ts'

type CheckFinding = Finding & { check: string }
type Call = (
  args: readonly string[],
  options?: { env?: NodeJS.ProcessEnv },
) => Promise<{ code: number | null; stdout: string; stderr: string }>

async function doctor(call: Call, env: NodeJS.ProcessEnv, ...args: string[]) {
  const { code, stdout, stderr } = await call(['doctor', '--json', ...args], { env })
  assert.equal(stderr, '')
  const { ok, findings } = JSON.parse(stdout) as { ok: boolean; findings: CheckFinding[] }
  assert.equal(code, ok ? 0 : 1)
  for (const { status, message, fix } of findings) assert.ok(status === 'ok' || fix, message)
  const of = (check: string) => findings.filter((finding) => finding.check === check)
  return {
    ok,
    of,
    status: (check: string) =>
      of(check)
        .map(({ status }) => status)
        .join(' '),
  }
}

test('a machine where nothing is set up yet has no problems', async (t) => {
  const errand = errandCommand(t)
  const found = await doctor(errand.run, { ERRAND_ADDR: ':0' })
  assert.equal(found.ok, true)
  assert.equal(found.status('node'), 'ok')
  assert.equal(found.status('folders'), 'ok ok')
  assert.match(found.of('hub')[0]!.message, /No hub is set/)
  assert.match(found.of('runner')[0]!.message, /not enrolled as a runner/)
  const shown = await errand.run(['doctor'], { env: { ERRAND_ADDR: ':0' } })
  assert.match(shown.stdout, /^ok node {9}Node v\d+/)
  assert.match(shown.stdout, /Problems: 0, warnings: \d+\.\n$/)
})

test('doctor tells an admin which outside services fail for the hub, and since when', async (t) => {
  const port = await freePort()
  const hubEnv = { ERRAND_NOTIFY_ALLOW: `http://127.0.0.1:${port}` }
  const { client, errand, env } = await startPrograms(t, { runner: 'none', hubEnv })
  const before = await doctor(errand.run, { ...env, ERRAND_ADDR: ':0' })
  assert.equal(before.status('services'), 'ok')
  const { id } = await client.channels.add({ kind: 'webhook', url: `http://127.0.0.1:${port}/hook` })
  await assert.rejects(client.channels.test(id), { code: 'host_unreachable' })
  const found = await doctor(errand.run, { ...env, ERRAND_ADDR: ':0' })
  const [finding] = found.of('services')
  assert.equal(finding!.status, 'warning')
  assert.match(
    finding!.message,
    new RegExp(`^webhook at 127\\.0\\.0\\.1:${port} has failed since 20\\S+Z \\(once\\): .*does not answer`),
  )
})

test('with a hub, doctor checks the address, the token, the clock, the key and the lock', async (t) => {
  const programs = await startPrograms(t, { runner: 'none' })
  const well = await doctor(programs.errand.run, programs.env)
  assert.equal(well.ok, true)
  assert.equal(well.status('hub'), 'ok ok')
  assert.match(well.of('clock')[0]!.message, /agrees/)
  assert.match(well.of('port')[0]!.message, /A hub is running here/)
  assert.match(well.of('secrets')[0]!.message, /The key of the secrets is in /)

  const wrong = await doctor(
    programs.errand.run,
    programs.env,
    '--url',
    programs.url,
    '--token',
    'errand_api_wrong',
  )
  assert.equal(wrong.status('hub'), 'ok problem')
  await programs.kill('hub')
  const gone = await doctor(programs.errand.run, programs.env)
  assert.equal(gone.status('hub'), 'problem')
  assert.match(gone.of('locks')[0]!.message, /lock was left by process \d+/)
  assert.equal(gone.status('locks'), 'warning')
})

test('doctor says whether agents and steps can run in boxes, and reports a problem if they must', async (t) => {
  const errand = errandCommand(t)
  // This PATH has no program "bwrap".
  const env = { ERRAND_ADDR: ':0', ERRAND_ISOLATION: 'auto', PATH: join(errand.home, 'empty') }
  const without = await doctor(errand.run, env)
  assert.equal(without.status('sandbox'), 'warning')
  const [{ message, fix }] = without.of('sandbox') as [CheckFinding]
  assert.match(message, /^bubblewrap is not installed.* Agents run without one here\.$/)
  assert.match(fix!, /apt-get install bubblewrap/)
  assert.match(without.status('container'), /^(ok|warning)$/)
  for (const more of [{ ERRAND_SANDBOX_REQUIRED: 'yes' }, { ERRAND_ISOLATION: 'sandbox' }]) {
    const needed = await doctor(errand.run, { ...env, ...more })
    assert.deepEqual([needed.ok, needed.status('sandbox')], [false, 'problem'])
  }
  const agents = JSON.parse((await errand.run(['agents', 'list', '--json'], { env })).stdout) as AgentState[]
  for (const { isolation, isolation_why } of agents)
    assert.deepEqual([isolation, /bubblewrap is not installed/.test(isolation_why!)], ['none', true])
  const shown = await errand.run(['agents', 'list'], { env })
  assert.match(shown.stdout, /^AGENT .*BOX/)
  assert.match(shown.stdout, /\nThe agent runs without a sandbox/)
})

test('a port in use, a file in place of a folder and missing Docker are reported with what to do', async (t) => {
  const errand = errandCommand(t)
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  t.after(() => server.close())
  const { port } = server.address() as AddressInfo
  const file = join(errand.home, 'file')
  writeFileSync(file, '')
  mkdirSync(join(errand.home, 'open'), { mode: 0o755 })
  const found = await doctor(errand.run, {
    ERRAND_ADDR: `127.0.0.1:${port}`,
    ERRAND_DATA: file,
    WORKSPACE_DIR: join(errand.home, 'open'),
    DOCKER_HOST: `unix://${file}`,
    ERRAND_LIMITS: 'magic',
  })
  assert.equal(found.ok, false)
  assert.equal(found.status('port'), 'problem')
  assert.match(found.of('port')[0]!.fix!, /--port \d+/)
  assert.equal(found.status('folders'), 'problem ok warning')
  assert.equal(found.status('docker'), 'warning')
  assert.equal(found.status('limits'), 'problem')
})

test('invalid variables and an invalid configuration are each reported with what to do', async (t) => {
  const errand = errandCommand(t)
  const config = join(errand.home, 'errand.yaml')
  writeFileSync(config, 'repos: none\n')
  const env = { ERRAND_ADDR: ':0', ERRAND_CONFIG: config }
  const found = await doctor(errand.run, {
    ...env,
    ERRAND_CPUS: 'four',
    ERRAND_RETENTION: 'never',
    ERRAND_LOG_LEVEL: 'loud',
    ERRAND_HUB_URL: 'not a url',
  })
  assert.equal(found.status('environment'), 'problem problem problem problem')
  for (const { fix } of [...found.of('environment'), ...found.of('config')]) assert.ok(fix)
  assert.equal(found.status('config'), 'problem')
  assert.match(found.of('config')[0]!.message, /errand\.yaml:1:8/)
  writeFileSync(config, 'theme: dark\n')
  const well = await doctor(errand.run, env)
  assert.equal(well.status('environment'), 'ok')
  assert.equal(well.status('config'), 'warning')
  assert.equal(well.ok, true)
})

test('a database of a newer Errand, of another program and an invalid one are reported', async (t) => {
  const errand = errandCommand(t)
  const data = join(errand.home, 'data')
  const file = join(data, 'errand.db')
  const look = () => doctor(errand.run, { ERRAND_DATA: data, ERRAND_ADDR: ':0' })
  const found = async () => (await look()).of('database')
  const stores = await openSqliteStores({ file })
  stores.close()
  assert.deepEqual((await found())[0]!.status, 'ok')
  const change = (sql: string) => {
    const db = new DatabaseSync(file)
    db.exec(sql)
    db.close()
  }
  change("INSERT INTO migrations VALUES ('hub', 99, 'later', '2099')")
  assert.match((await found())[0]!.message, /written by a newer Errand \(version 99/)
  change('PRAGMA application_id = 7')
  assert.match((await found())[0]!.message, /belongs to another program/)
  writeFileSync(file, 'no database at all'.repeat(1000))
  const { of } = await look()
  const [none] = of('database')
  assert.deepEqual([none!.status, /not a database/.test(none!.message)], ['problem', true])
  assert.deepEqual(of('secrets'), [], 'it is reported once')
})
