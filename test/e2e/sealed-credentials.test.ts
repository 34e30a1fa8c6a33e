import assert from 'node:assert/strict'
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { runIdIn, standInOptions } from '../support/agent-command.ts'
import { errandCommand, eventually } from '../support/errand-command.ts'
import { startPrograms, writeWorkflow } from '../support/programs.ts'

const VALUE = 'k7#Vq it\'s "never" to $be\\seen <9&Zt>'
const bytes = Buffer.from(VALUE)
/** Forms of the credentials, none of which may be found anywhere. */
const forms: readonly string[] = [
  VALUE,
  bytes.toString('base64').slice(0, -4),
  bytes.toString('hex'),
  JSON.stringify(VALUE).slice(1, -1),
  JSON.stringify(JSON.stringify(VALUE).slice(1, -1)).slice(1, -1),
  encodeURIComponent(VALUE),
  VALUE.replaceAll("'", "'\\''"),
  VALUE.replaceAll("'", "''"),
]

const foundIn = (content: Buffer | string): string[] => forms.filter((form) => content.includes(form))

function assertNothingIn(content: string, where: string): void {
  assert.deepEqual(foundIn(content), [], `${where}: ${content}`)
}

/** Returns the files below the folder that contain any of them. */
function holders(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name))
    .filter((file) => {
      try {
        return foundIn(readFileSync(file)).length > 0
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
        throw error
      }
    })
}

/** Returns commands that print the variable in several forms and show that it is complete. */
const print = (variable: string) => `echo "it is \${#${variable}} $${variable}"
printf '%s' "$${variable}" | base64; printf '%s' "$${variable}" | od -An -tx1 | tr -d ' \\n'; echo
set -x; : "$${variable}"; set +x; bash -c 'printf "%q\\n" "$${variable}"' || true
env | sort >&2`

/** Prints through a file, which also tells the stand-in that the command is done. */
const prompt = `run { ${print('MY_TOKEN').replaceAll('\n', '; ')}; } >seen 2>&1\nwait seen\nrun cat seen`

const inner = {
  version: 'v0.1',
  name: 'inner',
  env: { INNER_TOKEN: VALUE },
  steps: [{ name: 'in', action: 'cmd.run', args: { cmd: print('INNER_TOKEN') } }],
}

const flow = {
  version: 'v0.1',
  name: 'flow',
  env: { API_KEY: VALUE, HEADER: 'Bearer ${API_KEY}', REGION: 'north' },
  steps: [
    {
      name: 'shared',
      action: 'cmd.run',
      args: { cmd: `${print('API_KEY')}\n${print('HEADER')}\necho "in $REGION"` },
    },
    {
      name: 'own',
      action: 'cmd.run',
      env: { DB_PASSWORD: VALUE, URL: 'db://${DB_PASSWORD}@h' },
      args: { cmd: `${print('URL')}; echo "BOPS_EXPORT:LEAK=$DB_PASSWORD"`, export_vars: true },
      rollback: { action: 'cmd.run', args: { cmd: print('DB_PASSWORD') } },
    },
    { name: 'sub', action: 'workflow.run', args: { workflow: inner } },
    { name: 'fails', action: 'cmd.run', args: { cmd: `${print('API_KEY')}; exit 3` } },
  ],
}
const lengths = [
  `it is ${VALUE.length} ***`,
  `it is ${VALUE.length + 'Bearer '.length} Bearer ***`,
  `it is ${VALUE.length + 'db://@h'.length} db://***@h`,
]

