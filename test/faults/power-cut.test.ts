import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { RunView } from '../../src/contract/run.ts'
import { TcpProxy } from '../link/tcp-proxy.ts'
import { eventually } from '../support/errand-command.ts'
import { type Programs, processesOf, startPrograms, workflowText } from '../support/programs.ts'
import { outputHash, readIfThere, sha256, textOf, wholeLog } from '../support/programs-output.ts'
import { seeded } from '../support/seeded.ts'
import { sized } from '../support/size.ts'
import { noPowerCut, PowerCutDisk } from './power-cut-disk.ts'

const options = { skip: noPowerCut() }
/** Returns how often each test cuts the power; `ERRAND_TEST_CUTS=N` overrides it. */
const cuts = (count: number): number => Number(process.env.ERRAND_TEST_CUTS ?? count)

const agent = join(import.meta.dirname, '../support/acp-agent-stand-in.ts')
const STEPS = 8
const CHATTER = 300
const longLines = Array.from({ length: 20_000 }, (_, index) => `${index} 0123456789abcdef\n`).join('')
const chatter = Array.from({ length: CHATTER }, (_, index) => `${index + 1}\n`).join('')

/** A run, and the complete output of each of its attempts. */
interface Kind {
  yaml(note: string, id: string): string
  outputs(id: string): string[]
}

/** Returns a command that notes its beginning, by the id of its attempt, on a disk whose power is not cut. */
const noted = (note: string, cmd: string): string => `echo "$ERRAND_ATTEMPT_ID" >>"${note}"; ${cmd}`
const numbers = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1)

const quick: Kind = {
  yaml: (note) =>
    workflowText(numbers(STEPS).map((n) => ({ name: `s${n}`, cmd: noted(note, `echo "this is ${n}"`) }))),
  outputs: () => numbers(STEPS).map((n) => `this is ${n}\n`),
}
const talkative: Kind = {
  yaml: (note) =>
    workflowText([
      {
        name: 'print',
        cmd: noted(note, 'i=0; while [ $i -lt 20000 ]; do echo "$i 0123456789abcdef"; i=$((i+1)); done'),
      },
      { name: 'after', cmd: noted(note, 'echo after') },
    ]),
  outputs: () => [longLines, 'after\n'],
}
const agents: Kind = {
  yaml: (note, id) =>
    workflowText([
      {
        name: 'talk',
        action: 'agent.run',
        args: { agent: 'acp', command: [process.execPath, agent], prompt: `say ${id}.1\nchatter ${CHATTER}` },
        env: { STAND_IN_LOG: note },
      },
      { name: 'after', cmd: noted(note, 'echo after') },
    ]),
  outputs: (id) => [`${id}.1${chatter}`, 'after\n'],
}

type Machine = 'hub' | 'runner'

/** Hub and runner. Each has a disk of its own that loses its power, and a boot id of its own. */
class Machines {
  readonly programs: Programs
  readonly #disks: Readonly<Partial<Record<Machine, PowerCutDisk>>>
  readonly #notes: string
  readonly #ends = new Map<string, number>()
  readonly #faults: string[] = []
  #runs = 0

