import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { ErrandClient } from '../../src/client/client.ts'
import { eventually } from '../support/errand-command.ts'
import { type Programs, processesOf, startPrograms, writeWorkflow } from '../support/programs.ts'

const status = async ({ client }: Programs, id: string) =>
  (await client.runners.list()).find((runner) => runner.id === id)?.status

async function enrollToken(programs: Programs, ...more: string[]): Promise<string> {
  const made = await programs.call('runners', 'enroll-token', '--json', ...more)
  assert.equal(made.code, 0, made.stderr)
  return JSON.parse(made.stdout).token
}

test('a machine is enrolled with a single-use token, and then needs nothing more', async (t) => {
  const programs = await startPrograms(t, { runner: 'none' })
  const { errand, url, home } = programs
  const token = await enrollToken(programs, '--group', 'gpu', '--expires', '15m')
  const enroll = (...more: string[]) =>
    errand.run(['runner', 'enroll', '--hub', url, '--token', token, ...more])
  const done = await enroll('--id', 'box')
  assert.equal(done.code, 0, done.stderr)
  const file = join(home, '.errand', 'workspace', '.errand', 'runner.json')
  assert.ok(done.stdout.includes(file))
  assert.equal(statSync(file).mode & 0o777, 0o600)
  const again = await enroll('--workspace', join(home, 'other'))
  assert.equal(again.code, 6)
  assert.match(again.stderr, /was used by the runner "box" at /)

  const runner = errand.start(['runner'])
  await runner.until('Connected to the hub')
  const [view] = await programs.client.runners.list({ group: 'gpu' })
  assert.deepEqual([view?.id, view?.status], ['box', 'connected'])
  const database = readFileSync(join(programs.data, 'errand.db'), 'latin1')
  const { token: own } = JSON.parse(readFileSync(file, 'utf8'))
  for (const text of [token, own]) assert.ok(!database.includes(text), 'the hub stores only hashes')

  // The token is valid for this runner only.
  runner.child.kill('SIGTERM')
  await runner.finished
  const other = await errand.run(['runner', '--id', 'someone-else'])
  assert.equal(other.code, 6)
  assert.match(other.stderr, /for the runner "box", not for "someone-else"/)
})

test('a machine whose host name is in use by a runner is refused, and enrolled with the token under another', async (t) => {
  const programs = await startPrograms(t, { runner: 'none' })
  const { errand, home, url } = programs
  const enroll = (token: string, workspace: string, ...more: string[]) =>
    errand.run([
      ...['runner', 'enroll', '--hub', url, '--token', token],
      ...['--workspace', join(home, workspace), ...more],
    ])
  const first = await enroll(await enrollToken(programs), 'first')
  assert.equal(first.code, 0, first.stderr)
  await errand.start(['runner', '--workspace', join(home, 'first')]).until('Connected to the hub')
  const token = await enrollToken(programs)
  const taken = await enroll(token, 'second')
  assert.notEqual(taken.code, 0)
  assert.match(taken.stderr, /is in use by a runner on .*, connected since/)
  assert.match(taken.stderr, /The token is still valid.*--id NAME/)
  const second = await enroll(token, 'second', '--id', 'second')
  assert.equal(second.code, 0, second.stderr)
  await errand.start(['runner', '--workspace', join(home, 'second')]).until('Connected to the hub')
  assert.equal(await status(programs, 'second'), 'connected')
})

test('an enrolled runner of a demoted admin continues, as a message says, and one with their token is cut off', async (t) => {
  const programs = await startPrograms(t, { runner: 'none' })
  const { client, errand, url } = programs
  await client.users.create({ name: 'boss', password: 'long enough', role: 'admin' })
  const { token: session } = await client.auth.login('boss', 'long enough')
  const boss = new ErrandClient({ url, token: session })
  const { token } = await boss.runners.createEnrollment({})
  const start = (id: string, env: Record<string, string>) => {
    const workspace = join(programs.home, id)
    return errand.start(['runner', '--url', url, '--id', id, '--workspace', workspace], { env })
  }
  const enrolled = start('enrolled', { ERRAND_ENROLL_TOKEN: token })
  await enrolled.until('Connected to the hub')
  const own = start('own', {
    ERRAND_TOKEN: (await boss.tokens.create({ name: 'any', scope: 'runner' })).token,
  })
  await own.until('Connected to the hub')
  const demoted = await programs.call('users', 'role', 'boss', 'user')
  assert.equal(demoted.code, 0, demoted.stderr)
  assert.match(demoted.stdout, /^boss is a user\.\nRunners that boss enrolled keep running: enrolled\. /)
  await eventually('the cut', async () => (await status(programs, 'own')) === 'disconnected')
  assert.equal(await status(programs, 'enrolled'), 'connected')
  await own.until('is no longer an admin')
  const wrong = await programs.call('users', 'role', 'boss', 'king')
  assert.deepEqual([wrong.code, /admin, user/.test(wrong.stderr)], [2, true])
})

