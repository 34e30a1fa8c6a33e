import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { errandCommand, type Started } from '../support/errand-command.ts'
import { endProcessesOf, freePort, processesOf, writeWorkflow } from '../support/programs.ts'

const hello = join(import.meta.dirname, '../../examples/hello.yaml')

/** Starts agent servers with the token T, each with its own data folder. */
async function agents(t: TestContext, count: number) {
  const errand = errandCommand(t)
  const start = async (port: number): Promise<Started> => {
    const args = ['agent-server', '--addr', `127.0.0.1:${port}`, '--token', 'T']
    const agent = errand.start(args)
    await agent.until('Agent server on')
    return agent
  }
  const ports = await Promise.all(Array.from({ length: count }, freePort))
  const servers = await Promise.all(ports.map(start))
  const dispatch = (...words: string[]) => errand.run(['dispatch', ...words, '--token', 'T'])
  return { errand, ports, servers, addresses: ports.map((port) => `127.0.0.1:${port}`), start, dispatch }
}

test('a file without inventory runs on the agent servers from --host', async (t) => {
  const { addresses, dispatch } = await agents(t, 2)
  const [one, two] = addresses as [string, string]
  const alone = await dispatch('--host', one, hello)
  assert.equal(alone.code, 0, alone.stderr)
  assert.ok(alone.stdout.includes(`${one} | hello, world\n`), alone.stdout)
  const named = await dispatch('--host', `local=http://${one}/`, hello, '--var', 'WHO=Anna')
  assert.match(named.stdout, /^local \| hello, Anna$/m)
  const both = await dispatch('--host', `a=${one}`, '--host', `b=${two}`, hello)
  assert.equal(both.code, 0, both.stderr)
  assert.match(both.stdout, /^a \| hello, world$/m)
  assert.match(both.stdout, /^b \| hello, world$/m)
})

test('--host gives the addresses of targeted hosts, also in sub-workflows, and overrides the inventory', async (t) => {
  const { addresses, dispatch, errand } = await agents(t, 1)
  const file = join(errand.home, 'flow.yaml')
  const say = { action: 'cmd.run', args: { cmd: 'echo "on $ERRAND_HOST"' } }
  writeWorkflow(
    file,
    [
      { name: 'outer', targets: ['web'], ...say },
      { name: 'default', ...say },
      {
        name: 'sub',
        action: 'workflow.run',
        args: {
          workflow: {
            version: 'v0.1',
            name: 'inner',
            inventory: { hosts: { db: { address: 'http://127.0.0.1:9' } } },
            steps: [{ name: 'both', targets: ['web', 'db'], ...say }],
          },
        },
      },
    ],
    { inventory: { hosts: { local: { address: `http://${addresses[0]}` } } } },
  )
  const { code, stdout, stderr } = await dispatch(
    '--host',
    `web=${addresses[0]}`,
    '--host',
    `db=${addresses[0]}`,
    file,
  )
  assert.equal(code, 0, stdout + stderr)
  for (const line of ['web | on web', 'local | on local', 'db | on db'])
    assert.ok(stdout.includes(`${line}\n`), `${line}: ${stdout}`)
  const wrong = await dispatch('--host', `wed=${addresses[0]}`, file)
  assert.equal(wrong.code, 2)
  assert.match(wrong.stderr, /"web", which is not in inventory.hosts[\s\S]*did you mean "wed"\?/)
})

test('an invalid address is a usage error', async (t) => {
  const errand = errandCommand(t)
  for (const host of ['a b', 'ftp://x', '=10.0.0.5', 'x=', 'http://u:p@x', 'x:99999']) {
    const { code, stderr } = await errand.run(['dispatch', '--token', 'T', '--host', host, hello])
    assert.equal(code, 2, host)
    assert.ok(stderr.includes(`--host is "${host}"`) && stderr.includes('--host web1=10.0.0.5:7072'), stderr)
  }
  const twice = await errand.run(['dispatch', '--token', 'T', '--host', 'a=x', '--host', 'a=y', hello])
  assert.match(twice.stderr, /--host gives "a" twice/)
})

