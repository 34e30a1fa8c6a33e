import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { errandCommand } from '../support/errand-command.ts'
import { startPrograms, writeWorkflow } from '../support/programs.ts'

test('an impossible request ends with its documented code, and says what is wrong and what to do', async (t) => {
  const programs = await startPrograms(t, { runner: 'none' })
  const { home, url, data } = programs
  const file = writeWorkflow(join(home, 'flow.yaml'), [{ name: 'one', cmd: 'true' }])
  mkdirSync(join(home, 'folder'))
  writeFileSync(join(home, 'secret'), Buffer.from([0xff]))
  const cases: [number, string[], RegExp][] = [
    [2, ['rnu'], /did you mean "run"/],
    [2, ['runs', 'list', '--frob'], /no option --frob/],
    [2, ['runs', 'list', '--limit'], /needs a value\n +hint: write --limit N/],
    [2, ['runs', 'list', '--limit', '0'], /1 to 500/],
    [2, ['runs', 'list', '--since', 'yesterday'], /2026-01-31/],
    [2, ['runs', 'list', '--json=yes'], /takes no value/],
    [2, ['runs', 'list', '--status', 'over'], /"over" is not a valid status/],
    [2, ['runs', 'show'], /usage: errand runs show <id>/],
    [2, ['tokens', 'create', 'x', '--expires-in', 'soon'], /90s, 15m, 1h or 7d/],
    [2, ['tokens', 'create', 'a\nb'], /U\+000A at position 2/],
    [2, ['tokens', 'list', '--scope', 'all'], /api, runner, enroll, metrics/],
    [2, ['users', 'list', '--role', 'boss'], /admin, user/],
    [2, ['users', 'add', 'x'], /--password-stdin/],
    [2, ['secrets', 'set', '__proto__=long enough'], /not "__proto__"/],
    [2, ['secrets', 'set', `KEY=@${home}/secret`], /not UTF-8/],
    [2, ['secrets', 'set', `KEY=@${home}/none`], /cannot be read/],
    [2, ['runner', '--id', 'a\tb'], /--id .*U\+0009 at position 2/],
    [2, ['runner', '--label', 'zone=a\nb'], /--label zone .*U\+000A at position 2/],
    [2, ['runner', '--label', '__proto__=x'], /__proto__/],
    [2, ['run', join(home, 'none.yaml')], /File .*none\.yaml not found/],
    [2, ['run', join(home, 'folder')], /is a folder/],
    [2, ['run', '--hub', file, '--var', '__proto__=x'], /__proto__/],
    [2, ['runs', 'list', '--url', 'nonsense'], /not the address of a hub/],
    [2, ['runner', '--url', 'nonsense'], /--url is "nonsense"/],
    [1, ['restore', file, '--data', data], /in use by the hub/],
    [1, ['up', '--data', data], /in use by process/],
    [5, ['runs', 'list', '--url', 'http://127.0.0.1:1'], /errand up/],
    [5, ['login', 'http://127.0.0.1:1', '--token', 'x'], /does not answer/],
    [6, ['runs', 'list', '--token', 'wrong'], /errand login/],
    [6, ['runner', '--url', url, '--token', 'wrong'], /errand runners enroll-token/],
    [6, ['runner', 'enroll', '--hub', url, '--token', 'errand_enroll_wrong'], /enroll-token/],
    [7, ['runs', 'show', 'none'], /errand runs list/],
    [7, ['runs', 'delete', 'none'], /errand runs list/],
    [7, ['runners', 'drain', 'none'], /errand runners list/],
    [7, ['tokens', 'revoke', 'none'], /errand tokens list/],
    [7, ['users', 'disable', 'none'], /errand users list/],
    [7, ['secrets', 'delete', 'NONE'], /errand secrets list/],
    [7, ['bot', 'status', 'none'], /errand bot list/],
    [7, ['backup', '--to', join(home, 'b.tar'), '--data', home], /--data/],
    [7, ['restore', join(home, 'none.tar'), '--data', join(home, 'new')], /Backup .* not found/],
  ]
  for (const [exitCode, args, message] of cases) {
    const { code, stderr } = await programs.call(...args)
    assert.equal(code, exitCode, `${args.join(' ')}: ${stderr}`)
    assert.match(stderr, message)
    assert.match(stderr, /^error: .+\n +hint: .+/m, args.join(' '))
  }
})