test('a runner with an enrollment token in its environment waits for its hub, and stores what it gets', async (t) => {
  const programs = await startPrograms(t, { runner: 'none' })
  const ERRAND_ENROLL_TOKEN = await enrollToken(programs)
  await programs.kill('hub')
  const env = { ERRAND_HUB_URL: programs.url, ERRAND_ENROLL_TOKEN, ERRAND_RUNNER_ID: 'container' }
  const first = programs.errand.start(['runner'], { env })
  await first.until('Not enrolled yet')
  await programs.startHub()
  await first.until('Connected to the hub')
  first.child.kill('SIGTERM')
  await first.finished
  const second = programs.errand.start(['runner'], { env })
  await second.until('Connected to the hub')
  second.child.kill('SIGTERM')
  await second.finished

  await programs.client.runners.remove('container', { force: true })
  const removed = await programs.errand.run(['runner'], { env })
  assert.equal(removed.code, 6)
  assert.match(removed.stderr, /was revoked/)
  const reenrolled = { ...env, ERRAND_ENROLL_TOKEN: await enrollToken(programs) }
  await programs.errand.start(['runner'], { env: reenrolled }).until('Connected to the hub')
})

test('a runner that was removed while it was away ends its work when it returns', async (t) => {
  const programs = await startPrograms(t, {
    runner: 'none',
    hubArgs: ['--heartbeat', '1s', '--lost-after', '3s'],
  })
  const { client, errand, home } = programs
  const env = {
    ERRAND_HUB_URL: programs.url,
    ERRAND_ENROLL_TOKEN: await enrollToken(programs),
    ERRAND_RUNNER_ID: 'gone',
  }
  const runner = errand.start(['runner'], { env })
  await runner.until('Connected to the hub')
  const file = writeWorkflow(join(home, 'flow.yaml'), [{ name: 'long', cmd: 'sleep 3600' }])
  assert.equal((await programs.call('run', '--hub', '--detach', '--run-id', 'long', file)).code, 0)
  const working = () => processesOf(home, 'ERRAND_RUN_ID=long')
  await eventually('the step', () => working().length > 0)

  runner.child.kill('SIGSTOP')
  await eventually('the loss of its link', async () => (await status(programs, 'gone')) === 'disconnected')
  await client.runners.remove('gone')
  assert.equal((await programs.ended('long')).status, 'failed')
  assert.notDeepEqual(working(), [])
  runner.child.kill('SIGCONT')
  await runner.until('no longer knows the token')
  await runner.until('Ending everything that runs here')
  await eventually('the end of the process', () => working().length === 0)
  runner.child.kill('SIGTERM')
  await runner.finished
})

test('a drained runner finishes its work, and stays drained when everything restarts', async (t) => {
  const programs = await startPrograms(t)
  const { call, home, client } = programs
  const steps = [{ name: 'wait', cmd: `until [ -e ${home}/go ]; do sleep 0.05; done` }]
  const file = writeWorkflow(join(home, 'flow.yaml'), steps)
  assert.equal((await call('run', '--hub', '--detach', '--run-id', 'long', file)).code, 0)
  await eventually('the attempt', async () => (await client.runners.get('apart')).attempts.length === 1)
  const shown = await call('runners', 'show', 'apart')
  assert.match(shown.stdout, /status +connected/)
  assert.match(shown.stdout, /long +flow +wait +local +admin/)

  const drained = programs.errand.start(['runners', 'drain', 'apart', '--wait'], { env: programs.env })
  await drained.until('apart takes no new work.')
  assert.equal((await call('run', '--hub', '--detach', '--run-id', 'next', file)).code, 0)
  assert.match((await client.runs.get('next')).waiting ?? '', /draining/)
  writeWorkflow(join(home, 'go'), [])
  assert.equal((await drained.finished).stdout, 'apart takes no new work.\napart has no work left.\n')
  assert.equal((await programs.ended('long')).status, 'success')

  await programs.kill('hub', 'runner')
  await programs.startHub()
  assert.equal(await status(programs, 'apart'), 'disconnected')
  await programs.startRunner()
  await programs.runner!.until('Connected to the hub')
  assert.equal(await status(programs, 'apart'), 'draining')
  assert.equal((await client.runs.get('next')).status, 'running')
  assert.equal((await call('runners', 'resume', 'apart')).code, 0)
  assert.equal((await programs.ended('next')).status, 'success')

  const refused = await call('runners', 'remove', 'apart')
  assert.equal(refused.code, 1)
  assert.match(refused.stderr, /is connected[\s\S]*--force/)
  await programs.kill('runner')
  await eventually('its end', async () => (await status(programs, 'apart')) === 'disconnected')
  assert.equal((await call('runners', 'remove', 'apart')).code, 0)
  assert.equal((await call('runners', 'show', 'apart')).code, 7)
})

test('a runner that is removed while it works ends the work, and leaves nothing of it', async (t) => {
  const programs = await startPrograms(t)
  const { home, client } = programs
  const steps = [
    { name: 'wait', cmd: `trap '' TERM; (setsid sleep 100000 &); echo x >${home}/begun; sleep 100000; :` },
  ]
  const file = writeWorkflow(join(home, 'flow.yaml'), steps)
  assert.equal((await programs.call('run', '--hub', '--detach', '--run-id', 'long', file)).code, 0)
  await eventually('its start', async () => existsSync(join(home, 'begun')))
  assert.equal(processesOf(home, 'ERRAND_RUN_ID=long\0').length > 1, true)

  await client.runners.remove('apart', { force: true })
  const run = await programs.ended('long')
  assert.deepEqual([run.status, run.reason], ['failed', 'lost'])
  const { stderr } = await programs.runner!.finished
  assert.match(stderr, /Runner "apart" was removed from this hub/)
  assert.deepEqual(processesOf(home, 'ERRAND_RUN_ID=long\0'), [])
  assert.deepEqual(readdirSync(join(programs.runnerFolder, 'attempts')), [])
})
