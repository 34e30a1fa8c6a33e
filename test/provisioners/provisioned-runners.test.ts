import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { ErrandClient } from '../../src/client/client.ts'
import { processesMarked } from '../../src/platform/proc.ts'
import { eventually } from '../support/errand-command.ts'
import { type Programs, processesOf, startPrograms, workflowText } from '../support/programs.ts'
import { onBuilders, runnerOf, startRun, writeBuilders } from '../support/provisioners/builders.ts'

/** Starts a hub without a runner, whose group `builders` creates its own. */
async function opened(
  t: TestContext,
  group: Record<string, unknown> = {},
  { lostAfter = '60s' } = {},
): Promise<Programs> {
  return await startPrograms(t, {
    runner: 'none',
    hubArgs: ['--lost-after', lostAfter, '--heartbeat', '0.5s'],
    prepare: ({ data }) => {
      writeGroup(data, group)
    },
  })
}

const writeGroup = (data: string, group: Record<string, unknown>) =>
  writeBuilders(data, { provisioner: 'process', max: 4, idle_seconds: 0, start_seconds: 60, ...group })

const made = ({ data }: Programs): number[] =>
  processesMarked(`ERRAND_MADE_RUNNER=errand-`).filter((pid) => processesOf(data).includes(pid))
const folders = ({ data }: Programs): string[] =>
  existsSync(join(data, 'made')) ? readdirSync(join(data, 'made')) : []
const nothingLeft = (programs: Programs) =>
  eventually(
    'the removal of everything that was created',
    () => made(programs).length === 0 && folders(programs).length === 0,
  )

test('a waiting run gets one runner for all of its steps, which is removed with the run', async (t) => {
  const programs = await opened(t)
  const [a, b] = await Promise.all([
    startRun(programs, onBuilders('echo one > kept; echo done', 'cat kept')),
    startRun(programs, onBuilders('echo two > kept; echo done', 'cat kept')),
  ])
  const [first, second] = [await programs.ended(a), await programs.ended(b)]
  assert.deepEqual([first.status, second.status], ['success', 'success'])
  assert.ok(runnerOf(first)?.startsWith('errand-'))
  assert.equal(runnerOf(first, 0), runnerOf(first, 1))
  assert.notEqual(runnerOf(first), runnerOf(second))
  await nothingLeft(programs)
  await eventually('a list without them', async () => (await programs.client.runners.list()).length === 0)
  const { tokens } = await programs.client.tokens.list()
  assert.deepEqual(
    tokens.filter(({ name, revoked_at }) => name.includes('errand-') && revoked_at === undefined),
    [],
  )
})

test('a hub killed at any moment continues with its runners, creates none twice, and leaves nothing', async (t) => {
  const programs = await opened(t)
  const mark = join(programs.home, 'begun')
  const yaml = onBuilders(`echo x >> ${mark}; until test -e ${mark}.go; do sleep 0.05; done; echo kept`)
  const id = await startRun(programs, yaml)
  const moments: (() => unknown)[] = [
    () => folders(programs).length > 0,
    () => made(programs).length > 0,
    () => existsSync(mark),
  ]
  for (const moment of moments) {
    await eventually('the moment', () => Boolean(moment()))
    await programs.kill('hub')
    await programs.startHub()
    assert.ok(made(programs).length <= 1)
  }
  writeFileSync(`${mark}.go`, '')
  const run = await programs.ended(id)
  assert.equal(run.status, 'success', JSON.stringify(run))
  await nothingLeft(programs)
})

test('the work of a runner killed in the middle is reported as lost, with the signal, and nothing is left', async (t) => {
  const programs = await opened(t)
  const mark = join(programs.home, 'begun')
  const id = await startRun(programs, onBuilders(`echo x >> ${mark}; sleep 600`))
  await eventually('the step', () => existsSync(mark))
  for (const pid of [...made(programs), ...processesOf(`ERRAND_RUN_ID=${id}\0`)]) process.kill(pid, 'SIGKILL')
  const run = await programs.ended(id)
  const { reason, message } = run.steps[0]!.instances[0]!
  assert.deepEqual([run.status, reason], ['failed', 'lost'])
  assert.match(message!, /^Runner "errand-\S+" is gone: Its process was ended by SIGKILL\./)
  await nothingLeft(programs)
})

test('a spare runner is used at once, and another one replaces it', async (t) => {
  const programs = await opened(t, { spare: 1, idle_seconds: 600 })
  const spare = await eventually('the spare', async () => {
    const [one] = await programs.client.runners.list()
    return one?.status === 'connected' && one.id
  })
  const run = await programs.ended(await startRun(programs, onBuilders('echo hello')))
  assert.equal(runnerOf(run), spare)
  await eventually('another', async () => {
    const there = await programs.client.runners.list()
    return there.length === 1 && there[0]!.id !== spare && there[0]!.status === 'connected'
  })
})