test('a credential in env is found nowhere on a hub and its runner, on every way into the hub', async (t) => {
  const { call, client, data, ended, env, errand, home, hub, runner, runnerFolder } = await startPrograms(t)
  const runs: string[] = []
  const ofHub = async (body: object) => {
    const { run_id } = await client.runs.create(body as Parameters<typeof client.runs.create>[0])
    runs.push(run_id)
    return await ended(run_id)
  }
  const first = await ofHub({ workflow: flow })
  assert.equal(first.status, 'failed')
  const retried = await client.runs.retry(first.run_id, { only: 'failed' })
  const done = await ofHub({ workflow: { ...flow, steps: flow.steps.slice(0, 3) } })
  assert.equal(done.status, 'success')
  const rolledBack = await client.runs.rollback(done.run_id)
  runs.push(retried.run_id, rolledBack.run_id)
  assert.equal((await ended(retried.run_id)).status, 'failed')
  assert.equal((await ended(rolledBack.run_id)).status, 'success')
  runs.push(...first.steps.flatMap(({ child_run_ids = [] }) => child_run_ids))
  const file = writeWorkflow(join(home, 'flow.yaml'), flow.steps.slice(0, 1), { env: flow.env })
  const result = await errand.run(['run', '--hub', '-'], { env, stdin: readFileSync(file, 'utf8') })
  rmSync(file)
  assert.equal(result.code, 0, result.stderr)
  assertNothingIn(result.stdout + result.stderr, 'errand run --hub')

  const args = ['agent', prompt, ...standInOptions, '--hub', '--env', `MY_TOKEN=${VALUE}`]
  const agent = await errand.run(args, { cwd: home, env })
  assert.equal(agent.code, 0, agent.stdout + agent.stderr)
  const agentRun = runIdIn(agent.stdout)
  const more = await call('agent', prompt, '--hub', '--continue', agentRun)
  assert.equal(more.code, 0, more.stdout + more.stderr)
  for (const { stdout, stderr } of [agent, more]) assertNothingIn(stdout + stderr, 'errand agent --hub')
  runs.push(agentRun, runIdIn(more.stdout))

  for (const length of lengths)
    assert.ok((await call('runs', 'logs', first.run_id)).stdout.includes(length), length)
  for (const run_id of runs)
    for (const command of [['events'], ['show', '--json'], ['show'], ['logs']]) {
      const { stdout, stderr } = await call('runs', command[0]!, run_id, ...command.slice(1))
      assertNothingIn(stdout + stderr, `runs ${command.join(' ')}`)
    }
  assertNothingIn((await call('runs', 'list', '--json')).stdout, 'runs list')
  assertNothingIn((await call('secrets', 'list')).stdout, 'secrets list')
  assert.equal((await call('backup', '--to', join(home, 'backup'))).code, 0)
  await eventually(
    'a runner that has released everything',
    () => readdirSync(join(runnerFolder, 'attempts')).length === 0,
  )
  // A step or an agent may write it into its own workspace.
  assert.deepEqual(
    holders(home).filter((path) => !path.endsWith('/seen')),
    [],
  )
  for (const { printed } of [hub, runner!]) assertNothingIn(printed.stdout + printed.stderr, 'a log')

  const { DatabaseSync } = await import('node:sqlite')
  const stored = () => {
    using database = new DatabaseSync(join(data, 'errand.db'), { readOnly: true })
    const rows = database.prepare(`SELECT DISTINCT scope_name FROM secrets WHERE scope = 'run'`).all()
    return rows.map(({ scope_name }) => scope_name)
  }
  assert.ok(stored().includes(first.run_id))
  // The run that was rolled back must be deleted after the run that did it.
  for (const { run_id } of [retried, done, rolledBack, first]) {
    const { code, stderr } = await call('runs', 'delete', run_id)
    assert.equal(code, 0, stderr)
    assert.ok(!stored().includes(run_id))
  }
})

test('a credential in env is found nowhere on this machine, also not for a resumed run', async (t) => {
  const errand = errandCommand(t)
  const state = join(errand.home, 'state')
  const stdin = JSON.stringify({ ...flow, steps: flow.steps.slice(0, 3) })
  for (const args of [
    ['run', '-'],
    ['run', '-', '--state', state, '--json'],
  ]) {
    const { code, stdout, stderr } = await errand.run(args, { stdin })
    assert.equal(code, 0, stdout + stderr)
    assert.match(stderr, /API_KEY in env looks like a credential/)
    assertNothingIn(stdout + stderr, args.join(' '))
    assert.ok(stdout.includes(lengths[0]!), stdout)
  }
  const options = { cwd: errand.home }
  const first = await errand.run(['agent', prompt, ...standInOptions, '--env', `MY_TOKEN=${VALUE}`], options)
  assert.equal(first.code, 0, first.stdout + first.stderr)
  rmSync(join(errand.home, 'seen'))
  const more = await errand.run(['agent', prompt, '--continue', runIdIn(first.stdout)], options)
  assert.equal(more.code, 0, more.stdout + more.stderr)
  assert.ok(readFileSync(join(errand.home, 'seen'), 'utf8').includes(`it is ${VALUE.length} ${VALUE}`))
  for (const { stdout, stderr } of [first, more]) assertNothingIn(stdout + stderr, 'errand agent')
  rmSync(join(errand.home, 'seen'))
  assert.deepEqual(holders(errand.home), [])
})

test('a credential in env reaches a host agent as a secret', async (t) => {
  const errand = errandCommand(t)
  const data = join(errand.home, 'agent')
  const agent = errand.start(['agent-server', '--addr', ':0', '--token', 'T', '--data', data])
  await agent.until(/Agent server on http/)
  const address = /http:\/\/\S+?:\d+/.exec(agent.printed.stdout)![0]
  const step = { ...flow.steps[0], targets: ['there'] }
  const stdin = JSON.stringify({ ...flow, inventory: { hosts: { there: { address } } }, steps: [step] })
  const { code, stdout, stderr } = await errand.run(['dispatch', '--token', 'T', '-'], { stdin })
  assert.equal(code, 0, stdout + stderr)
  assert.ok(stdout.includes(lengths[0]!), stdout)
  assertNothingIn(stdout + stderr + agent.printed.stdout + agent.printed.stderr, 'errand dispatch')
  assert.deepEqual(holders(errand.home), [])
})
