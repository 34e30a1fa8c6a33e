import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { homedir, networkInterfaces } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import type { RunEvent } from '../../src/contract/events.ts'
import { listProcesses, procText, signal } from '../../src/platform/proc.ts'
import { runIdIn } from '../support/agent-command.ts'
import { allSubjects, installedAgent } from '../support/agent-subjects.ts'
import { baseImage, dockerHere } from '../support/docker/docker.ts'
import { errandCommand, eventually } from '../support/errand-command.ts'
import { runTurn, startModelServer } from '../support/model-server/server.ts'

const agents = process.env.ERRAND_AGENTS_DIR ?? join(homedir(), '.errand', 'agents')
const attack = readFileSync(join(import.meta.dirname, 'attack.sh'), 'utf8')
/** Returns a value that nothing in a box may find. */
const stored = (kind: string) => `sk-kept-${kind}-${randomBytes(16).toString('hex')}`

interface Target {
  errand: ReturnType<typeof errandCommand>
  /** The folder where agents may work. */
  work: string
  env: Record<string, string>
  /** The attack, with the values that it should look for. */
  script: string
  /** A text in the name of the process that tries to outlive the attack. */
  marker: string
  events(runId: string): Promise<RunEvent[]>
}

/**
 * Starts a hub with its runner, with keys of its own, and with another run at work, which has a workspace and a
 * secret.
 */
async function target(t: TestContext, more: Record<string, string>): Promise<Target> {
  const marker = `errand-left-${randomBytes(8).toString('hex')}`
  t.after(() => left(marker))
  const errand = errandCommand(t)
  const work = join(errand.home, 'work')
  mkdirSync(work)
  const data = join(errand.home, 'data')
  const env = {
    ERRAND_DATA: data,
    ERRAND_AGENTS_DIR: agents,
    GITHUB_TOKEN: stored('forge'),
    ...more,
  }
  const up = errand.start(['up', '--port', '0', '--allow-dir', work], { env })
  await up.until(/Connected to the hub/)
  const url = new URL(/http:\/\/\S+/.exec(up.printed.stdout)![0])
  const { token } = JSON.parse(readFileSync(join(data, 'local.json'), 'utf8')) as { token: string }
  const events = async (id: string): Promise<RunEvent[]> => {
    const headers = { authorization: `Bearer ${token}`, accept: 'application/json' }
    return (await (await fetch(new URL(`/api/runs/${id}/events`, url), { headers })).json()) as RunEvent[]
  }
  const secret = stored('secret')
  const text = stored('text')
  assert.equal(
    (await errand.run(['secrets', 'set', 'OTHER', '--value-from-stdin'], { env, stdin: secret })).code,
    0,
  )
  const other = join(errand.home, 'other.yaml')
  // The command ends with the test, whatever happens to the hub.
  const gone = errand.home
  const command = `echo ${text} > found.txt; echo ${text}; echo ready; while [ -e ${gone} ]; do sleep 0.1; done`
  writeFileSync(
    other,
    `version: v0.1\nname: other\nsteps: [{name: a, action: cmd.run, secrets: [OTHER], args: {cmd: "${command}"}}]\n`,
  )
  const going = errand.start(['run', '--hub', other], { env })
  await going.until('ready')
  const needles = [
    secret,
    text,
    token,
    env.GITHUB_TOKEN,
    ...Object.values(more).filter((each) => each.startsWith('sk-kept-')),
  ]
  const machine = Object.values(networkInterfaces())
    .flat()
    .find((each) => each?.family === 'IPv4' && !each.internal)?.address
  const variables = {
    NEEDLES: needles.map((each) => Buffer.from(each).toString('hex')).join('\n'),
    PLACES: [
      data,
      join(data, 'local.json'),
      ...below(data),
      join(errand.home, '.errand'),
      other,
      homedir(),
    ].join('\n'),
    HUB_PORT: url.port,
    MACHINE: machine ?? '127.0.0.2',
    MARKER: marker,
    PROGRAMS: agents,
    OWN: 'ERRAND_SANDBOX_IMAGE' in more ? '/etc/shadow /sys/kernel /root' : '',
  }
  const assignments = Object.entries(variables).map(([name, value]) => `export ${name}='${value}'\n`)
  return { errand, work, env, script: assignments.join('') + attack, marker, events }
}

