import assert from 'node:assert/strict'
import { type Dirent, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { chooseLimits, giveBack } from '../../src/runner/limits/limit-choice.ts'
import { cgroupName } from '../../src/runner/limits/limit-keeper.ts'
import { eventually } from '../support/errand-command.ts'
import { type Programs, startPrograms } from '../support/programs.ts'

const HOG = `node -e 'const held = []; for (;;) held.push(Buffer.alloc(16 * 1024 * 1024, 1))'`
const BURN = `node -e 'while (process.cpuUsage().user + process.cpuUsage().system < 300000);'`

/** Returns the best way that this machine has to enforce limits, and the watchdog. */
function holders(): string[] {
  const choice = chooseLimits(`errand-probe-e2e-${process.pid}`)
  giveBack(choice)
  return choice.heldBy === 'watchdog' ? ['watchdog'] : [choice.heldBy, 'watchdog']
}

const step = (name: string, cmd: string, more: object = {}) => ({
  name,
  action: 'cmd.run',
  args: { cmd },
  ...more,
})

async function create(programs: Programs, steps: object[]): Promise<string> {
  const { run_id } = await programs.client.runs.create({
    workflow: { version: 'v0.1', name: 'limits', steps },
  })
  return run_id
}

const workFile = (programs: Programs, runId: string, name: string) =>
  join(programs.runnerFolder, 'runs', runId, name)

async function programsWith(t: TestContext, holder: string): Promise<Programs> {
  const programs = await startPrograms(t, {
    runnerEnv: { PATH: process.env.PATH, ERRAND_LIMITS: holder, ERRAND_LIMIT_PROCESSES: '500' },
  })
  return programs
}

for (const holder of holders()) {
  test(`after a kill of the runner limits hold, the usage is recorded, nothing is left (${holder})`, async (t) => {
    const programs = await programsWith(t, holder)
    assert.match(programs.runner!.printed.stderr, /Limits are enforced by/)
    const go = (name: string) => `touch ${name}; until [ -e go-${name} ]; do sleep 0.05; done`
    const hog = await create(programs, [
      step('hog', `${go('hog')}; ${HOG}`, { limits: { memory: '200MB', cpus: 1 } }),
    ])
    const burner = await create(programs, [step('burner', `${BURN}; ${go('burner')}`)])
    for (const [runId, name] of [
      [hog, 'hog'],
      [burner, 'burner'],
    ] as const)
      await eventually(`the start of ${name}`, () => existsSync(workFile(programs, runId, name)))
    await programs.kill('runner')
    writeFileSync(workFile(programs, hog, 'go-hog'), '')
    await programs.startRunner()
    writeFileSync(workFile(programs, burner, 'go-burner'), '')
    const ended = await programs.ended(hog)
    assert.equal(ended.status, 'failed')
    const [attempt] = ended.steps[0]!.instances[0]!.attempts
    assert.equal(ended.steps[0]!.instances[0]!.reason, 'oom', JSON.stringify(ended.steps))
    assert.match(ended.steps[0]!.instances[0]!.message!, /of 200 MB/)
    assert.equal(attempt!.usage?.held_by, holder)
    const burnt = await programs.ended(burner)
    assert.equal(burnt.status, 'success')
    assert.ok(burnt.steps[0]!.instances[0]!.attempts[0]!.usage!.cpu_ms! >= 290)
    const shown = await programs.call('runs', 'show', hog, '--url', programs.url)
    assert.match(shown.stdout, /MEMORY +CPU/)
    assert.match(shown.stdout, /Measured and limited by/)
    assert.equal((await programs.client.runners.list())[0]!.limits, holder)
    // A runner that ends in order removes its cgroups.
    programs.runner!.child.kill('SIGTERM')
    await programs.runner!.finished
    assert.deepEqual(cgroupsOf(programs), [])
  })
}

test('a runner reports an invalid limit at its start', async (t) => {
  const programs = await startPrograms(t, { runner: 'none' })
  const token = readFileSync(join(programs.data, 'runner-token'), 'utf8').trim()
  for (const [name, value] of [
    ['ERRAND_LIMIT_MEMORY', 'much'],
    ['ERRAND_LIMIT_CPUS', '0'],
    ['ERRAND_LIMIT_PROCESSES', '1.5'],
    ['ERRAND_LIMIT_DISK', '-1'],
    ['ERRAND_LIMITS', 'magic'],
  ] as const) {
    const { code, stderr } = await programs.errand.run(['runner', '--url', programs.url, '--token', token], {
      env: { [name]: value, WORKSPACE_DIR: programs.runnerFolder },
    })
    assert.notEqual(code, 0)
    assert.match(stderr, new RegExp(`${name} is "${value.replace('.', '\\.')}"`))
  }
})

/**
 * Returns the entries of a folder. There are none if it is gone since it was listed: other cgroups come and go
 * meanwhile.
 */
function entriesOf(folder: string): Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
  } catch (error) {
    if (['ENOENT', 'ENODEV'].includes((error as NodeJS.ErrnoException).code!)) return []
    throw error
  }
}

/** Returns this runner's cgroups, wherever they are mounted. */
function cgroupsOf(programs: Programs): string[] {
  const name = cgroupName(join(programs.runnerFolder, 'attempts'))
  const found: string[] = []
  const walk = (folder: string, depth: number) => {
    for (const entry of depth > 0 ? entriesOf(folder) : []) {
      if (!entry.isDirectory()) continue
      if (entry.name === name) found.push(join(folder, entry.name))
      walk(join(folder, entry.name), depth - 1)
    }
  }
  if (existsSync('/sys/fs/cgroup')) walk('/sys/fs/cgroup', 6)
  return found
}