const REFUSES = `case $1 in provision) echo no quota >&2; exit 3 ;; find) echo '{"runners": []}' ;; *) echo '{}' ;; esac`

test('a group whose runners do not start says why in the waiting run, and does not try for a while', async (t) => {
  const programs = await opened(t, {
    provisioner: 'command',
    command: ['sh', '-c', REFUSES, 'maker'],
  })
  const id = await startRun(programs, onBuilders('echo hello'))
  const text = await eventually('the reason', async () => {
    const output = JSON.stringify(await programs.client.runs.get(id))
    return output.includes('could be started') && output
  })
  assert.match(text, /could be started since 20.*Z: .* ended with exit code 3: no quota\. Next try at 20/)
  writeGroup(programs.data, {})
  assert.equal((await programs.ended(id)).status, 'success', 'once it is fixed')
  await nothingLeft(programs)
})

/** Accepts the request for a runner, and never starts it. */
const NEVER = `read asked; name=$(echo "$asked" | sed -n 's/.*"name":"\\([^"]*\\)".*/\\1/p'); case $1 in
  provision) echo "$name" > $0; echo '{}' ;;
  find) if test -e $0; then echo '{"runners": [{"name": "'$(cat $0)'", "state": "starting"}]}'; else echo '{"runners": []}'; fi ;;
  remove) rm -f $0; echo '{}' ;; esac`

const STUCK = `case $1 in provision) exit 3 ;; find) echo '{"runners": []}' ;; *) test -e $0 || { echo stuck >&2; exit 4; }; echo '{}' ;; esac`

test('a runner that cannot be removed says why, and is removed when possible', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'errand-stuck-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const go = join(folder, 'go')
  const programs = await opened(t, { provisioner: 'command', command: ['sh', '-c', STUCK, go] })
  await startRun(programs, onBuilders('echo hello'))
  const made = async () => (await programs.client.runners.groups({ name: 'builders' }))[0]!.pool!.runners
  const stuck = await eventually('why it stays', async () =>
    (await made()).find(({ waits_for }) => waits_for !== undefined),
  )
  assert.match(stuck.waits_for!, /remove ended with exit code 4: stuck$/)
  writeFileSync(go, '')
  await eventually('its end', async () =>
    (await made()).some(({ name, state }) => name === stuck.name && state === 'removed'),
  )
})

test("a runner that has not started is removed after a change of its group's settings, and recreated with them", async (t) => {
  const programs = await opened(t)
  const made = join(programs.home, 'made')
  writeGroup(programs.data, {
    provisioner: 'command',
    command: ['sh', '-c', NEVER, made],
    start_seconds: 3_600,
    max: 1,
  })
  await eventually('the settings', async () => {
    const [group] = await programs.client.runners.groups({ name: 'builders' })
    return group?.pool?.provisioner === 'command'
  })
  const id = await startRun(programs, onBuilders('echo hello'))
  await eventually('one that starts', () => existsSync(made))
  writeGroup(programs.data, { max: 1 })
  assert.equal((await programs.ended(id)).status, 'success')
  assert.ok(!existsSync(made))
  await nothingLeft(programs)
})

/** Stores how each runner should be started, for a person to start it. Removes one once its name is in `taken`. */
const BY_HAND = `asked=$(cat); name=$(echo "$asked" | sed -n 's/.*"name":"\\([^"]*\\)".*/\\1/p'); case $1 in
  provision) echo "$asked" > "$0/$name.part"; mv "$0/$name.part" "$0/$name.json"; echo '{}' ;;
  find) cd "$0"; echo '{"runners": ['; for each in *.json; do test -e "$each" && echo "\${comma}{\\"name\\": \\"\${each%.json}\\", \\"state\\": \\"starting\\"}" && comma=,; done; echo ']}' ;;
  remove) until test -e "$0/taken" || ! test -e "$0/$name.json"; do sleep 0.05; done; rm -f "$0/$name.json"; echo '{}' ;; esac`