test('a host without address or token is reported before the first step, with its steps and what to write', async (t) => {
  const { addresses, dispatch, errand } = await agents(t, 1)
  const mark = join(errand.home, 'began')
  const file = (hosts: Record<string, unknown>, last: Record<string, unknown>): string =>
    writeWorkflow(
      join(errand.home, 'flow.yaml'),
      [
        { name: 'begin', targets: ['good'], cmd: `echo >> ${mark}` },
        { name: 'last', cmd: 'true', ...last },
      ],
      {
        inputs: { STAGE: { default: 'dev' } },
        inventory: { hosts: { good: { address: `http://${addresses[0]}` }, ...hosts } },
      },
    )
  const noAddress = await dispatch(file({ web: null }, { targets: ['good', 'web'] }))
  assert.equal(noAddress.code, 2)
  assert.match(noAddress.stderr, /Host "web" has no address\. Needed by step "last"\./)
  assert.match(noAddress.stderr, /inventory\.hosts\.web\.address[\s\S]*--host web=10\.0\.0\.5:7072/)
  assert.match((await dispatch(file({}, {}))).stderr, /Host "local" has no address.*"last"/)

  const db = { db: { address: 'http://127.0.0.1:9', token_env: 'DB_TOKEN' } }
  const noToken = await dispatch(file(db, { targets: ['${WHERE}'], env: { WHERE: 'db' } }))
  assert.equal(noToken.code, 6, noToken.stdout + noToken.stderr)
  assert.match(noToken.stderr, /No token for host "db".*"last"[\s\S]*DB_TOKEN/)
  const both = await dispatch(file({ ...db, web: null }, { targets: ['db', 'web'] }))
  assert.equal(both.code, 2)
  assert.match(both.stderr, /"db"[\s\S]*"web"/)
  const none = await errand.run(['dispatch', file({}, { targets: ['good'] })])
  assert.equal(none.code, 6)
  assert.match(none.stderr, /No token for host "good".*"begin", "last"/)
  assert.equal(existsSync(mark), false, 'a step has started')

  // A step that cannot run, according to what is known now, needs nothing.
  const onlyProd = { targets: ['db'], when: '${STAGE} == "prod"' }
  const dev = await dispatch(file(db, onlyProd))
  assert.equal(dev.code, 0, dev.stdout + dev.stderr)
  assert.equal((await dispatch(file(db, onlyProd), '--var', 'STAGE=prod')).code, 6)
})

test('the exit code distinguishes an unreachable host, a refused token and a failed step', async (t) => {
  const { addresses, dispatch, errand } = await agents(t, 1)
  const [address] = addresses as [string]
  assert.equal((await dispatch('--host', `127.0.0.1:${await freePort()}`, hello)).code, 5)
  assert.equal((await dispatch('--host', 'no-such-host.invalid', hello)).code, 5)
  const wrong = await errand.run(['dispatch', '--token', 'wrong', '--host', address, hello])
  assert.equal(wrong.code, 6)
  const steps = [{ name: 'one', cmd: 'exit 5' }]
  assert.equal((await dispatch('--host', address, writeWorkflow(join(errand.home, 'f.yaml'), steps))).code, 1)
})

test('a dispatch prints its run id first, which lists and ends what it left on the agents', async (t) => {
  const { addresses, dispatch, errand } = await agents(t, 2)
  const mark = `76543.${process.pid}`
  t.after(() => endProcessesOf(mark))
  const file = writeWorkflow(
    join(errand.home, 'flow.yaml'),
    [{ name: 'long', targets: ['web1', 'web2'], cmd: `echo begun; sleep ${mark}` }],
    {
      inventory: {
        hosts: { web1: { address: `http://${addresses[0]}` }, web2: { address: `http://${addresses[1]}` } },
      },
    },
  )
  const left = errand.start(['dispatch', '--token', 'T', file])
  await left.until('web1 | begun')
  await left.until('web2 | begun')
  const [, runId = ''] = /^run (run_\w+) on web1 \(http:\S+\), web2 \(http:\S+\)\n/.exec(left.printed.stdout)!
  left.child.kill('SIGKILL')
  await left.finished

  const hosts = addresses.flatMap((address) => ['--host', address])
  const { stdout: json } = await dispatch('tasks', ...hosts, '--run', runId, '--json')
  const tasks = JSON.parse(json) as { task_id: string; run_id: string; step: string; status: string }[]
  assert.deepEqual(
    tasks.map(({ run_id, step, status }) => [run_id, step, status]),
    [
      [runId, 'long', 'running'],
      [runId, 'long', 'running'],
    ],
  )
  // Cancels one task by its own id, then the rest of the run. -f names the hosts as the inventory does.
  const one = await dispatch('cancel', ...hosts, tasks[0]!.task_id)
  assert.equal(one.code, 0, one.stderr)
  assert.match(one.stdout, new RegExp(`^${tasks[0]!.task_id} on 127\\.0\\.0\\.1:\\d+ is canceled\\.\\n$`))
  assert.equal((await dispatch('tasks', '-f', file)).stdout.trim().split('\n').length, 2)
  const rest = await dispatch('cancel', '-f', file, 'run_unknown', runId, '--json')
  assert.equal(rest.code, 7, rest.stderr)
  assert.match(rest.stderr, /knows a task or run "run_unknown"/)
  assert.deepEqual(
    JSON.parse(rest.stdout).map((task: { status: string; host: string }) => [task.host, task.status]),
    [['web2', 'canceled']],
  )
  assert.deepEqual(processesOf(mark), [])
  assert.match((await dispatch('tasks', ...hosts)).stdout, /No tasks are running/)
  assert.match((await dispatch('tasks', ...hosts, '--all')).stdout, /canceled +long/)
  assert.equal((await dispatch('cancel', ...hosts, runId)).code, 1)
  const unknown = await dispatch('cancel', ...hosts, 'run_unknown')
  assert.equal(unknown.code, 7)
  assert.match(unknown.stderr, /knows a task or run "run_unknown"/)
})

