import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import test from 'node:test'
import { standInOptions } from '../support/agent-command.ts'
import { errandCommand, eventually } from '../support/errand-command.ts'
import { startPrograms, writeWorkflow } from '../support/programs.ts'

const VALUE = 'k7#Vq-never to be seen-9$Zt'

/** Returns the files below the folder that contain the value, plain or encoded. */
function holdersOf(value: string, folder: string): string[] {
  const bytes = Buffer.from(value)
  const forms = [bytes, bytes.toString('base64').slice(0, -4), bytes.toString('hex')]
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name))
    .filter((file) => {
      const content = contentOf(file)
      return forms.some((form) => content.includes(form))
    })
}

/** Returns the content of a file, or nothing if it is gone since it was listed. */
function contentOf(file: string): Buffer {
  try {
    return readFileSync(file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return Buffer.alloc(0)
    throw error
  }
}

/**
 * Waits until the values are gone. They are removed with an attempt's folder, which the runner keeps until the hub has
 * the attempt's end.
 */
async function release(runnerFolder: string): Promise<void> {
  const folder = join(runnerFolder, 'attempts')
  await eventually('a runner that has released everything', () => readdirSync(folder).length === 0)
}

/** Writes a workflow: one step has the secret, checks it and prints it. The other must not have it. */
const flow = (home: string, expected: string) =>
  writeWorkflow(join(home, 'flow.yaml'), [
    {
      name: 'with',
      secrets: { TOKEN: 'DEPLOY', KEY: { secret: 'DEPLOY', as: 'file' } },
      cmd: `test "$TOKEN" = "$(cat ${expected})" && cmp "$KEY" ${expected} && echo "it is $TOKEN"`,
    },
    { name: 'without', cmd: 'echo "got <$TOKEN$KEY$DEPLOY>"' },
    {
      name: 'text',
      action: 'file.write',
      secrets: { TOKEN: 'DEPLOY' },
      args: { path: join(home, 'written'), content: 'Bearer ${TOKEN}' },
    },
  ])

function shown(all: string): void {
  assert.match(all, /it is \*\*\*/)
  assert.match(all, /got <>/)
  assert.ok(!all.includes(VALUE), all)
}

test('on this machine a step gets the secrets that it names, and nothing of them is left', async (t) => {
  const errand = errandCommand(t)
  const expected = join(errand.home, 'expected')
  writeFileSync(expected, VALUE)
  const file = flow(errand.home, expected)
  const state = join(errand.home, 'state')
  const env = { DEPLOY: VALUE }
  const fromEnv = await errand.run(['run', file, '--secret', 'DEPLOY', '--state', state], { env })
  assert.equal(fromEnv.code, 0, fromEnv.stderr)
  shown(fromEnv.stdout + fromEnv.stderr)
  assert.equal(readFileSync(join(errand.home, 'written'), 'utf8'), `Bearer ${VALUE}`)
  writeFileSync(join(errand.home, 'written'), '')
  const fromFile = await errand.run(['run', file, '--secret', `DEPLOY=@${expected}`, '--json'])
  assert.equal(fromFile.code, 0, fromFile.stderr)
  shown(fromFile.stdout + fromFile.stderr)
  writeFileSync(join(errand.home, 'written'), '')
  assert.deepEqual(holdersOf(VALUE, errand.home), [expected])
})

test('a missing or invalid secret is reported before anything runs', async (t) => {
  const errand = errandCommand(t)
  const file = flow(errand.home, 'x')
  for (const [args, message] of [
    [[], /not given: "DEPLOY"[\s\S]+--secret DEPLOY/],
    [['--secret', 'DEPLOY'], /the environment has no such variable/],
    [['--secret', `DEPLOY=@${errand.home}/none`], /the file of DEPLOY cannot be read/],
    [['--secret', `${VALUE}=x`], /a secret has no valid name/],
    [['--secret', 'DEPLOY='], /the value of DEPLOY must not be empty/],
    [['--hub', '--secret', 'DEPLOY'], /errand secrets set/],
  ] as const) {
    const { code, stderr } = await errand.run(['run', file, ...args])
    assert.equal(code, 2, stderr)
    assert.match(stderr, message)
    assert.ok(!stderr.includes(VALUE))
  }
})

test('an agent has its secrets in its environment, here and on a hub', async (t) => {
  const { call, env, errand, home, runnerFolder } = await startPrograms(t)
  const ask = (...more: string[]) =>
    errand.run(
      ['agent', 'run printf %s "$DEPLOY" >seen\nwait seen', ...standInOptions, '--secret', 'DEPLOY', ...more],
      { cwd: home, env: { ...env, DEPLOY: VALUE } },
    )
  const here = await ask()
  assert.equal(here.code, 0, here.stdout + here.stderr)
  assert.equal(readFileSync(join(home, 'seen'), 'utf8'), VALUE)
  rmSync(join(home, 'seen'))
  assert.equal((await ask('--hub')).code, 2)
  const set = await call('secrets', 'set', `DEPLOY=${VALUE}`)
  assert.equal(set.code, 0, set.stderr)
  const there = await ask('--hub')
  assert.equal(there.code, 0, there.stdout + there.stderr)
  await release(runnerFolder)
  assert.deepEqual(
    holdersOf(VALUE, home).filter((file) => !file.endsWith('/seen')),
    [],
  )
})

test('host agents receive secrets and mask them; one that cannot does not receive any', async (t) => {
  const errand = errandCommand(t)
  const data = join(errand.home, 'agent')
  const agent = errand.start(['agent-server', '--addr', ':0', '--token', 'T', '--data', data])
  await agent.until(/Agent server on http/)
  const address = /http:\/\/\S+?:\d+/.exec(agent.printed.stdout)![0]
  const step = {
    name: 'one',
    targets: ['there'],
    secrets: ['DEPLOY'],
    cmd: 'echo "it is $DEPLOY, ${#DEPLOY}"',
  }
  const file = (to: string) =>
    writeWorkflow(join(errand.home, 'flow.yaml'), [step], {
      inventory: { hosts: { there: { address: to } } },
    })
  const dispatch = (to: string) =>
    errand.run(['dispatch', '--token', 'T', '--secret', 'DEPLOY', file(to)], { env: { DEPLOY: VALUE } })
  const done = await dispatch(address)
  assert.equal(done.code, 0, done.stderr + done.stdout)
  assert.ok(done.stdout.includes(`it is ***, ${VALUE.length}`), done.stdout)
  assert.deepEqual(holdersOf(VALUE, errand.home), [])

  const requests: string[] = []
  const old = createServer((request, response) => {
    let body = ''
    request.on('data', (chunk) => (body += chunk))
    request.on('end', () => {
      requests.push(request.url!.split('?')[0]!)
      response.writeHead(404, { 'content-type': 'application/json' })
      response.end('{"error": {"code": "not_found", "message": "There is no such route here."}}')
    })
  })
  await new Promise<void>((listening) => old.listen(0, '127.0.0.1', listening))
  t.after(() => old.close())
  const refused = await dispatch(`http://127.0.0.1:${(old.address() as AddressInfo).port}`)
  assert.equal(refused.code, 1)
  assert.match(refused.stdout, /does not support secrets. Update it/)
  assert.deepEqual(requests, ['/run-with-secrets'])
})

test('a hub stores secrets, gives them to the steps that name them, and no file or log contains them', async (t) => {
  const programs = await startPrograms(t)
  const { call, data, errand, env, home, runnerFolder } = programs
  const expected = join(home, 'expected')
  writeFileSync(expected, VALUE)
  const file = flow(home, expected)
  const run = () => call('run', '--hub', file)

  const refused = await run()
  assert.equal(refused.code, 2)
  assert.match(
    refused.stderr,
    /Secret "DEPLOY" not found for workflow "flow"[\s\S]+errand secrets set DEPLOY/,
  )
  const set = await errand.run(['secrets', 'set', 'DEPLOY', '--value-from-stdin'], {
    env,
    stdin: `${VALUE}\n`,
  })
  assert.equal(set.stdout, 'DEPLOY is stored for all runs.\n', set.stderr)
  const typed = await call('secrets', 'set', 'OTHER=abc', '--workflow', 'x')
  assert.match(typed.stderr, /shells remember[\s\S]+fewer than 6 bytes/)
  assert.equal(typed.stdout, 'OTHER is stored for runs of x.\n')
  assert.equal((await call('secrets', 'set', 'OTHER')).code, 2)
  const two = await call('secrets', 'set', 'OTHER=abc', `DEPLOY=${VALUE}`)
  assert.equal(two.code, 2)
  assert.match(two.stderr, /unexpected argument "DEPLOY=…"/)
  const listed = await call('secrets', 'list')
  assert.match(listed.stdout, /DEPLOY +all runs[\s\S]+OTHER +runs of x/)
  assert.equal(JSON.parse((await call('secrets', 'list', '--scope', 'workflow', '--json')).stdout).length, 1)
  assert.equal((await call('secrets', 'delete', 'OTHER')).code, 7)
  assert.equal((await call('secrets', 'delete', 'OTHER', '-w', 'x')).code, 0)

  const done = await run()
  assert.equal(done.code, 0, done.stdout + done.stderr)
  shown(done.stdout + done.stderr)
  assert.equal(readFileSync(join(home, 'written'), 'utf8'), `Bearer ${VALUE}`)
  writeFileSync(join(home, 'written'), '')
  // The person who starts a run chooses the name of its workflow. No run may receive what another user has set for
  // that name.
  await programs.client.users.create({ name: 'eve', password: 'long enough' })
  const eve = (await programs.client.auth.login('eve', 'long enough')).token
  const put = await call('secrets', 'set', 'DEPLOY=of somebody else', '--workflow', 'flow', '--token', eve)
  assert.equal(put.stdout, 'DEPLOY is stored for runs of flow by eve.\n', put.stderr)
  assert.equal((await run()).code, 0)
  assert.equal(readFileSync(join(home, 'written'), 'utf8'), `Bearer ${VALUE}`)
  writeFileSync(join(home, 'written'), '')
  const run_id = /run (run_\w+) on/.exec(done.stdout)![1]!
  for (const command of [['events'], ['show', '--json'], ['logs']]) {
    const { code, stdout, stderr } = await call('runs', command[0]!, run_id, ...command.slice(1))
    assert.equal(code, 0, stderr)
    assert.ok(stdout !== '' && !(stdout + stderr).includes(VALUE), command.join(' '))
  }
  assert.match(
    (await call('runs', 'show', run_id)).stdout,
    /^Secret .*DEPLOY.*: the one for all runs, set by admin\.$/m,
  )
  const backup = join(home, 'backup')
  const backedUp = await call('backup', '--to', backup)
  assert.equal(backedUp.code, 0, backedUp.stderr)
  assert.ok(existsSync(join(backup, 'errand.db')) && !existsSync(join(backup, 'secrets.key')))
  await release(runnerFolder)
  assert.deepEqual(holdersOf(VALUE, home), [expected])

  const key = join(data, 'secrets.key')
  renameSync(key, `${key}.away`)
  const lost = await run()
  assert.equal(lost.code, 1)
  assert.match(lost.stdout, /The key of the secrets is missing/)
  assert.ok(!existsSync(key))
  await programs.kill('hub')
  await programs.startHub()
  await programs.hub.until(/Steps that have secrets will fail: The key of the secrets is missing/)
  renameSync(`${key}.away`, key)
  assert.equal((await run()).code, 0)
  for (const { printed } of [programs.hub, programs.runner!])
    assert.ok(!(printed.stdout + printed.stderr).includes(VALUE))
})
