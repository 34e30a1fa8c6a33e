import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { errandCommand, eventually } from '../support/errand-command.ts'
import { endProcessesOf, startPrograms, writeWorkflow } from '../support/programs.ts'
import { sandboxMissing } from '../support/runner/box-fixture.ts'

/** A PATH whose only folder has no program "bwrap". */
const NO_PROGRAMS = { PATH: '/nowhere' }

function configFile(t: TestContext, text: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'errand-groups-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'errand.yaml')
  writeFileSync(file, text)
  return file
}

test('a run waits for a runner with its kind of box, also across a hub restart, and starts when one exists', {
  skip: sandboxMissing(),
}, async (t) => {
  const config = configFile(t, 'groups: {shared: {isolation: sandbox, network: none}}\n')
  const programs = await startPrograms(t, { hubEnv: { ERRAND_CONFIG: config }, runnerEnv: NO_PROGRAMS })
  const { call, home, client, errand } = programs
  const file = writeWorkflow(join(home, 'flow.yaml'), [{ name: 'one', cmd: 'echo in the box' }])
  const start = async (id: string, ...more: string[]) => {
    const { code, stderr } = await call('run', '--hub', '--detach', '--run-id', id, file, ...more)
    assert.equal(code, 0, stderr)
  }
  const [weak] = await client.runners.list()
  assert.deepEqual(
    [weak!.isolation?.sandbox.usable, weak!.isolation?.sandbox.why?.slice(0, 27)],
    [false, 'bubblewrap is not installed'],
  )
  await start('plain')
  assert.equal((await programs.ended('plain')).status, 'success')
  await start('boxed', '--isolation', 'sandbox')
  await start('limited', '--network', 'models')
  const why =
    /^no runner in group "default" can provide a sandbox: runner "apart": bubblewrap is not installed/
  for (const id of ['boxed', 'limited']) assert.match((await client.runs.get(id)).waiting ?? '', why)
  await programs.kill('hub')
  await programs.startHub()
  await eventually('the reason', async () =>
    why.test((await client.runs.get('boxed').catch(() => undefined))?.waiting ?? ''),
  )

  const token = (await client.tokens.create({ name: 'more', scope: 'runner' })).token
  const runner = async (id: string, group: string, env: NodeJS.ProcessEnv = {}) => {
    const own = { ERRAND_HUB_URL: programs.url, ERRAND_TOKEN: token, WORKSPACE_DIR: join(home, id), ...env }
    await errand.start(['runner', '--id', id, '--group', group], { env: own }).until('Connected')
  }
  await runner('strong', 'default')
  const attempt = async (id: string) => {
    const run = await programs.ended(id)
    assert.equal(run.status, 'success', JSON.stringify(run))
    const { runner, isolation, network } = run.steps[0]!.instances[0]!.attempts[0]!
    return { runner, isolation, network }
  }
  assert.deepEqual(await attempt('boxed'), { runner: 'strong', isolation: 'sandbox', network: 'all' })
  assert.deepEqual(await attempt('limited'), { runner: 'strong', isolation: 'sandbox', network: 'models' })
  const shown = await call('runs', 'show', 'limited')
  assert.match(shown.stdout, /^one in a sandbox, network models$/m)
  const list = await call('runners', 'list')
  assert.match(list.stdout, /^strong .* sandbox/m)
  assert.match(
    (await call('runners', 'show', 'apart')).stdout,
    /isolation: sandbox +no: bubblewrap is not installed/,
  )

  // The group asks for a box, and the file says nothing about it.
  const hosts = { inventory: { hosts: { box: { group: 'shared' } } } }
  const shared = writeWorkflow(
    join(home, 'shared.yaml'),
    [{ name: 'one', targets: ['box'], cmd: 'true' }],
    hosts,
  )
  assert.equal((await call('run', '--hub', '--detach', '--run-id', 'grouped', shared)).code, 0)
  await runner('weak', 'shared', NO_PROGRAMS)
  await eventually('the reason of the group', async () =>
    /group "shared" can provide a sandbox: runner "weak"/.test(
      (await client.runs.get('grouped')).waiting ?? '',
    ),
  )
  await runner('also-strong', 'shared')
  assert.deepEqual(await attempt('grouped'), { runner: 'also-strong', isolation: 'sandbox', network: 'none' })
  // The group no longer asks for a box. New runs have none; a failed run is retried in the box that it had.
  writeFileSync(config, 'groups: {}\n')
  await programs.hub.until('was reloaded')
  const { run_id } = await client.runs.retry('grouped')
  assert.equal((await attempt(run_id)).isolation, 'sandbox')
})