test('a command that reads an invalid address from the environment names it and says what it should be', async (t) => {
  const { run, home } = errandCommand(t)
  const runner = ['runner', '--workspace', join(home, 'work'), '--token', 'x']
  const cases: [NodeJS.ProcessEnv, string[], RegExp][] = [
    [{ ERRAND_HUB_URL: 'not a url' }, runner, /ERRAND_HUB_URL is "not a url"/],
    [{ ERRAND_HUB_URL: 'hub.lan:3000' }, runner, /ERRAND_HUB_URL is "hub.lan:3000"/],
    [{ ERRAND_HUB_URL: 'not a url' }, ['runner', 'enroll', '--token', 'x'], /ERRAND_HUB_URL is "not a url"/],
    [{ ADOS_API_URL: 'not a url' }, runner, /ADOS_API_URL is "not a url"/],
    [{ ERRAND_URL: 'not a url' }, ['runs', 'list'], /"not a url" is not the address of a hub/],
    [
      { DOCKER_HOST: 'not a url', ERRAND_HUB_URL: 'http://127.0.0.1:1' },
      runner,
      /DOCKER_HOST "not a url" is not a valid address/,
    ],
  ]
  for (const [env, args, message] of cases) {
    const { code, stderr } = await run(args, { env })
    assert.equal(code, 2, stderr)
    assert.match(stderr, message)
    assert.match(stderr, /^error: .+\n +hint: .+/m)
    assert.doesNotMatch(stderr, /bug in Errand/)
  }
})

test('lists can be filtered, and the next command accepts their ids', async (t) => {
  const programs = await startPrograms(t, { runner: 'none' })
  const list = async (...args: string[]) => {
    const { code, stdout, stderr } = await programs.call(...args, '--json')
    assert.equal(code, 0, stderr)
    return JSON.parse(stdout)
  }
  for (const [name, ...more] of [['one'], ['two', '--expires-in', '1h'], ['prom', '--scope', 'metrics']])
    assert.equal((await programs.call('tokens', 'create', name!, ...more)).code, 0)
  const [two] = await list('tokens', 'list', '--name', 'two')
  assert.deepEqual([two.status, two.user], ['good', 'admin'])
  assert.equal((await programs.call('tokens', 'revoke', two.id)).code, 0)
  const names = async (...args: string[]) =>
    (await list('tokens', 'list', ...args)).map(({ name }: { name: string }) => name)
  assert.deepEqual(await names('--status', 'revoked'), ['two'])
  assert.deepEqual(await names('--scope', 'metrics', '--user', 'admin'), ['prom'])
  assert.deepEqual(await names('--user', 'nobody'), [])
  await programs.client.users.create({ name: 'ann', password: 'long enough' })
  assert.equal((await programs.call('users', 'disable', 'ann')).code, 0)
  const users = async (...args: string[]) =>
    (await list('users', 'list', ...args)).map(({ name }: { name: string }) => name)
  assert.deepEqual(await users('--status', 'disabled'), ['ann'])
  assert.deepEqual(await users('--role', 'admin'), ['admin'])
  assert.match((await programs.call('users', 'list', '--name', 'bob')).stdout, /No users match/)

  const file = writeWorkflow(join(programs.home, 'flow.yaml'), [{ name: 'one', cmd: 'true' }])
  const { stdout } = await programs.call('run', '--hub', '--detach', file)
  const runs = async (...args: string[]) =>
    (await list('runs', 'list', ...args)).runs.map(({ run_id }: { run_id: string }) => run_id)
  assert.deepEqual(await runs('--owner', 'admin', '--since', '1h'), [stdout.trim()])
  assert.deepEqual(await runs('--owner', 'ann'), [])
  assert.deepEqual(await runs('--until', '2020-01-31'), [])
})