test('tasks of agents that answer are listed even if another one is down or refuses the token', async (t) => {
  const { addresses, dispatch, errand } = await agents(t, 1)
  const [address] = addresses as [string]
  assert.equal((await dispatch('--host', address, '--run-id', 'mine', hello)).code, 0)
  const down = `down=127.0.0.1:${await freePort()}`
  const partly = await dispatch('tasks', '--all', '--host', address, '--host', down)
  assert.equal(partly.code, 5)
  assert.match(partly.stdout, /^mine\.1 /m)
  assert.match(partly.stderr, /Host "down" .* refused the connection/)
  const refused = await errand.run(['dispatch', 'tasks', '--token', 'wrong', '--host', address])
  assert.equal(refused.code, 6)
  assert.match(refused.stderr, /The token is wrong/)
  assert.equal((await dispatch('tasks')).code, 2)
  const late = await errand.run(['dispatch', '--token', 'T', 'tasks', '--host', address])
  assert.equal(late.code, 2)
  assert.match(late.stderr, /hint: write: errand dispatch tasks --host/)
})

test('an older agent that cannot list its tasks is reported as such', async (t) => {
  const errand = errandCommand(t)
  const old = createServer((_request, response) => {
    response.writeHead(404, { 'content-type': 'application/json' })
    response.end('{"error": {"code": "not_found", "message": "There is no /tasks here."}}')
  }).listen(0, '127.0.0.1')
  await once(old, 'listening')
  t.after(() => old.close())
  const host = `web=127.0.0.1:${(old.address() as AddressInfo).port}`
  for (const words of [['tasks'], ['cancel', 'run_0123']]) {
    const { code, stderr } = await errand.run(['dispatch', ...words, '--token', 'T', '--host', host])
    assert.equal(code, 5)
    assert.match(stderr, /Host "web" .* runs a version that cannot list its tasks\.\n {2}hint: Update Errand/)
  }
})

test('--json of a dispatch starts with its run id and hosts', async (t) => {
  const { addresses, dispatch } = await agents(t, 1)
  const { stdout } = await dispatch('--host', `web=${addresses[0]}`, hello, '--json')
  const lines = stdout.trim().split('\n')
  const { run } = JSON.parse(lines.at(-1)!) as { run: { run_id: string } }
  assert.deepEqual(JSON.parse(lines[0]!), {
    type: 'dispatch',
    run_id: run.run_id,
    hosts: { web: `http://${addresses[0]}` },
  })
})

test('the command reports that it waits for an agent that died during a task, and resumes when it is back', async (t) => {
  const { errand, ports, servers, addresses, start } = await agents(t, 1)
  const gate = join(errand.home, 'gate')
  const cmd = `echo begun; until [ -e ${gate} ]; do sleep 0.1; done; echo done`
  const file = writeWorkflow(join(errand.home, 'flow.yaml'), [{ name: 'long', cmd }])
  const run = errand.start(['dispatch', '--token', 'T', '--host', `web=${addresses[0]}`, file])
  await run.until('web | begun')
  servers[0]!.child.kill('SIGKILL')
  await run.until(
    /web \| waiting: Host "web" \(http:\S+\) .*silent since \d\d:\d\d:\d\d UTC; waiting until \d\d:\d\d:\d\d \(60 s\)/,
  )
  await start(ports[0]!)
  await run.until(/web \| running: Host "web" .* answers again/)
  writeFileSync(gate, '')
  const { code, stdout } = await run.finished
  assert.equal(code, 0, stdout)
  assert.match(stdout, /^web \| done$/m)
})