test('this machine fails a step whose box it cannot provide, and says what to do', async (t) => {
  const errand = errandCommand(t)
  const file = writeWorkflow(join(errand.home, 'flow.yaml'), [{ name: 'one', cmd: 'echo out' }])
  const env = NO_PROGRAMS
  for (const more of [
    ['--isolation', 'sandbox'],
    ['--network', 'none'],
  ]) {
    const { code, stdout } = await errand.run(['run', file, ...more], { env })
    assert.equal(code, 1, stdout)
    assert.match(stdout, /bubblewrap is not installed.*apt-get install bubblewrap/)
    assert.ok(!stdout.includes('| out'))
  }
  const result = await errand.run(['run', file, '--isolation', 'vm'], { env })
  assert.equal(result.code, 2)
  assert.match(result.stderr, /--isolation is "vm"[\s\S]*none, sandbox, container/)
})

test('a local step says which box it got, and what the box refused', {
  skip: sandboxMissing(),
}, async (t) => {
  const errand = errandCommand(t)
  // The proxy keeps running after a command has ended, for the next one.
  t.after(() => endProcessesOf(errand.home))
  const look =
    'exec 3<>/dev/tcp/127.0.0.1/3128; printf "CONNECT x.example:443 HTTP/1.1\\r\\n\\r\\n" >&3; head -1 <&3'
  const steps = [{ name: 'one', action: 'shell.run', args: { shell: 'bash', script: look } }]
  const file = writeWorkflow(join(errand.home, 'flow.yaml'), steps)
  const many = Array.from({ length: 30 }, (_, n) => `h${n}.example`)
  const args = ['run', file, '--network', ['a.example', '*.b.example', ...many].join(',')]
  const { code, stdout } = await errand.run(args)
  assert.equal(code, 0, stdout)
  assert.match(stdout, /^local \| x\.example:443 refused: /m)
  const lines = (await errand.run([...args, '--json'])).stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  const allow = ['a.example', '*.b.example', ...many.slice(0, 18)]
  const started = lines.find(({ type }) => type === 'attempt.started')
  assert.deepEqual([started.isolation, started.network], ['sandbox', { allow }])
  const refused = lines.find(({ type }) => type === 'network.refused')
  assert.deepEqual([refused.step, refused.host, refused.to, refused.port], ['one', 'local', 'x.example', 443])
  const [attempt] = lines.at(-1).run.steps[0].instances[0].attempts
  assert.deepEqual([attempt.isolation, attempt.refused[0].host], ['sandbox', 'x.example'])
})

test('a dispatch of steps that require a box is refused before any of them starts', async (t) => {
  const errand = errandCommand(t)
  const inner = { version: 'v0.1', name: 'inner', steps: [{ name: 'deep', action: 'noop', network: 'none' }] }
  const steps = [
    { name: 'plain', cmd: 'echo begun' },
    { name: 'boxed', cmd: 'echo no', isolation: 'sandbox' },
    { name: 'sub', action: 'workflow.run', args: { workflow: inner } },
  ]
  const file = writeWorkflow(join(errand.home, 'flow.yaml'), steps)
  const { code, stdout, stderr } = await errand.run([
    'dispatch',
    '--token',
    'T',
    '--host',
    '127.0.0.1:9',
    file,
  ])
  assert.deepEqual([code, stdout], [2, ''])
  assert.match(stderr, /The steps "boxed", "sub > deep" ask for a box, but agent servers make none\./)
})