  private constructor(programs: Programs, disks: Partial<Record<Machine, PowerCutDisk>>) {
    this.programs = programs
    this.#disks = disks
    this.#notes = join(programs.home, 'notes')
    mkdirSync(this.#notes)
  }

  /** Starts the programs. `one`: the hub with its own runner, on one disk. */
  static async start(t: TestContext, kind: 'one' | 'two', runnerEnv?: NodeJS.ProcessEnv): Promise<Machines> {
    const disks =
      kind === 'one'
        ? { hub: new PowerCutDisk(t) }
        : { hub: new PowerCutDisk(t), runner: new PowerCutDisk(t) }
    const programs = await startPrograms(t, {
      runner: kind === 'one' ? 'own' : 'none',
      hubArgs: ['--heartbeat', '0.5s', '--lost-after', '20s'],
      prepare({ data, runnerFolder }) {
        const home = join(data, '..')
        disks.hub.mount(data, join(home, 'hub.image'))
        disks.runner?.mount(runnerFolder, join(home, 'runner.image'))
        for (const machine of ['hub', 'runner'] as const) newBoot(home, machine)
      },
      hubWithin: withBoot('hub'),
      runnerWithin: withBoot('runner'),
      runnerEnv,
    })
    const machines = new Machines(programs, disks)
    return machines
  }

  async submit(kinds: readonly Kind[]): Promise<{ id: string; kind: Kind }[]> {
    const { client } = this.programs
    return await Promise.all(
      kinds.map(async (kind) => {
        const id = `cut-${++this.#runs}`
        await client.runs.create({ run_id: id, yaml: kind.yaml(join(this.#notes, id), id) })
        return { id, kind }
      }),
    )
  }

  /** Returns the attempts that began, once for each time they did. */
  #attemptsIn(id: string): string[] {
    const lines = readIfThere(join(this.#notes, id)).split('\n')
    return lines.flatMap((line) => /^(?:prompt say )?(cut-\d+\.\d+)$/.exec(line)?.[1] ?? [])
  }

  begun = (runs: readonly { id: string }[]): number =>
    runs.reduce((sum, { id }) => sum + this.#attemptsIn(id).length, 0)

  /** Cuts all of them at once, as a power failure does. Returns a function that brings them back. */
  async cut(...machines: Machine[]): Promise<() => Promise<void>> {
    const { programs } = this
    const hubPid = programs.hub.child.pid!
    const isCut = (pid: number) => machines.includes(pid === hubPid ? 'hub' : 'runner')
    const pids = () =>
      processesOf(programs.home).filter((pid) => this.#disks.runner === undefined || isCut(pid))
    for (const pid of pids()) kill(pid, 'SIGSTOP')
    const disks = machines.flatMap((machine) => this.#disks[machine] ?? [])
    const left = await Promise.all(disks.map((disk) => disk.cut()))
    await eventually('the end of everything that was stopped', () => {
      const those = pids()
      for (const pid of those) kill(pid, 'SIGKILL')
      return those.length === 0
    })
    for (const each of left) each.restore()
    for (const machine of machines) newBoot(programs.home, machine)
    return async () => {
      if (machines.includes('hub')) await programs.startHub()
      if (machines.includes('runner') && this.#disks.runner) await programs.startRunner()
    }
  }

  /** Checks that every run ends as it says, that nothing began twice, and that all reported output is there. */
  async check(runs: readonly { id: string; kind: Kind }[]): Promise<void> {
    for (const { id, kind } of runs)
      try {
        const run = await this.programs.ended(id)
        const end = [run.status, ...new Set(reasons(run))].join(' ')
        this.#ends.set(end, (this.#ends.get(end) ?? 0) + 1)
        await this.#check(run, kind)
      } catch (error) {
        this.#faults.push(`${id}: ${(error as Error).message}`)
      }
  }

  /** Called after all rounds, so that the figures are complete. */
  assertNoFault(t: TestContext): void {
    t.diagnostic(`runs by their end: ${JSON.stringify(Object.fromEntries(this.#ends))}`)
    assert.deepEqual(this.#faults, [])
  }

  async #check(run: RunView, kind: Kind): Promise<void> {
    const { client } = this.programs
    const id = run.run_id
    const outputs = kind.outputs(id)
    const begun = this.#attemptsIn(id)
    assert.deepEqual(begun, [...new Set(begun)], 'the started attempts')
    const succeeded = run.status === 'success'
    if (succeeded) assert.deepEqual(begun, attempts(run, outputs))
    else for (const reason of reasons(run)) assert.match(reason, /^(lost|output_failed|output_mismatch)$/)
    const events = await wholeLog(client, id)
    for (const [index, whole] of outputs.entries()) {
      const text = textOf(events, index + 1)
      if (succeeded) assert.equal(sha256(text), sha256(whole), `the output of ${index + 1}`)
      else assert.ok(whole.startsWith(text), `${id}.${index + 1} printed ${text.slice(0, 100)}`)
      if (text === '') continue
      const { sha256: stored } = await outputHash(client, id, index + 1, 'stdout', { end: text.length })
      assert.equal(stored, sha256(text), `the ${text.length} reported bytes of output ${index + 1}`)
    }
  }
}

const attempts = (run: RunView, outputs: readonly string[]): string[] =>
  outputs.map((_, index) => `${run.run_id}.${index + 1}`)
const reasons = (run: RunView): string[] =>
  run.steps.flatMap((step) =>
    step.instances.flatMap(({ reason, status }) => (reason && status !== 'skipped' ? [reason] : [])),
  )

/** Returns words before a program that should see its machine's own boot id instead of that of the test's machine. */
const withBoot = (machine: Machine): readonly string[] => {
  const script = `mount --bind "$HOME/${machine}.boot" /proc/sys/kernel/random/boot_id && exec "$@"`
  return ['unshare', '--mount', 'sh', '-c', script, 'sh']
}

function newBoot(home: string, machine: Machine): void {
  const file = join(home, `${machine}.boot`)
  // Processes that see the old boot id continue to see it.
  rmSync(file, { force: true })
  writeFileSync(file, `${randomUUID()}\n`)
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // It has ended meanwhile.
  }
}

const connected = async ({ client }: Programs): Promise<void> => {
  await eventually('a connected runner', async () => {
    const runners = await client.runners.list().catch(() => [])
    return runners.some(({ status }) => status === 'connected')
  })
}

/** Cuts the power at random moments during runs, always soon after a step's start. */
async function cutAgain(
  t: TestContext,
  machines: Machines,
  times: number,
  which: () => Machine[],
): Promise<void> {
  const { programs } = machines
  for (let round = 0; round < times; round++) {
    await connected(programs)
    const runs = await machines.submit([quick, quick, talkative, agents])
    const steps = Math.floor(random.between(0, 2 * STEPS + 4))
    await eventually('some steps that have started', () => machines.begun(runs) >= steps)
    // Sleeps: the moment of a power cut is random.
    await sleep(random.between(0, 100))
    const cut = which()
    const goOn = await machines.cut(...cut)
    await goOn()
    await machines.check(runs)
  }
  machines.assertNoFault(t)
}

const random = seeded()

test(
  'when a hub and its own runner on one disk lose power, nothing starts twice, and every run ends',
  options,
  async (t) => {
    const machines = await Machines.start(t, 'one')
    await cutAgain(t, machines, cuts(sized('power cuts of both machines', 2, 6)), () => ['hub', 'runner'])
  },
)

test(
  'when hub and runner, each alone or both together, lose power, nothing starts twice, and every run ends',
  options,
  async (t) => {
    const machines = await Machines.start(t, 'two')
    await machines.programs.startRunner()
    let round = 0
    const order: Machine[][] = [['hub', 'runner'], ['runner'], ['hub']]
    await cutAgain(
      t,
      machines,
      cuts(sized('power cuts of one machine', 3, 9)),
      () => order[round++ % order.length]!,
    )
  },
)

test(
  'a runner that did a step while cut off and then lost power does not do it again',
  options,
  async (t) => {
    const proxy = await TcpProxy.open(() => Number(new URL(machines.programs.url).port))
    t.after(() => proxy.close())
    const machines = await Machines.start(t, 'two', { ERRAND_HUB_URL: proxy.url })
    const { programs } = machines
    await programs.startRunner()
    for (let round = 0; round < cuts(sized('power cuts while the hub is away', 1, 3)); round++) {
      await connected(programs)
      proxy.freeze('to_hub')
      const runs = await machines.submit([quick, agents])
      for (const run of runs) await eventually('its start', () => machines.begun([run]) > 0)
      // Sleeps: the moment of a power cut is random.
      await sleep(random.between(0, 1_000))
      const goOn = await machines.cut('runner')
      proxy.cut()
      proxy.thaw()
      await goOn()
      await machines.check(runs)
    }
    machines.assertNoFault(t)
  },
)