test('a runner that connects while it is being removed gets nothing, and its run goes to the next one', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'errand-by-hand-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const byHand = { provisioner: 'command', command: ['sh', '-c', BY_HAND, folder], max: 2 }
  const programs = await opened(t, byHand)
  const requestedRunner = (epoch: number) =>
    eventually(`runner ${epoch}`, () => readdirSync(folder).find((file) => file.endsWith(`-e${epoch}.json`)))
  const start = async (file: string) => {
    const { name, env } = JSON.parse(readFileSync(join(folder, file), 'utf8'))
    const args = ['runner', '--workspace', join(folder, name)]
    const runner = programs.errand.start(args, { env: { ...programs.env, ...env } })
    t.after(() => runner.child.kill('SIGKILL'))
    await eventually('its connection', async () =>
      (await programs.client.runners.list()).some(
        ({ id, status }) => id === name && status !== 'disconnected',
      ),
    )
    return runner
  }
  const id = await startRun(programs, onBuilders('echo hello'))
  const first = await requestedRunner(1)
  await eventually('its state', async () => {
    const [group] = await programs.client.runners.groups({ name: 'builders' })
    return group?.pool?.runners.some(({ state }) => state === 'starting')
  })
  writeGroup(programs.data, { ...byHand, slots: 3 })
  const second = await requestedRunner(2)
  await start(first)
  const before = await programs.client.runs.get(id)
  assert.equal(runnerOf(before), undefined, JSON.stringify(before.steps))
  writeFileSync(join(folder, 'taken'), '')
  await eventually('its end', () => !existsSync(join(folder, first)))
  const runner = await start(second)
  const run = await programs.ended(id)
  assert.deepEqual([run.status, `${runnerOf(run)}.json`], ['success', second], JSON.stringify(run.steps))
  runner.child.kill('SIGTERM')
})

test('runners created for a group that no longer exists are removed, also by the next hub', async (t) => {
  const programs = await opened(t, { spare: 2, idle_seconds: 600 })
  await eventually('the spares', async () => (await programs.client.runners.list()).length === 2)
  await programs.kill('hub')
  writeFileSync(join(programs.data, 'errand.yaml'), '{}')
  await programs.startHub()
  await nothingLeft(programs)
})

test('a run waits for its own runner while the only permitted one works for another run', async (t) => {
  const programs = await opened(t, { max: 1 })
  const go = join(programs.home, 'go')
  const first = await startRun(programs, onBuilders(`until test -e ${go}; do sleep 0.05; done`))
  await eventually(
    'the first at work',
    async () => (await programs.client.runs.get(first)).status === 'running',
  )
  await eventually('its runner', async () => (await programs.client.runners.list()).length === 1)
  const second = await startRun(programs, onBuilders('echo hello'))
  await eventually('why the second waits', async () =>
    JSON.stringify(await programs.client.runs.get(second)).includes(
      'has reached its max of 1, and all runners are in use',
    ),
  )
  writeFileSync(go, '')
  const [a, b] = [await programs.ended(first), await programs.ended(second)]
  assert.deepEqual([a.status, b.status], ['success', 'success'])
  assert.notEqual(runnerOf(a), runnerOf(b))
  await nothingLeft(programs)
})

test('an admin pauses, changes and empties a group, across restarts, until the file says something else', async (t) => {
  const programs = await opened(t, { spare: 2, idle_seconds: 600 })
  const there = async () => (await programs.client.runners.list()).map(({ id }) => id)
  const first = await eventually('the spares', async () => {
    const ids = await there()
    return ids.length === 2 && ids
  })
  const cli = async (...args: string[]) => {
    const output = await programs.call('runners', ...args)
    assert.equal(output.code, 0, output.stderr)
    return output.stdout
  }
  assert.match(
    await cli('pause-group', 'builders'),
    /^paused is true \(admin, 20.*\); errand.yaml says false\n$/,
  )
  assert.equal(await cli('empty-group', 'builders'), '2 runners of builders are removed.\n')
  await nothingLeft(programs)
  await programs.kill('hub')
  await programs.startHub()
  const id = await startRun(programs, onBuilders('echo hello'))
  await eventually('why it waits', async () =>
    JSON.stringify(await programs.client.runs.get(id)).includes('group \\"builders\\" is paused'),
  )
  await cli('set-group', 'builders', '--spare', '0', '--idle', '0')
  assert.equal(await cli('resume-group', 'builders'), await cli('set-group', 'builders'))
  assert.equal((await programs.ended(id)).status, 'success')
  await nothingLeft(programs)
  const [before] = (await programs.client.runners.groups({ name: 'builders' })).map(({ pool }) => pool!)
  assert.deepEqual(
    before!.changes.map(({ key, value, file, by }) => [key, value, file, by]),
    [
      ['spare', 0, 2, 'admin'],
      ['idle_seconds', 0, 600, 'admin'],
    ],
  )
  writeGroup(programs.data, { spare: 1, idle_seconds: 600 })
  const [other] = await eventually('the spare of the file', async () => {
    const ids = await there()
    return ids.length === 1 && ids
  })
  assert.ok(!first.includes(other!))
})

test('emptying a group with its working runners loses their work, and waiting runs get other runners', async (t) => {
  const programs = await opened(t)
  const mark = join(programs.home, 'begun')
  const id = await startRun(programs, onBuilders(`echo x >> ${mark}; sleep 600`))
  await eventually('the step', () => existsSync(mark))
  assert.equal(await programs.client.runners.emptyPool('builders'), 0, 'it works')
  assert.equal(await programs.client.runners.emptyPool('builders', { working: true }), 1)
  const run = await programs.ended(id)
  assert.deepEqual([run.status, run.steps[0]?.instances[0]?.reason], ['failed', 'lost'])
  await nothingLeft(programs)
})