/** Returns the files and folders of the hub and its runner, down to two levels. */
function below(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    return entry.isDirectory() ? [path, ...readdirSync(path).map((name) => join(path, name))] : [path]
  })
}

/** Asserts that nothing was reached, that everything was tried, and that nothing of the attack is left. */
async function assertHeld({ marker, events }: Target, printed: string, runId: string): Promise<void> {
  assert.deepEqual(
    printed.split('\n').filter((line) => line.includes('REACHED')),
    [],
  )
  assert.ok(Number(/ATTACKS DONE (\d+)/.exec(printed)?.[1]) > 20, printed)
  assert.ok(Number(/by perl (\d+)/.exec(printed)?.[1]) > 100, printed)
  assert.deepEqual(left(marker), [])
  const refused = (await events(runId)).filter((event) => event.type === 'network.refused')
  assert.ok(refused.length > 0, 'the run reports what was refused')
}

function left(marker: string): number[] {
  const found = (listProcesses() ?? []).filter(({ pid }) => procText(pid, 'cmdline')?.startsWith(marker))
  for (const { pid } of found) signal(pid, 'SIGKILL')
  return found.map(({ pid }) => pid)
}

/** Defines tests that attack from inside a box of this kind: by a plain step, and by each agent. */
export async function testAttacks(isolation: 'sandbox' | 'container'): Promise<void> {
  const noEngine = isolation === 'container' && (await dockerHere())
  /** A Debian image, because the attack needs its perl. */
  const image: Record<string, string> =
    isolation === 'container' && !noEngine ? { ERRAND_SANDBOX_IMAGE: await baseImage('node:24-slim') } : {}
  test(`a step in a ${isolation} reaches nothing that is off limits`, { skip: noEngine }, async (t) => {
    const keys = { ANTHROPIC_API_KEY: stored('anthropic'), OPENAI_API_KEY: stored('openai') }
    const there = await target(t, { ...keys, ...image })
    const file = join(there.errand.home, 'attack.yaml')
    const steps = [{ name: 'attack', action: 'shell.run', args: { script: there.script } }]
    writeFileSync(file, JSON.stringify({ version: 'v0.1', name: 'attack', isolation, network: 'all', steps }))
    const ran = await there.errand.run(['run', '--hub', file], { env: there.env })
    assert.equal(ran.code, 0, ran.stdout + ran.stderr)
    await assertHeld(there, ran.stdout, /\brun_\w+/.exec(ran.stdout)![0])
  })

  for (const subject of allSubjects) {
    const installed = await installedAgent(subject.name)
    const skip = noEngine || ('missing' in installed && installed.missing)
    test(`${subject.name} in a ${isolation} reaches nothing that is off limits`, { skip }, async (t) => {
      const key = stored('model')
      const server = await startModelServer({
        keys: [key],
        script: [runTurn('sh ./attack.sh > report.txt 2>&1; echo done'), { text: 'Done.' }],
      })
      t.after(() => server.stop())
      const there = await target(t, { ...subject.env(server.url, key), ...image })
      writeFileSync(join(there.work, 'attack.sh'), there.script)
      const options = [
        '--agent',
        subject.name,
        '--model',
        subject.model,
        '--cwd',
        there.work,
        '--isolation',
        isolation,
      ]
      const ran = await there.errand.run(['agent', '--hub', 'Go.', ...options], { env: there.env })
      assert.equal(ran.code, 0, ran.stdout + ran.stderr)
      assert.deepEqual(server.errors, [])
      const report = await eventually('the report', () =>
        readFileSync(join(there.work, 'report.txt'), 'utf8'),
      )
      await assertHeld(there, report, runIdIn(ran.stdout))
    })
  }
}