const NO_IMAGE = `case $1 in provision) echo '{"error": {"message": "There is no such image.", "permanent": true}}'; exit 1 ;; find) echo '{"runners": []}' ;; *) echo '{}' ;; esac`

test('a run whose runner cannot be created until a person fixes it fails with the reason, and can be rerun', async (t) => {
  const broken = { provisioner: 'command', command: ['sh', '-c', NO_IMAGE, 'maker'], start_seconds: 1 }
  const programs = await opened(t, broken)
  const id = await startRun(programs, onBuilders('echo hello'))
  const run = await programs.ended(id)
  const { reason, message } = run.steps[0]!.instances[0]!
  assert.deepEqual(
    [run.status, reason, message],
    ['failed', 'start_failed', 'no runner of group "builders" could be started: There is no such image.'],
  )
  writeGroup(programs.data, {})
  const { run_id } = await programs.client.runs.retry(id)
  assert.equal((await programs.ended(run_id)).status, 'success')
  await nothingLeft(programs)
})

const ofSize = (cpus: number) =>
  workflowText([{ name: 's0', targets: ['build'], cmd: 'true', resources: { cpus } }], {
    inventory: { hosts: { build: { group: 'builders' } } },
  })

test("a run that needs more than its group's runners have is rejected after one reported, and delays no other", async (t) => {
  const programs = await opened(t, { max: 1, start_seconds: 600 })
  const large = await startRun(programs, ofSize(500))
  const small = await startRun(programs, onBuilders('echo hello'))
  const [rejected, run] = [await programs.ended(large), await programs.ended(small)]
  const { reason, message } = rejected.steps[0]!.instances[0]!
  assert.deepEqual([rejected.status, reason, run.status], ['failed', 'rejected', 'success'], message)
  assert.match(
    message!,
    /^it requests 500 cpus, but the runners of group "builders" have \d+ cpus? and [\d.]+ [MG]B of memory: request less, or use a group with larger runners$/,
  )
  assert.equal(runnerOf(rejected), undefined)
  await nothingLeft(programs)
  // The size is known, so no runner is needed to reject the next one.
  assert.equal((await programs.call('runners', 'pause-group', 'builders')).code, 0)
  const next = await programs.ended(await startRun(programs, ofSize(500)))
  assert.equal(next.steps[0]!.instances[0]!.reason, 'rejected')
})

test('a restored copy beside a live hub has none of its runners, and creates its own', async (t) => {
  const programs = await opened(t)
  const mark = join(programs.home, 'begun')
  const id = await startRun(
    programs,
    onBuilders(`echo x >> ${mark}; until test -e ${mark}.go; do sleep 0.05; done; echo kept`),
  )
  await eventually('the step', () => existsSync(mark))
  const [own] = await programs.client.runners.list()
  const to = join(programs.home, 'b.tgz')
  assert.equal((await programs.call('backup', '--to', to)).code, 0)
  const data = join(programs.home, 'copy')
  const restored = await programs.call('restore', to, '--data', data)
  assert.equal(restored.code, 0, restored.stderr)
  writeGroup(data, {})
  const env = {
    ERRAND_DATA: data,
    DOCKER_HOST: `unix://${programs.home}/none`,
    ERRAND_CONFIG: join(data, 'errand.yaml'),
  }
  const args = ['up', '--no-runner', '--port', '0', '--lost-after', '1s', '--heartbeat', '0.5s']
  const beside = programs.errand.start(args, { env })
  await beside.until('Errand is up')
  const url = /http:\/\/127\.0\.0\.1:\d+/.exec(beside.printed.stdout + beside.printed.stderr)![0]
  const copy = new ErrandClient({ url, token: readFileSync(join(data, 'local-token'), 'utf8').trim() })
  assert.deepEqual(await copy.runners.list(), [])
  const again = await eventually('the run there', async () => {
    const run = await copy.runs.get(id)
    return run.finished_at !== undefined && run
  })
  assert.deepEqual([again.status, again.steps[0]?.instances[0]?.reason], ['failed', 'lost'])
  const { run_id } = await copy.runs.create({ yaml: onBuilders('echo hello') })
  const other = await eventually('a run there', async () => {
    const run = await copy.runs.get(run_id)
    return run.finished_at !== undefined && run
  })
  const hubOf = (name: string | undefined) => name?.split('-')[1]
  assert.equal(other.status, 'success')
  assert.notEqual(hubOf(runnerOf(other)), hubOf(own!.id))
  writeFileSync(`${mark}.go`, '')
  const run = await programs.ended(id)
  assert.deepEqual([run.status, runnerOf(run)], ['success', own!.id])
  await nothingLeft(programs)
})
